"""Tables: the brief's table and what belongs beside it, and the verdict in a sentence. Pure."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
from great_tables import GT, loc, style

from perflib import spike
from perflib.model import ERROR_KINDS, Open, Ramp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perflib.memory import Allocations, Memory
    from perflib.model import Run
    from perflib.regression import Baseline, Baselines
    from perflib.stats.growth import Growth
    from perflib.summary import EndpointSummary, Summary

INSUFFICIENT, NOTHING = "insufficient", "–"
MET, MISSED = "✓ met", "✗ missed"
RULE = (
    "Percentiles are nearest-rank, over all successes after warm-up; “insufficient” where there are too few for one. "
    "A target is judged on p95, with each failure counted as infinitely slow. Cold answers are reported apart."
)
_COLUMNS = ("Endpoint", "Requests", "Errors", "p50", "p95", "p99", "Max", "Target", "Met")
_TIMES = ["p50", "p95", "p99", "Max", "Target"]
_GREY, _GREEN, _RED = "#6E7781", "#00674F", "#A83B00"
_MEANINGS = {
    "scheduled": "every request that was due",
    "completed": "answered as expected",
    "failed": "answered otherwise, or not within the time-out",
    "dropped": "never sent for want of a connection",
    "in flight": "still unanswered after the drain",
}


def brief(summary: Summary, *, judged: bool = True) -> GT:
    """The brief's table: endpoints first, then pages. Times in ms.

    Args:
        summary: the figures.
        judged: False for an invalid run, which is shown but never judged.
    """
    rows = [_brief_row(row, judged) for row in summary.endpoints]
    groups = ["Pages" if row.kind == "page" else "Endpoints" for row in summary.endpoints]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).assign(group=groups)
    table = GT(frame, groupname_col="group", id="brief")
    table = table.tab_spanner("Response time, ms", columns=_TIMES).tab_source_note(RULE)
    return _dressed(table, frame, numbers=list(_COLUMNS[1:-1]))


def cold(summary: Summary) -> GT:
    """What a first visitor waits: the run's first answer, warm-up included, and the cold answers after it."""
    frame = pd.DataFrame(
        {
            "Endpoint": [row.endpoint for row in summary.endpoints],
            "First answer": [_ms(row.first_ms, NOTHING) for row in summary.endpoints],
            "Cold answers": [f"{row.cold.requests:,}" for row in summary.endpoints],
            "p50": [_ms(row.cold.p50_ms, INSUFFICIENT if row.cold.requests else NOTHING) for row in summary.endpoints],
            "Max": [_ms(row.cold.max_ms, NOTHING) for row in summary.endpoints],
        },
        dtype=object,
    )
    table = GT(frame, id="cold").tab_spanner("Of cold answers, ms", columns=["p50", "Max"])
    table = table.cols_label({"First answer": "First answer, ms"}).tab_source_note(
        "The first answer is the run's very first success, warm-up included. "
        "Cold answers are those the target file tells by a header, after warm-up."
    )
    return _dressed(table, frame, numbers=list(frame.columns[1:]))


def response_and_service(summary: Summary) -> GT:
    """Response time, which is judged, beside service time. Times in ms."""
    frame = pd.DataFrame(
        {
            "Endpoint": [row.endpoint for row in summary.endpoints],
            "p50": [_ms(row.p50_ms) for row in summary.endpoints],
            "p95": [_ms(row.p95_ms) for row in summary.endpoints],
            "Service p50": [_ms(row.service_p50_ms) for row in summary.endpoints],
            "Service p95": [_ms(row.service_p95_ms) for row in summary.endpoints],
        },
        dtype=object,
    )
    table = GT(frame, id="response-and-service").tab_spanner("Response time (judged), ms", columns=["p50", "p95"])
    table = table.tab_spanner("Service time, ms", columns=["Service p50", "Service p95"])
    table = table.cols_label({"Service p50": "p50", "Service p95": "p95"}).tab_source_note(
        "Response time runs from the intended start, service time from the actual start: the difference is the wait "
        "for the load generator. Response time is judged, so that a late request cannot hide a slow answer."
    )
    return _dressed(table, frame, numbers=list(frame.columns[1:]))


