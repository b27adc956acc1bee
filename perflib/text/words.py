"""Verdicts in sentences, and figures in words. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from perflib.figures import spike
from perflib.spec import Open, Ramp
from perflib.verdict.compare import by_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perflib.figures.summary import EndpointSummary, Summary
    from perflib.spec import Run
    from perflib.stats.growth import Growth
    from perflib.verdict.check import Check, EndpointVerdict
    from perflib.verdict.compare import FigureVerdict
    from perflib.verdict.leak import Memory

INSUFFICIENT, NOTHING = "insufficient", "–"
MET, MISSED = "✓ met", "✗ missed"
RULE = (
    "Percentiles are nearest-rank, over all successes after warm-up; “insufficient” where there are too few for one. "
    "A target is judged on p95, with each failure counted as infinitely slow. Cold answers are reported apart."
)
COLUMNS = ("Endpoint", "Requests", "Errors", "p50", "p95", "p99", "Max", "Target", "Met")
AGAINST = "Against baseline"
TIMES = ["p50", "p95", "p99", "Max", "Target"]


def verdict_sentence(run: Run, summary: Summary) -> str:
    """The verdict in plain words: which targets were met, and what failed."""
    facts, counts = run.facts, summary.requests
    if not facts.valid:
        return f"Invalid run, not judged: {'; '.join(facts.invalid_reasons)}."
    begin = f"Interrupted after {seconds(facts.duration_s)}: " if facts.interrupted else ""
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
    load = f"under {load_of(run)}"
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
    return f"{name}{ms(row.judged_p95_ms if row.meets_target is False else row.p95_ms)} ms{bound}"


def _too_few(rows: Sequence[EndpointSummary]) -> str:
    return f"; too few requests to judge {', '.join(row.endpoint for row in rows)}" if rows else ""


def _count(targets: int) -> str:
    return f"{targets} target{'s' if targets != 1 else ''}"


def comparison_sentence(figures: Sequence[FigureVerdict]) -> str:
    """How B compares with A, in plain words."""
    found = by_endpoint(figures)
    named: dict[str, list[str]] = {}
    for name, verdict in found.items():
        named.setdefault(verdict, []).append(name)
    if "REGRESSION" in named:
        return f"B is slower than A: {', '.join(named['REGRESSION'])}."
    if "INCONCLUSIVE" in named:
        better = f"; faster: {', '.join(named['IMPROVED'])}" if "IMPROVED" in named else ""
        return f"No answer for {len(named['INCONCLUSIVE'])} of {len(found)} endpoints and pages{better}."
    if "IMPROVED" in named:
        return f"B is faster than A: {', '.join(named['IMPROVED'])}; no regression."
    return "B is as fast as A." if found else "Nothing was compared."


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
    rule = f"p95 of {spike.IN_A_ROW} windows in a row, {width_s:g} s each, within {ms(found.band_ms[1])} ms"
    if found.recovered is None:
        watched = f"{len(after)} window{'s' if len(after) != 1 else ''} after the load went back"
        return f"Recovery cannot be told: {watched}, too few to see {rule}."
    if not found.recovered:
        return f"Not recovered in the {seconds(len(after) * width_s)} after the load went back: never {rule}."
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
    rate, subject = rate_of(name), name.capitalize()
    between = found.interval_per_h
    if found.verdict == "LEAK" and between is not None:
        bound = f"{rate(between.low)} or more" if between.low > 0 else f"{rate(between.high)} at most"
        return f"{subject} leak{'s' if name == 'memory' else ''}: {rate(found.per_h)} ({bound})."
    if found.verdict == "STEP" and found.step_at_s is not None:
        return f"{subject} jumped by {amount_of(name)(found.step)} after {found.step_at_s:,.0f} s, and did not grow on."
    if found.verdict == "OK" and between is not None:
        seen = "" if found.smallest_per_h is None else f"; this run could have seen {rate(found.smallest_per_h)}"
        return f"{subject} is sound: it grew by {rate(max(0.0, between.high))} at most{seen}."
    longer = f" A run of {_minutes(found.settle_s)} would settle it." if found.settle_s else ""
    return f"{subject}: no verdict. {found.reason}{longer}"


def brief_columns(against: Check | None) -> tuple[str, ...]:
    """The brief table's columns; `against` adds the last one."""
    return COLUMNS if against is None else (*COLUMNS, AGAINST)


def brief_row(row: EndpointSummary, judged: bool, against: Check | None = None) -> list[str]:
    cells = _brief_cells(row, judged)
    if against is None:
        return cells
    found = next((one for one in against.endpoints if one.endpoint == row.endpoint), None)
    return [*cells, NOTHING if found is None else _against(found)]


