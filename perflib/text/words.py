"""Verdicts in sentences, and figures in words. Pure."""

import math
from collections.abc import Sequence

from perflib.figures import spike
from perflib.figures.limits import AT_LEAST, Limit
from perflib.figures.summary import EndpointSummary, Summary, unmeasured
from perflib.judge.check import Check
from perflib.judge.fresh import ALL
from perflib.judge.leak import Memory
from perflib.show.numbers import amount_of, ms, rate_of, seconds, share, three_digits
from perflib.spec import Open, Ramp, Run
from perflib.spec.exits import ExitStatus
from perflib.spec.workload import load_in_words
from perflib.stats.growth import Growth
from perflib.text.failures import failed_sentence, rest_of


def verdict_sentence(run: Run, summary: Summary) -> str:
    """The verdict in plain words: what failed, and which limits were met."""
    facts, counts = run.facts, summary.requests
    if facts.state == "running":
        return f"Under way since {facts.started_at}, not judged yet; perflib.attach({facts.run_id!r}) follows it."
    if not facts.valid:
        return f"Invalid run, do not trust its figures: {'; '.join(facts.invalid_reasons)}."
    begin = f"Interrupted after {seconds(facts.duration_s)}: " if facts.interrupted else ""
    if why := unmeasured(run):
        return f"{begin}{why if begin else why.capitalize()}."
    said = _limits_sentence(run, summary.endpoints) + _unanswered(summary.endpoints)
    failed = failed_sentence(run, counts.scheduled - counts.completed, counts.scheduled)
    said = said[0].lower() + said[1:] if begin and not failed else said
    return f"{begin}{failed}{' ' if failed else ''}{said}{_server_errors(run, summary)}"


def _server_errors(run: Run, summary: Summary) -> str:
    """Where one answer with a 5xx is a finding: whether there was one."""
    if not run.facts.scenario.forbid_5xx:
        return ""
    count = summary.server_errors
    found = f"{count:,} answer{'s' if count != 1 else ''} with a 5xx" if count else "No 5xx"
    return f" {found} in {summary.requests.scheduled:,} requests."


def _limits_sentence(run: Run, rows: Sequence[EndpointSummary]) -> str:
    having = [(row, one) for row in rows for one in row.limits]
    missed = [_against_limit(row, one) for row, one in having if one.meets is False]
    unknown = [row for row, one in having if one.meets is None]
    timed = [row for row in rows if row.p95_ms is not None]
    slowest = max(timed, key=lambda row: row.p95_ms or 0.0, default=None)
    load = f"under {load_in_words(run.facts.scenario.workload)}"
    if missed:
        told = ", ".join(dict.fromkeys(missed))
        return f"{len(missed)} of {_count(len(having))} missed {load}: {told}{_too_few(unknown, rows)}."
    if unknown and len(unknown) == len(having):
        asked = dict.fromkeys(row.endpoint for row in unknown if row.requests)
        every = len(asked) > 2 and all(row.requests for row in unknown)
        names = "every endpoint" if every else " and ".join(asked)
        few = f": too few requests of {names}" if asked else ""
        return f"No limit could be judged {load}{few}{_not_asked(unknown, rows)}."
    if unknown:
        return f"{len(having) - len(unknown)} of {_count(len(having))} met {load}{_too_few(unknown, rows)}."
    tail = f": slowest at p95 was {slowest.endpoint} with {_p95_of(slowest)}" if slowest else ""
    if not having:
        return f"No limit is set; measured {load}{tail}."
    return f"{'All ' + _count(len(having)) if len(having) > 1 else 'The limit was'} met {load}{tail}."


def _against_limit(row: EndpointSummary, missed: Limit) -> str:
    if row.unanswered_s is not None:
        return _silence(row)
    if missed.found is None or missed.of == "failed":
        return f"{row.endpoint} {share(missed.found or 0)} failed of the {share(missed.bound)} allowed"
    if missed.found == math.inf:
        return f"{row.endpoint} (more than {100 - int(missed.of[1:])} % failed)"
    by = f"{missed.of} {AT_LEAST}" if missed.by == AT_LEAST else missed.by
    figure = "" if missed.by == "p95" == missed.of else f"{by} "
    return f"{row.endpoint} {figure}{ms(missed.found)} ms of {missed.bound:,g} ms{_marked(row)}"


def _silence(row: EndpointSummary) -> str:
    return f"{row.endpoint} (unanswered for {seconds(row.unanswered_s or 0)})"


def _p95_of(row: EndpointSummary) -> str:
    bound = f" of {row.target_ms:,g} ms" if row.target_ms is not None else ""
    return f"{ms(row.p95_ms)} ms{bound}{_marked(row)}"


def _marked(row: EndpointSummary) -> str:
    return f" (of the {rest_of(row)} that succeeded)" if rest_of(row) else ""


def _too_few(unknown: Sequence[EndpointSummary], rows: Sequence[EndpointSummary]) -> str:
    asked = dict.fromkeys(row.endpoint for row in unknown if row.requests)
    return (f"; too few requests to judge {', '.join(asked)}" if asked else "") + _not_asked(unknown, rows)