def degradation(run: Run) -> GT:
    """p50 and p95 by number of active users, and how many times the p95 of the fewest users that is."""
    bands = spike.degradation(run)
    usual = bands[0].p95_ms if bands else None
    frame = pd.DataFrame(
        [
            (
                f"{band.users_from}" + (f"–{band.users_to}" if band.users_to > band.users_from else ""),
                f"{band.requests:,}",
                f"{band.errors:,}",
                _ms(band.p50_ms),
                _ms(band.p95_ms),
                NOTHING if usual is None or band.p95_ms is None else f"{band.p95_ms / usual:.3g} ×",
            )
            for band in bands
        ],
        columns=["Active users", "Requests", "Errors", "p50", "p95", "Against the first"],
        dtype=object,
    )
    table = GT(frame, id="degradation").tab_spanner("Response time, ms", columns=["p50", "p95"])
    table = table.tab_source_note(
        "Active users: as the ramp asks for at a request's intended start, until the load went back. Warm successes "
        "outside pages, endpoints pooled: every user walks the same mix, so each endpoint has its share in every row."
    )
    return _dressed(table, frame, numbers=list(frame.columns))


def recovery_sentence(run: Run) -> str:
    """Whether and when response times came back after a spike, and by which rule."""
    found = spike.recovery(run)
    if not isinstance(run.facts.scenario.workload, Ramp):
        return "Recovery: the load of this run has no ramp."
    if not run.facts.valid:
        return "Recovery not judged: the run is invalid."
    if found.band_ms is None:
        return "Recovery cannot be told: too few requests before the spike for a band of window p95s."
    after = [window for window in found.windows if window.phase == "after"]
    width_s = found.windows[0].end_s - found.windows[0].start_s
    rule = f"p95 of {spike.IN_A_ROW} windows in a row, {width_s:g} s each, within {_ms(found.band_ms[1])} ms"
    if found.recovered is None:
        watched = f"{len(after)} window{'s' if len(after) != 1 else ''} after the load went back"
        return f"Recovery cannot be told: {watched}, too few to see {rule}."
    if not found.recovered:
        return f"Not recovered in the {_seconds(len(after) * width_s)} after the load went back: never {rule}."
    when = f"{found.after_s:.3g} s after the load went back" if found.after_s else "at once when the load went back"
    return f"Recovered {when}: {rule}."


def memory_sentence(run: Run, memory: Memory) -> str:
    """Whether the target leaks, in plain words; what was judged, and what a run like this one could have seen."""
    if memory.verdict == "NOT_SAMPLED":
        return f"Memory was not sampled: {run.facts.memory.told}."
    said = [_series_sentence(name, found) for name, found in memory.series.items() if found.verdict == memory.verdict]
    if memory.verdict in ("OK", "INCONCLUSIVE"):
        said = said[:1]
    if memory.restarts_s:
        times = ", ".join(f"{at_s:,.0f} s" for at_s in memory.restarts_s)
        said.append(f"The target restarted at {times}; judged is {memory.from_s:,.0f} to {memory.to_s:,.0f} s.")
    if memory.gone_s is not None:
        said.append(f"The target was gone after {memory.gone_s:,.0f} s.")
    return " ".join(said)


def _series_sentence(name: str, found: Growth) -> str:
    rate, subject = _rate_of(name), name.capitalize()
    between = found.interval_per_h
    if found.verdict == "LEAK" and between is not None:
        return f"{subject} leak{'s' if name == 'memory' else ''}: {rate(found.per_h)} ({rate(between.low)} or more)."
    if found.verdict == "STEP" and found.step_at_s is not None:
        return (
            f"{subject} jumped by {_amount_of(name)(found.step)} after {found.step_at_s:,.0f} s, and did not grow on."
        )
    if found.verdict == "OK" and between is not None:
        seen = "" if found.smallest_per_h is None else f"; this run could have seen {rate(found.smallest_per_h)}"
        return f"{subject} is sound: it grew by {rate(max(0.0, between.high))} at most{seen}."
    longer = f" A run of {_minutes(found.settle_s)} would settle it." if found.settle_s else ""
    return f"{subject}: no verdict. {found.reason}{longer}"