def baseline_sentence(against: Check) -> str:
    """What a run's check found against its baseline, or why there is nothing to compare."""
    rows, recorded_at = against.endpoints, next((at for at in against.baselines.values() if at), None)
    if recorded_at is None:
        reasons = dict.fromkeys([row.reason for row in rows] or [one.reason for one in against.findings])
        return f"Not compared with a baseline: {'; '.join(reasons) or 'no request was measured'}."
    slower = [f"{row.endpoint} ({row.reason})" for row in rows if row.verdict == "REGRESSION"]
    unclear = sum(row.verdict in ("INCONCLUSIVE", "NO_BASELINE") for row in rows)
    told = f"slower are {', '.join(slower)}" if slower else "no regression"
    open_ = f"; {unclear} of {len(rows)} cannot be told" if unclear else ""
    return f"Against the baseline of {recorded_at[:10]}: {told}{open_}."


def _against(found: EndpointVerdict) -> str:
    """How many times its baseline, and the verdict; of p95 unless it was p50 that told."""
    if found.verdict == "NO_BASELINE":
        return NOTHING
    told, p95_ms, before_ms = found.telling, found.p95_ms, found.baseline_p95_ms
    ratio = told.ratio if told else p95_ms / before_ms if p95_ms is not None and before_ms else None
    figure = "p50 " if told and told.figure == "p50" else ""
    times = "" if ratio is None else f"{figure}{ratio:.2f} × " if math.isfinite(ratio) else f"{figure}failed, "
    return f"{times}{found.verdict}"


def _brief_cells(row: EndpointSummary, judged: bool) -> list[str]:
    met = {True: MET, False: MISSED, None: INSUFFICIENT}[row.meets_target]
    return [
        row.endpoint,
        f"{row.requests:,}",
        f"{row.errors:,}",
        *(ms(value) for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        ms(row.max_ms, NOTHING),
        NOTHING if row.target_ms is None else f"< {row.target_ms:,g}",
        NOTHING if row.target_ms is None else met if judged else "not judged",
    ]


def ms(value: float | None, missing: str = INSUFFICIENT) -> str:
    """Milliseconds to three digits.

    >>> [ms(value) for value in (0.1234, 4.567, 45.67, 456.7, 4567.8, None)]
    ['0.12', '4.57', '45.7', '457', '4,568', 'insufficient']
    """
    if value is None:
        return missing
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def share(share: float) -> str:
    """A share in percent that never rounds a failure away."""
    if 0 < share < 0.0001:
        return "< 0.01 %"
    if 0.9999 < share < 1:
        return "> 99.99 %"
    return f"{100 * share:.{4 if share > 0.99 else 3}g} %"


def scaled(value: float | None, factor: float, unit: str) -> str:
    return "not measured" if value is None else f"{value * factor:,.3g} {unit}"


def seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def _minutes(value_s: float) -> str:
    return f"{value_s / 60:,.0f} min" if value_s >= 90 else f"{value_s:,.0f} s"


def three_digits(value: float) -> str:
    """A number that may be negative or large.

    >>> [three_digits(value) for value in (-6.62, 0.04567, 4889.2, 1e-13)]
    ['-6.62', '0.0457', '4,889', '0']
    """
    if abs(value) < 1e-6:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def amount_of(name: str) -> Callable[[float | None], str]:
    if name == "memory":
        return lambda value: NOTHING if value is None else f"{three_digits(value / 1e6)} MB"
    return lambda value: NOTHING if value is None else three_digits(value)


def rate_of(name: str) -> Callable[[float | None], str]:
    amount = amount_of(name)
    return lambda value: amount(value) if value is None else f"{amount(value)}/h"


def load_of(run: Run) -> str:
    workload = run.facts.scenario.workload
    if isinstance(workload, Open):
        return f"{'up to ' if workload.stages else ''}{workload.rate_per_s:g} requests a second"
    users = max(max(s.start, s.end) for s in workload.stages) if isinstance(workload, Ramp) else workload.users
    return f"{'up to ' if isinstance(workload, Ramp) else ''}{users} user{'s' if users != 1 else ''}"


def workload_of(run: Run) -> str:
    workload = run.facts.scenario.workload
    arrivals = f", {workload.arrivals} arrivals" if isinstance(workload, Open) else ""
    alone = ", each endpoint and page alone" if run.facts.scenario.isolated else ""
    return f"{'closed' if workload.kind == 'ramp' else workload.kind}, {load_of(run)}{arrivals}{alone}"


def duration_of(run: Run) -> str:
    scenario = run.facts.scenario
    planned = seconds(scenario.duration_s)
    if scenario.isolated:
        enough = f", or until {scenario.enough_successes:,} successes," if scenario.enough_successes else ""
        planned = f"{planned}{enough} for each"
    return f"{planned} after {seconds(scenario.warmup_s)} of warm-up; measured {seconds(run.facts.duration_s)} in all"