def _not_asked(unknown: Sequence[EndpointSummary], rows: Sequence[EndpointSummary]) -> str:
    never = dict.fromkeys(row.endpoint for row in unknown if not row.requests)
    apart = " outside pages" if any(row.kind == "page" for row in rows) else ""
    return f"; not asked{apart} after warm-up: {', '.join(never)}" if never else ""


def _unanswered(rows: Sequence[EndpointSummary]) -> str:
    """What has no limit to miss, and was never answered all the same."""
    silent = [row for row in rows if row.unanswered and all(one.of == "failed" for one in row.limits)]
    return f" Without an answer: {', '.join(map(_silence, silent))}." if silent else ""


def _count(limits: int) -> str:
    return f"{limits} limit{'s' if limits != 1 else ''}"


def check_sentence(check: Check) -> str:
    """What a check could detect, and what became of it."""
    mdes, verdicts = sorted(check.mdes), [row.verdict for row in check.endpoints]
    outcome = {ExitStatus.OK: "passed", ExitStatus.FOUND: "failed", ExitStatus.INTERRUPTED: "was interrupted"}
    told = f"The check {outcome.get(check.exit_status, 'could not judge')}{_first_reason(check)}"
    if not mdes:
        why = "Too few earlier runs are known" if check.compared else "Nothing was compared"
        begin = f"{why}, so a regression cannot be found. Limits and errors were checked: "
        ended = "nothing failed" if check.exit_status == ExitStatus.OK else told[0].lower() + told[1:]
        return f"{begin}{ended}." if verdicts else f"{told}."
    between = f"{mdes[0]:+.0%}" if mdes[0] == mdes[-1] else f"{mdes[0]:+.0%} to {mdes[-1]:+.0%}"
    timed = sum(row.endpoint != ALL for row in check.endpoints)
    where = "" if len(mdes) == timed else f", in {len(mdes)} of {timed} endpoints and pages"
    counts = ", ".join(f"{verdicts.count(one)} {one.replace('_', ' ')}" for one in sorted(set(verdicts)))
    return f"{told}. Verdicts: {counts}. {_compared_with(check)}. Smallest detectable change of p95: {between}{where}."


def _first_reason(check: Check) -> str:
    """Why a check did not pass; a table has the other reasons below."""
    if not check.reasons:
        return ""
    first, *more = check.reasons
    return f": {first}" + (f" ({len(more)} more reason{'s' if more[1:] else ''} below)" if more else "")


def _compared_with(check: Check) -> str:
    return f"Compared with {'; '.join(dict.fromkeys(one.in_words for one in check.compared.values()))}"


def baseline_sentence(against: Check) -> str:
    """What a run's check found against its baseline, or the history, or why there is nothing to compare."""
    rows = against.endpoints
    if not against.compared:
        reasons = dict.fromkeys([row.reason for row in rows] or [one.reason for one in against.findings])
        return f"Not compared with earlier runs: {'; '.join(reasons) or 'no request was measured'}."
    slower = [f"{row.endpoint} ({row.reason})" for row in rows if row.verdict == "REGRESSION"]
    unclear = sum(row.verdict in ("INCONCLUSIVE", "NO_BASELINE") for row in rows)
    told = f"slower: {', '.join(slower)}" if slower else "no regression was found"
    open_ = f"; {unclear} of {len(rows)} could not be judged" if unclear else ""
    return f"{_compared_with(against)}: {told}{open_}."


def recovery_sentence(run: Run) -> str:
    """Whether and when response times came back after a spike, and by which rule."""
    found = spike.recovery(run)
    if not isinstance(run.facts.scenario.workload, Ramp):
        return "Recovery: the load of this run has no ramp."
    if not run.facts.valid:
        return "Recovery not judged: the run is invalid."
    if found.band_ms is None:
        return "Recovery not judged: too few requests before the spike to know the normal p95."
    after = [window for window in found.windows if window.phase == "after"]
    width_s = found.windows[0].end_s - found.windows[0].start_s
    rule = f"p95 of {spike.IN_A_ROW} windows in a row, {width_s:g} s each, within {ms(found.band_ms[1])} ms"
    if found.recovered is None:
        watched = f"{len(after)} window{'s' if len(after) != 1 else ''} after the load went back"
        return f"Recovery not judged: {watched}, too few to find {rule}."
    if not found.recovered:
        return f"Not recovered in the {seconds(len(after) * width_s)} after the load went back: never {rule}."
    when = f"{found.after_s:.3g} s after the load went back" if found.after_s else "at once when the load went back"
    return f"Recovered {when}: {rule}."