def memory(run: Run, memory: Memory) -> GT:
    """Growth of the target's memory, open files and threads, with its interval, and the smallest leak to be seen."""
    rows = [
        (
            name.capitalize(),
            found.verdict,
            *(_rate_of(name)(value) for value in (found.per_h, *_ends(found), found.smallest_per_h)),
        )
        for name, found in memory.series.items()
    ]
    columns = ["What", "Verdict", "Growth", "At least", "At most", "Smallest to be seen"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    a_request = memory.bytes_per_request
    per_request = "" if a_request is None else f" {a_request:,.3g} bytes a request."
    table = GT(frame, id="memory").tab_spanner("Each end at 99 %", columns=["At least", "At most"])
    table = table.tab_source_note(
        f"Samples once a second: {run.facts.memory.told}.{per_request} Growth is what warm-up, saturation and single "
        "jumps leave over. “Smallest to be seen”: the leak that such a run finds nine times in ten."
    )
    return _dressed(table, frame, numbers=columns[2:])


def allocations(found: Allocations) -> GT:
    """The places that allocated most of what a process still held after a while under load."""
    rows = [
        (
            f"{site.stack[0].function} ({site.stack[0].file}:{site.stack[0].line})" if site.stack else "unknown",
            f"{site.held_bytes / 1e3:,.0f}",
            _share(site.held_bytes / found.held_bytes),
            f"{site.allocations:,}",
            next((f"{frame.file}:{frame.line}" for frame in site.stack[1:]), NOTHING),
        )
        for site in found.sites[:12]
    ]
    columns = ["Place", "Held, kB", "Share", "Allocations", "Called from"]
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    note = (
        found.why_not[:1].upper() + found.why_not[1:] + "."
        if found.why_not
        else (
            f"Allocated within {_seconds(found.seconds)} under load and held at their end; by memray. "
            "A leak is held for ever; a cache or an answer under way may be among these too."
        )
    )
    return _dressed(
        GT(frame, id="allocations").tab_source_note(note), frame, numbers=["Held, kB", "Share", "Allocations"]
    )


def _ends(found: Growth) -> tuple[float | None, float | None]:
    between = found.interval_per_h
    return (None, None) if between is None else (between.low, between.high)


def _amount_of(name: str) -> Callable[[float | None], str]:
    if name == "memory":
        return lambda value: NOTHING if value is None else f"{_three_digits(value / 1e6)} MB"
    return lambda value: NOTHING if value is None else _three_digits(value)


def _rate_of(name: str) -> Callable[[float | None], str]:
    amount = _amount_of(name)
    return lambda value: amount(value) if value is None else f"{amount(value)}/h"


def _three_digits(value: float) -> str:
    """A number that may be negative or large.

    >>> [_three_digits(value) for value in (-6.62, 0.04567, 4889.2, 1e-13)]
    ['-6.62', '0.0457', '4,889', '0']
    """
    if abs(value) < 1e-6:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _minutes(value_s: float) -> str:
    return f"{value_s / 60:,.0f} min" if value_s >= 90 else f"{value_s:,.0f} s"


def accounting(summary: Summary) -> GT:
    """What became of every request on the wire after warm-up, and why requests failed, by endpoint and page."""
    counts = summary.requests
    fates = {
        "scheduled": counts.scheduled,
        "completed": counts.completed,
        "failed": counts.failed,
        "dropped": counts.dropped,
        "in flight": counts.in_flight,
    }
    rows = [("On the wire", fate, n, n / max(counts.scheduled, 1), _MEANINGS[fate]) for fate, n in fates.items()]
    rows += [
        ("Failures by endpoint", kind.replace("_", " "), n, n / row.requests, row.endpoint)
        for row in summary.endpoints
        for kind in ERROR_KINDS
        if (n := row.errors_by_kind.get(kind, 0))
    ]
    frame = pd.DataFrame(
        [(group, name, f"{n:,}", _share(share), what) for group, name, n, share, what in rows],
        columns=["group", "Requests", "Count", "Share", "Meaning"],
    )
    note = (
        f"{summary.throughput_per_s:,.4g} completed requests a second over {_seconds(summary.duration_s)}. "
        "A page's parts count as requests, the page itself does not."
    )
    table = GT(frame, groupname_col="group", id="accounting").cols_label(Meaning="").tab_source_note(note)
    return _dressed(table, frame, numbers=["Count", "Share"])


def environment(run: Run) -> GT:
    """How and where the run was measured."""
    facts, machine, generator = run.facts, run.facts.environment, run.facts.generator.as_json()
    groups: dict[str, dict[str, Any]] = {
        "Method": {
            "Workload": _workload(run),
            "Duration": _duration(run),
            "Time-out": _seconds(facts.scenario.timeout_s),
            "Response time": "from the intended start, and judged; service time from the actual start"
            if isinstance(facts.scenario.workload, Open)
            else "equal to service time: a closed workload",
            "Seed": facts.seed,
            "Profile": facts.profile,
        },
        "Target": {
            "Name": facts.target.name,
            "Address": facts.target.base_url + (" (the sample dashboard)" if facts.sample_target else ""),
        },
        "Run": {
            "Run": facts.run_id,
            "Started": facts.started_at,
            "State": facts.state if facts.valid else f"{facts.state}, invalid: {'; '.join(facts.invalid_reasons)}",
            "Commit": facts.git_commit or "none",
            "Brief": facts.brief,
            "Note": facts.note,
        },
        "Machine": {
            "System": f"{machine.os}, {machine.arch}",
            "Processor": f"{machine.cpu}, {machine.cores} cores",
            "Memory": f"{machine.ram_bytes / 2**30:.1f} GiB",
            "Python": machine.python,
            "Packages": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        },
        "Load generator": {
            "Processes": facts.workers if facts.workers > 1 else "",
            "CPU a request": _scaled(generator["cpu_s_per_request"], 1e6, "µs"),
            "CPU share": _scaled(generator["cpu_share"], 100, "% of a core"),
            "Event-loop lag, p99": _scaled(generator["loop_lag_p99_ms"], 1, "ms"),
            "Schedule lag, p99": _scaled(generator["schedule_lag_p99_ms"], 1, "ms")
            if isinstance(facts.scenario.workload, Open)
            else "",
            "Memory samples": facts.memory.told,
            "Instrument floor, p50": _scaled(generator["floor_p50_ms"], 1, "ms"),
            "Instrument floor, p99": _scaled(generator["floor_p99_ms"], 1, "ms"),
            "Retries on stale connections": f"{generator['retries']:,}",
            "Bodies checked": f"{generator['bodies_checked']:,}, {generator['bodies_parsed']:,} by a full parser",
        },
    }
    rows = [(group, key, str(value)) for group, facts_of in groups.items() for key, value in facts_of.items()]
    frame = pd.DataFrame([row for row in rows if row[2]], columns=["group", "What", "Value"])
    table = GT(frame, groupname_col="group", id="environment").tab_options(column_labels_hidden=True)
    return _dressed(table, frame, numbers=[])


def as_markdown(summary: Summary, *, judged: bool = True) -> str:
    """The brief's table as GitHub Markdown, to paste into a brief or a pull request. Times in ms."""
    head = [name if name not in _TIMES else f"{name} (ms)" for name in _COLUMNS]
    rows = [[_markdown(cell) for cell in _brief_row(row, judged)] for row in summary.endpoints]
    rule = [":---", *["---:"] * (len(head) - 2), ":---"]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]
    return "\n".join([*lines, "", RULE, ""])


