"""Tables of a run: the brief's, and what belongs beside it; `answers` has those of a check or a comparison. Pure.

Every function returns a `perflib.show.table.Table`: a notebook shows it, `print` writes it as text, and
`.write("markdown")` writes it for GitHub.
"""

import math
from collections.abc import Hashable
from dataclasses import asdict, replace
from typing import Any

from perflib.figures import failures as failed
from perflib.figures import spike, values
from perflib.figures.spike import LoadBand
from perflib.figures.summary import EndpointSummary, Summary, summarize
from perflib.judge.check import Check
from perflib.judge.flattery import flattered
from perflib.judge.leak import memory_of
from perflib.judge.validity import cores_in_words
from perflib.show.numbers import NOTHING, limit, rate_of, scaled, seconds, share
from perflib.show.table import Row, Table, numbers, row, words
from perflib.spec import ERROR_KINDS, Environment, Facts, Open, Run
from perflib.spec.allocations import Allocations, Site
from perflib.spec.run import failure_in_words
from perflib.stats.growth import Growth
from perflib.text import cells
from perflib.text.answers import baselines as baselines
from perflib.text.answers import changed as changed
from perflib.text.answers import check as check
from perflib.text.answers import history as history
from perflib.text.answers import junit as junit
from perflib.text.answers import of_frame as of_frame
from perflib.text.answers import runs as runs
from perflib.text.comparison import about_measured as about_measured
from perflib.text.comparison import about_runs as about_runs
from perflib.text.comparison import comparison as comparison
from perflib.text.comparison import comparison_sentence as comparison_sentence
from perflib.text.comparison import measured as measured
from perflib.text.comparison import remedies as remedies
from perflib.text.comparison import sides as sides
from perflib.text.comparison import two_runs as two_runs
from perflib.text.comparison import why_slower as why_slower
from perflib.text.failures import failure_lines, rest, rest_of
from perflib.text.notices import level_lines, slow_receiving_lines, unverified_lines, why_lines
from perflib.text.why import anatomy as anatomy
from perflib.text.why import diagnosis as diagnosis
from perflib.text.words import baseline_sentence, duration_of, kept_per_request, longer_sentence, workload_of
from perflib.text.words import memory_sentence as memory_sentence
from perflib.text.words import recovery_sentence as recovery_sentence
from perflib.text.words import verdict_sentence as verdict_sentence

RULE = (
    "Percentiles are nearest-rank, of the successes after warm-up; “292 of 299”: too few successes for one; “≥ 128 (20 "
    "of 59)”: too few, p95 is no less with 95 % confidence. A limit is judged on p95, unless it says p99, with each "
    "failed request as infinitely slow. Cold answers (cache misses) are left out."
)
_PHASES = (
    "Waiting: from the request on the wire to the first byte of its answer, connecting left out. Receiving: from the "
    "first byte to the last. A page has no phases of its own."
)
_CLOCKS = {
    "kernel": "the kernel's: when its last byte reached this machine",
    "read": "the load generator's own: when it had read the answer",
}
_MEANINGS = {
    "scheduled": "every request that was due",
    "completed": "succeeded: answered as expected",
    "failed": "answered otherwise, or not within the time-out",
    "dropped": "never sent, as no connection was free",
    "in_flight": "still without an answer when the wait for the last ones was over",
}


def brief(summary: Summary, *, judged: bool = True, against: Check | None = None, phases: bool = False) -> Table:
    """The brief's table: endpoints first, then pages.

    Args:
        judged: False for an invalid run, which is shown but never judged.
        against: the run's check: a column where it was compared with a baseline or the history, and a sentence.
        phases: whether to tell waiting, receiving and the size of answers apart.
    """
    apart = numbers("Waiting p50, ms", "Receiving p50, ms", "Size p50") if phases else ()
    times = numbers("p50, ms", "p95, ms", "p99, ms", "Max, ms", "Limit, ms")
    known = [] if against is None else list(against.compared.values())[:1]
    last = words("Met", *(f"Against {one.name}" for one in known))
    few = next((rest_of(one) for one in summary.endpoints if rest_of(one) and one.max_ms is not None), "")
    return Table(
        columns=(*words("Endpoint"), *numbers("Requests", "req/s", "Failed"), *times[:4], *apart, *times[4:], *last),
        rows=tuple(
            _brief_row(one, summary, judged, against if known else None, phases)
            for one in (*summary.endpoints, *summary.steps)
        ),
        notes=(
            *([f"“(of {few})”: more than half of the requests failed; these are times of the others."] if few else []),
            *([] if against is None else [baseline_sentence(against)]),
            RULE,
            *([_PHASES] if phases else []),
        ),
        id="brief",
    )