def memory_sentence(run: Run, memory: Memory) -> str:
    """Whether the target leaks, in plain words, and which leak a run like this one would have found."""
    if memory.verdict == "NOT_SAMPLED":
        return f"Memory was not sampled: {run.facts.memory.told}."
    said = [_series_sentence(name, found) for name, found in memory.series.items() if found.verdict == memory.verdict]
    if memory.verdict in ("OK", "INCONCLUSIVE"):
        said = said[:1]
    grows = memory.rss is not None and memory.rss.verdict in ("LEAK", "INCONCLUSIVE")
    if grows and (kept := kept_per_request(memory)):
        said.append(f"Memory grows {kept}.")
    if times := ", ".join(f"{at_s:,.0f} s" for at_s in memory.restarts_s):
        judged = f"only {memory.from_s:,.0f} to {memory.to_s:,.0f} s was judged"
        said.append(f"The target restarted at {times}; {judged}.")
    exported = run.facts.memory.kind == "prometheus"
    if memory.gone_s is not None:
        what = "Its metrics could not be read any more" if exported else "The target was gone"
        said.append(f"{what} after {memory.gone_s:,.0f} s.")
    return " ".join([*said, *_processes_sentence(run, memory)])


def kept_per_request(memory: Memory) -> str:
    """How much the target keeps of each request, with its interval; nothing where that may be none."""
    between, estimate = memory.bytes_per_request_between, memory.bytes_per_request
    if between is None or between.low <= 0 or estimate is None or estimate < 1:
        return ""
    low, high = three_digits(between.low / 1e3), three_digits(between.high / 1e3)
    return f"{three_digits(estimate / 1e3)} KB per request ({low} to {high})"


def _processes_sentence(run: Run, memory: Memory) -> list[str]:
    """Of several processes: which were sampled, and how many were replaced meanwhile."""
    if memory.answering > 1:
        one = "each was judged by itself, and the figures are of the worst"
        return [f"Several processes answer metrics_url, {memory.answering} so far: {one}."]
    said = []
    if memory.recycled:
        held = (
            "only the peaks show growth, because each new worker starts small again"
            if memory.peaks
            else "the target went on"
        )
        said = [f"{memory.recycled:,} worker{'s' if memory.recycled > 1 else ''} recycled: {held}."]
    if run.facts.memory.kind == "process" and (memory.processes or 0) > 1:
        said.append(f"Sampled: {run.facts.memory.told}.")
    return said


def _series_sentence(name: str, found: Growth) -> str:
    rate, subject, between = rate_of(name), name.capitalize(), found.interval_per_h
    if found.verdict == "LEAK" and between is not None:
        leaks, sure = "leaks" if name == "memory" else "leak", "" if between.low > 0 else " at 90 %"
        return f"{subject} {leaks}: at least {rate(found.at_least_per_h)}{sure} (best estimate {rate(found.per_h)})."
    if found.verdict == "STEP" and found.step_at_s is not None:
        jumped = amount_of(name)(found.step)
        return f"{subject} jumped by {jumped} after {found.step_at_s:,.0f} s, then stopped growing."
    if found.verdict == "OK" and between is not None:
        seen = f"; a leak of {rate(found.smallest_per_h)} would have been found" if found.smallest_per_h else ""
        return f"{subject} is sound: growth of at most {rate(max(0.0, between.high))}{seen}."
    return f"{subject} not judged. {found.reason}{_longer(found)}"


def _longer(found: Growth) -> str:
    if found.needs_s:
        return f" It needs at least {_whole(found.needs_s)}; how much more depends on the noise seen then."
    if not found.settle_s:
        return ""
    return f" Run at least {_whole(found.settle_s)}: --duration {_whole(found.settle_s).replace(' ', '')}."


def _whole(time_s: float) -> str:
    return f"{math.ceil(time_s / 60)} min" if time_s >= 90 else f"{math.ceil(time_s)} s"


def workload_of(run: Run) -> str:
    workload = run.facts.scenario.workload
    arrivals = f", {workload.arrivals} arrivals" if isinstance(workload, Open) else ""
    alone = ", each endpoint and page alone" if run.facts.scenario.isolated else ""
    return f"{'closed' if workload.kind == 'ramp' else workload.kind}, {load_in_words(workload)}{arrivals}{alone}"


def duration_of(run: Run) -> str:
    scenario, planned = run.facts.scenario, seconds(run.facts.scenario.duration_s)
    if scenario.isolated:
        enough = f", or until {scenario.enough_successes:,} successes," if scenario.enough_successes else ""
        planned = f"{planned}{enough} for each"
    return f"{planned} after {seconds(scenario.warmup_s)} of warm-up; measured {seconds(run.facts.duration_s)} in all"


def longer_sentence(run: Run, rows: Sequence[EndpointSummary]) -> str:
    """Why a run was longer than planned; empty where it was not."""
    planned_s, facts = run.facts.scenario.duration_s, run.facts
    if not facts.scenario.longest_s or facts.duration_s < planned_s + 0.5:
        return ""
    known = "p99 is known" if all(row.p99_ms is not None for row in rows) else "more percentiles are known"
    return f"Measured {seconds(facts.duration_s)} instead of {seconds(planned_s)}, so that {known}."