def as_text(run: Run, summary: Summary, memory: Memory) -> str:
    """The verdicts and the brief's table for a terminal. Times in ms."""
    rows = [list(_COLUMNS), *(_brief_row(row, run.facts.valid) for row in summary.endpoints)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    said = [verdict_sentence(run, summary), memory_sentence(run, memory)]
    return "\n".join([*said, "", *lines, "", f"run {run.facts.run_id}"])


def baselines_as_markdown(baselines: Baselines) -> str:
    """All baselines as GitHub Markdown, one table each. Times in ms."""
    if not baselines.baselines:
        return "no baselines yet; `perflib baseline record light_load` makes one"
    return "\n\n".join(_baseline_as_markdown(one) for one in baselines.baselines)


def _baseline_as_markdown(baseline: Baseline) -> str:
    machine = baseline.environment
    head = f"**{_markdown(baseline.target)}, {baseline.scenario}**: median of {len(baseline.runs)} runs of "
    head += f"{_seconds(baseline.duration_s)}, {baseline.recorded_at}, {_markdown(machine.cpu)} ({machine.cores} cores)"
    lines = [
        "| Endpoint | p50 | p95 | p99 | Max | Target | Met |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | :--- |",
    ]
    for name, row in baseline.endpoints.items():
        times = [_ms(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms)]
        target = NOTHING if row.target_ms is None else f"< {row.target_ms:,g}"
        met = {True: MET, False: MISSED, None: NOTHING}[row.meets_target]
        lines.append("| " + " | ".join([_markdown(name), *times, target, met]) + " |")
    return "\n".join([head, "", *lines])


def verdict_sentence(run: Run, summary: Summary) -> str:
    """The verdict in plain words: which targets were met, and what failed."""
    facts, counts = run.facts, summary.requests
    if not facts.valid:
        return f"Invalid run, not judged: {'; '.join(facts.invalid_reasons)}."
    begin = f"Interrupted after {_seconds(facts.duration_s)}: " if facts.interrupted else ""
    if not counts.scheduled:
        return f"{begin or ''}{'n' if begin else 'N'}o request was measured."
    said = _targets_sentence(run, summary.endpoints)
    lost = counts.scheduled - counts.completed
    wire = run.requests[(run.requests["kind"] == "request") & ~run.requests["warmup"]]
    kinds = wire["error"].value_counts()
    by_kind = ", ".join(f"{n:,} {str(kind).replace('_', ' ')}" for kind, n in kinds.items() if n)
    failed = f" {lost:,} of {counts.scheduled:,} requests failed ({by_kind})." if lost else ""
    return begin + (said[0].lower() + said[1:] if begin else said) + failed + _server_errors(run, summary)


def _server_errors(run: Run, summary: Summary) -> str:
    """Where one answer with a 5xx is a finding: whether there was one."""
    if not run.facts.scenario.forbid_5xx:
        return ""
    count = summary.server_errors
    found = f"{count:,} answer{'s' if count != 1 else ''} with a 5xx" if count else "No 5xx"
    return f" {found} in {summary.requests.scheduled:,} requests."


def _targets_sentence(run: Run, rows: Sequence[EndpointSummary]) -> str:
    having = [row for row in rows if row.target_ms is not None]
    missed = [row for row in having if row.meets_target is False]
    unknown = [row for row in having if row.meets_target is None]
    timed = [row for row in rows if row.p95_ms is not None]
    slowest = max(timed, key=lambda row: row.p95_ms or 0.0, default=None)
    load = f"under {_load(run)}"
    if missed:
        told = ", ".join(_against_target(row) for row in missed)
        return f"{len(missed)} of {_count(len(having))} missed {load}: {told}{_too_few(unknown)}."
    if unknown and len(unknown) == len(having):
        names = " and ".join(row.endpoint for row in unknown) if len(unknown) < 3 else "every endpoint"
        return f"No target could be judged {load}: too few requests of {names}."
    if unknown:
        return f"{len(having) - len(unknown)} of {_count(len(having))} met {load}{_too_few(unknown)}."
    tail = f": slowest at p95 was {slowest.endpoint} with {_against_target(slowest, named=False)}" if slowest else ""
    if not having:
        return f"No target is set; measured {load}{tail}."
    return f"{'All ' + _count(len(having)) if len(having) > 1 else 'The target was'} met {load}{tail}."


def _against_target(row: EndpointSummary, named: bool = True) -> str:
    name = f"{row.endpoint} " if named else ""
    if row.meets_target is False and row.judged_p95_ms == math.inf:
        return f"{name}(more than 5 % failed)"
    bound = f" of {row.target_ms:,g} ms" if row.target_ms is not None else ""
    return f"{name}{_ms(row.judged_p95_ms if row.meets_target is False else row.p95_ms)} ms{bound}"


def _too_few(rows: Sequence[EndpointSummary]) -> str:
    return f"; too few requests to judge {', '.join(row.endpoint for row in rows)}" if rows else ""


def _count(targets: int) -> str:
    return f"{targets} target{'s' if targets != 1 else ''}"


def _brief_row(row: EndpointSummary, judged: bool) -> list[str]:
    met = {True: MET, False: MISSED, None: INSUFFICIENT}[row.meets_target]
    return [
        row.endpoint,
        f"{row.requests:,}",
        f"{row.errors:,}",
        *(_ms(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        _ms(row.max_ms, NOTHING),
        NOTHING if row.target_ms is None else f"< {row.target_ms:,g}",
        NOTHING if row.target_ms is None else met if judged else "not judged",
    ]


def _ms(value: float | None, missing: str = INSUFFICIENT) -> str:
    """Milliseconds to three digits.

    >>> [_ms(value) for value in (0.1234, 4.567, 45.67, 456.7, 4567.8, None)]
    ['0.12', '4.57', '45.7', '457', '4,568', 'insufficient']
    """
    if value is None:
        return missing
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _share(share: float) -> str:
    """A share in percent that never rounds a failure away."""
    if 0 < share < 0.0001:
        return "< 0.01 %"
    if 0.9999 < share < 1:
        return "> 99.99 %"
    return f"{100 * share:.{4 if share > 0.99 else 3}g} %"


def _scaled(value: float | None, factor: float, unit: str) -> str:
    return "not measured" if value is None else f"{value * factor:,.3g} {unit}"


def _seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def _load(run: Run) -> str:
    workload = run.facts.scenario.workload
    if isinstance(workload, Open):
        return f"{'up to ' if workload.stages else ''}{workload.rate_per_s:g} requests a second"
    users = max(max(s.start, s.end) for s in workload.stages) if isinstance(workload, Ramp) else workload.users
    return f"{'up to ' if isinstance(workload, Ramp) else ''}{users} user{'s' if users != 1 else ''}"


def _workload(run: Run) -> str:
    workload = run.facts.scenario.workload
    arrivals = f", {workload.arrivals} arrivals" if isinstance(workload, Open) else ""
    alone = ", each endpoint and page alone" if run.facts.scenario.isolated else ""
    return f"{'closed' if workload.kind == 'ramp' else workload.kind}, {_load(run)}{arrivals}{alone}"


def _duration(run: Run) -> str:
    scenario = run.facts.scenario
    planned = _seconds(scenario.duration_s)
    if scenario.isolated:
        enough = f", or until {scenario.enough_successes:,} successes," if scenario.enough_successes else ""
        planned = f"{planned}{enough} for each"
    return f"{planned} after {_seconds(scenario.warmup_s)} of warm-up; measured {_seconds(run.facts.duration_s)} in all"


def _markdown(text: str) -> str:
    """Text that GitHub shows as it is, within a cell of a table."""
    one_line = " ".join(text.split())
    return html.escape(re.sub(r"([\\|`*\[\]])", r"\\\1", one_line), quote=False)


def _dressed(table: GT, frame: pd.DataFrame, numbers: list[str]) -> GT:
    """The common look. great_tables escapes every text; a verdict has a word, so that its colour says nothing alone."""
    looks = {
        INSUFFICIENT: style.text(color=_GREY, style="italic"),
        "not judged": style.text(color=_GREY, style="italic"),
        MET: style.text(color=_GREEN),
        MISSED: style.text(color=_RED, weight="bold"),
    }
    table = table.cols_align("left").cols_align("right", columns=numbers)
    for column in frame.columns.drop("group", errors="ignore"):
        for text, look in looks.items():
            places = [int(place) for place in (frame[column] == text).to_numpy().nonzero()[0]]
            if places:
                table = table.tab_style(look, loc.body(columns=[column], rows=places))
    return table.tab_options(
        table_font_size="14px",
        table_margin_left="0",
        row_group_font_weight="600",
        source_notes_font_size="12px",
        data_row_padding="5px",
        table_border_top_style="none",
    )