def _brief_row(one: EndpointSummary, summary: Summary, judged: bool, against: Check | None, phases: bool) -> Row:
    found = {} if against is None else {verdict.endpoint: verdict for verdict in against.endpoints}
    grouped = any(other.kind != "request" for other in summary.endpoints)
    group = {"page": "Pages", "journey": "Journeys", "step": f"Steps of {one.journey}"}.get(one.kind, "Endpoints")
    return row(
        one.endpoint,
        f"{one.requests:,}",
        f"{one.rate_per_s:,.1f}",
        cells.failed(one.errors, one.requests),
        *(cells.percentile(one, q) for q in (50, 95, 99)),
        cells.figure(one.max_ms, NOTHING, rest_of(one)),
        *([] if not phases else cells.phases(one)),
        limit(one),
        cells.outcome(one, judged),
        *([] if against is None else [cells.against(found.get(one.endpoint))]),
        group=group if grouped else "",
    )


def verdict(run: Run, *, against: Check | None = None, phases: bool = False) -> Table:
    """The whole answer on a run: which limits were met, the brief's table, the baseline and the memory."""
    summary = summarize(run)
    table = brief(summary, judged=run.facts.valid, against=against, phases=phases)
    unverified = unverified_lines(run)
    found = (
        *unverified,
        *level_lines(run),
        *failure_lines(failed.failures(run)),
        *slow_receiving_lines(run),
        *flattered([run]),
    )
    found += tuple(why_lines(run, summary))
    longer = longer_sentence(run, summary.endpoints)
    known = (
        memory_sentence(run, memory_of(run)),
        *table.notes,
        *([longer] if longer else []),
        f"Run {run.facts.named}, {run.facts.profile} profile",
    )
    return replace(table, title=verdict_sentence(run, summary), notes=(*found, *known))


def failures(run: Run) -> Table:
    """Which requests failed after warm-up, how often, and when; a page's parts count as requests."""
    found = failed.failures(run)
    return Table(
        columns=(
            *words("Endpoint", "Failure"),
            *numbers("Count", "Share", "First, s", "Last, s"),
            *words("Content type", "Reason"),
        ),
        rows=tuple(map(_failure_row, found)),
        title="" if found else "No request failed.",
        notes=("Share: of the endpoint's requests. First and last: seconds from the run's start.",) if found else (),
        id="failures",
    )


def _failure_row(one: failed.Failure) -> Row:
    when = (f"{at_s:,.1f}" for at_s in (one.first_s, one.last_s))
    why = (one.content_type or NOTHING, one.reason or NOTHING)
    return row(one.endpoint, failure_in_words(one.kind, one.status), f"{one.count:,}", share(one.share), *when, *why)


def samples(run: Run) -> Table:
    """What failed answers were: the headers and first bytes of each sample that a run keeps. No report shows them."""
    if run.failures.empty:
        why = "no request failed, or an older version ran" if run.facts.target.samples else "the run was to keep none"
        return Table((), (), f"There is no sample of a failed answer: {why}.", id="samples")
    rows = [one for number, sample in enumerate(run.failures.to_dict("records"), 1) for one in _sample(number, sample)]
    return Table(words("What", "Value"), tuple(rows), "Samples of failed answers", id="samples", head=False)


def _sample(number: int, one: dict[Hashable, Any]) -> list[Row]:
    what = failure_in_words(one["kind"], one["status"])
    group = f"{number}. {one['endpoint']}: {what} at {one['t_ns'] / 1e9:,.2f} s"
    facts = {"reason": one["reason"], **one["headers"], "body": one["body"]}
    return [row(name, value, group=group) for name, value in facts.items() if value] or [row("", "", group=group)]


def by_value(run: Run, most: int = 20) -> Table:
    """The slowest rows of the data, by their median; empty where the run asked with none."""
    found = values.by_value(run)
    rows = [
        row(
            one["endpoint"],
            str(one["value"]) or f"row {one['row']}",
            f"{one['requests']:,}",
            cells.failed(one["failed"], one["requests"]),
            *(cells.figure(None if math.isnan(one[q]) else one[q], NOTHING) for q in ("p50_ms", "max_ms")),
        )
        for one in found.head(most).to_dict("records")
    ]
    more = [f"The slowest {most:,} of {len(found):,} values; by_value(run, most=…) shows more."] * (len(found) > most)
    columns = (*words("Endpoint", "Asked with"), *numbers("Requests", "Failed", "p50", "Max"))
    return Table(columns, tuple(rows), "Slowest values", notes=tuple(more))


def cold(run: Run) -> Table:
    """What a first visitor waits: the run's first answer, warm-up included, and the cold answers after it."""
    note = (
        "The first answer is the very first success of the run, warm-up included. Cold answers are cache misses "
        "after warm-up: the target file names the header that marks them."
    )
    columns = words("Endpoint") + numbers("First answer, ms", "Cold answers", "p50 of cold, ms", "Max of cold, ms")
    return Table(columns, tuple(map(_cold_row, summarize(run).endpoints)), notes=(note,), id="cold")


def _cold_row(one: EndpointSummary) -> Row:
    answers, p50 = one.cold, cells.figure(one.cold.p50_ms) if one.cold.requests else NOTHING
    first, largest = (cells.figure(value, NOTHING) for value in (one.first_ms, answers.max_ms))
    return row(one.endpoint, first, f"{answers.requests:,}", p50, largest)


def degradation(run: Run) -> Table:
    """p50 and p95 by number of active users, and how many times the p95 of the fewest users that is."""
    bands = spike.degradation(run)
    columns = numbers("Active users", "Requests", "Failed", "p50, ms", "p95, ms", "p95 / first p95")
    note = (
        "Active users: as many as the ramp asked for when a request was due, until the load went back. Successes after "
        "warm-up, outside pages and not cold; all endpoints together, as every user calls the same mix of them."
    )
    return Table(columns, tuple(_band_row(one, bands[0]) for one in bands), notes=(note,), id="degradation")


def _band_row(one: LoadBand, first: LoadBand) -> Row:
    times = None if first.p95_ms is None or one.p95_ms is None else one.p95_ms / first.p95_ms
    users = f"{one.users_from}" + (f"–{one.users_to}" if one.users_to > one.users_from else "")
    counts = (f"{one.requests:,}", cells.failed(one.errors, one.requests))
    against = NOTHING if times is None else f"{times:.2f} ×"
    times_ms = (cells.figure(value_ms, of=rest(one.errors, one.requests)) for value_ms in (one.p50_ms, one.p95_ms))
    return row(users, *counts, *times_ms, against)


def memory(run: Run) -> Table:
    """Growth of the target's memory, open files and threads, with its interval, and the smallest detectable leak."""
    found = memory_of(run)
    grown = f" Growth by requests: {kept}; each end at 99 %." if (kept := kept_per_request(found)) else ""
    note = (
        f"Samples once per second: {run.facts.memory.told}.{grown} Growth leaves out warm-up, saturation and single "
        "jumps. Detectable leak: the smallest one that such a run finds in 9 of 10 cases."
    )
    return Table(
        columns=(*words("What", "Verdict"), *numbers("Growth", "At least (99 %)", "At most (99 %)", "Detectable leak")),
        rows=tuple(_growth_row(name, one) for name, one in found.series.items()),
        title=memory_sentence(run, found),
        notes=(note,) if found.series else (),
        id="memory",
    )


def _growth_row(name: str, found: Growth) -> Row:
    between, rate = found.interval_per_h, rate_of(name)
    low, high = (None, None) if between is None else (between.low, between.high)
    smallest = None if found.verdict == "LEAK" else found.smallest_per_h
    figures = (rate(value) for value in (found.per_h, low, high, smallest))
    return row(name.capitalize(), cells.verdict(found.verdict), *figures)


def allocations(found: Allocations) -> Table:
    """The places that allocated most of what a process still held after a while under load."""
    note = (
        f"Allocated within {seconds(found.seconds)} under load and held at their end; by memray. "
        "A leak is held for ever; a cache or an answer under way may be among these too."
    )
    return Table(
        columns=(*words("Place"), *numbers("Held, kB", "Share", "Allocations"), *words("Called from")),
        rows=tuple(_site_row(site, found.held_bytes) for site in found.sites[:12]),
        notes=(found.why_not[:1].upper() + found.why_not[1:] + "." if found.why_not else note,),
        id="allocations",
    )


def _site_row(site: Site, held_bytes: int) -> Row:
    place, *callers = [f"{frame.file}:{frame.line}" for frame in site.stack] or ["unknown"]
    place = f"{site.stack[0].function} ({place})" if site.stack else place
    held = (f"{site.held_bytes / 1e3:,.0f}", share(site.held_bytes / held_bytes), f"{site.allocations:,}")
    return row(place, *held, callers[0] if callers else NOTHING)


def accounting(summary: Summary) -> Table:
    """What became of every request on the wire after warm-up, and why requests failed, by endpoint and page."""
    whole = max(summary.requests.scheduled, 1)
    wire = (
        row(fate.replace("_", " "), f"{n:,}", share(n / whole), _MEANINGS[fate], group="On the wire")
        for fate, n in asdict(summary.requests).items()
    )
    failing = (
        row(kind.replace("_", " "), f"{n:,}", share(n / one.requests), one.endpoint, group="Failures by endpoint")
        for one in summary.endpoints
        for kind in ERROR_KINDS
        if (n := one.errors_by_kind.get(kind, 0))
    )
    note = (
        f"{summary.throughput_per_s:,.4g} completed requests per second over {seconds(summary.duration_s)}. "
        "A page's parts count as requests, the page itself does not."
    )
    columns = (*words("Requests"), *numbers("Count", "Share"), *words("Meaning"))
    return Table(columns, (*wire, *failing), notes=(note,), id="accounting")


def method(run: Run) -> Table:
    """How and where the run was measured."""
    sample = " (the sample dashboard)" if run.facts.sample_target else ""
    groups = {
        "Method": _method(run),
        "Target": {
            "Name": run.facts.target.name,
            "Address": run.facts.target.base_url + sample,
            "Connections": run.facts.target.transport_in_words,
        },
        "Run": _run(run.facts),
        "Machine": _machine(run.facts.environment),
        "Load generator": _generator(run.facts),
    }
    rows = (row(key, value, group=group) for group, facts in groups.items() for key, value in facts.items() if value)
    return Table(words("What", "Value"), tuple(rows), id="method", head=False)


def _method(run: Run) -> dict[str, str]:
    facts, response = run.facts, "equal to service time, as in every closed workload"
    if isinstance(facts.scenario.workload, Open):
        response = "from the moment when a request was due, and judged"
    return {
        "Workload": workload_of(run),
        "Duration": duration_of(run),
        "Time-out": seconds(facts.scenario.timeout_s),
        "Response time": response,
        "Seed": str(facts.seed),
        "Profile": facts.profile,
    }


def _run(facts: Facts) -> dict[str, str]:
    return {
        "Run": facts.run_id,
        "Started": facts.started_at,
        "State": facts.state if facts.valid else f"{facts.state}, invalid: {'; '.join(facts.invalid_reasons)}",
        "Revision": facts.version,
        "Brief": facts.brief,
        "Note": facts.note,
    }


def _machine(machine: Environment) -> dict[str, str]:
    return {
        "System": f"{machine.os}, {machine.arch}",
        "Processor": f"{machine.cpu}, {machine.cores} cores",
        "Memory": f"{machine.ram_bytes / 2**30:.1f} GiB",
        "Python": machine.python,
        "Packages": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
    }


def _generator(facts: Facts) -> dict[str, str]:
    generator, is_open = facts.generator.as_json(), isinstance(facts.scenario.workload, Open)
    late_ms, used = facts.generator.read_late_p99_ms, facts.generator.cores_used
    lost, late = facts.generator.lost_share, facts.generator.late_share
    return {
        "Processes": str(facts.workers) if facts.workers > 1 else "",
        "CPU per request": scaled(generator["cpu_s_per_request"], 1e6, "µs"),
        "CPU share": scaled(generator["cpu_share"], 100, "% of a core"),
        "Clock of an answer's end": _CLOCKS[facts.generator.clock],
        "Read after they came, p99": scaled(late_ms, 1, "ms") if late_ms is not None else "",
        "Users kept waiting": share(lost) + " of their time" if lost is not None else "",
        "Requests sent over 25 ms late": share(late) if late is not None else "",
        "Cores in use": "" if used is None else cores_in_words(used),
        "Event-loop lag, p99": scaled(generator["loop_lag_p99_ms"], 1, "ms"),
        "Schedule lag, p99": scaled(generator["schedule_lag_p99_ms"], 1, "ms") if is_open else "",
        "Memory samples": facts.memory.told,
        "Instrument floor, p50": scaled(generator["floor_p50_ms"], 1, "ms"),
        "Instrument floor, p99": scaled(generator["floor_p99_ms"], 1, "ms"),
        "Retries on stale connections": f"{generator['retries']:,}",
    }
