"""The six lines under Validation in brief PS-5.1, judged by a report's runs and the stored baselines. Pure.

A run that asks less than the brief's own scenario, for a shorter time or of fewer users, can disprove a line, never
prove it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from perflib.show.numbers import ms, seconds
from perflib.spec import SCENARIOS, Closed, Open
from perflib.text.words import memory_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from perflib.figures.summary import Summary
    from perflib.spec import Run, Scenario, Workload
    from perflib.spec.baselines import Baseline, Baselines
    from perflib.verdict.leak import Memory
    from perflib.workbook.report.outcome import Outcome

Status = Literal["met", "not met", "not measured in this profile"]

PAGE_MS = 1000.0
"""The brief's bound on the dashboard's home page, judged on p95."""
_DOCUMENTED = ("baseline", "light_load")
"""The scenarios whose baselines `make baseline` records."""


@dataclass(frozen=True)
class Line:
    """A line of the brief, in its words; `page` shows the run that it rests on, empty where there is none."""

    asked: str
    status: Status
    told: str
    page: str = ""


@dataclass(frozen=True)
class _Found:
    """What a run says of a line; `sound` None: nothing. `at_any_load`: more load than the brief's excuses nothing."""

    sound: bool | None
    told: str
    at_any_load: bool = False


class _Judge(Protocol):
    def __call__(self, run: Run, summary: Summary, memory: Memory) -> _Found: ...


def validation(outcomes: Sequence[Outcome], baselines: Baselines) -> tuple[Line, ...]:
    """The brief's six lines, in its order."""
    by_name = {outcome.scenario: outcome for outcome in outcomes}
    steady, sustained, light = (by_name.get(name) for name in ("steady_rate", "sustained", "light_load"))
    return (
        _recorded("Baseline recorded for all critical endpoints", outcomes, baselines),
        _ran("Load test script runs successfully", outcomes),
        _judged("50 concurrent requests/sec sustained for 2 minutes without 5xx errors", steady, _without_5xx),
        _judged("No memory leaks detected over 30-minute sustained test", sustained, _without_leak),
        _judged("Dashboard home loads in <1 second under light load", light, _pages_in_time),
        _documented("Performance baselines documented", outcomes, baselines),
    )


def _judged(asked: str, outcome: Outcome | None, judge: _Judge) -> Line:
    if outcome is None:
        return Line(asked, "not measured in this profile", "its scenario is not part of this report")
    if outcome.unfit or outcome.run is None or outcome.summary is None or outcome.memory is None:
        return Line(asked, "not measured in this profile", outcome.unfit, outcome.page)
    scenario, found = outcome.run.facts.scenario, judge(outcome.run, outcome.summary, outcome.memory)
    less, more = _less(scenario), "" if found.at_any_load else _more(scenario)
    excuse = {True: less, False: more, None: less}[found.sound]
    told = f"{found.told}; {excuse}" if excuse else found.told
    status: Status = "not measured in this profile"
    if found.sound is not None and not excuse:
        status = "met" if found.sound else "not met"
    return Line(asked, status, told, outcome.page)


def _without_5xx(run: Run, summary: Summary, memory: Memory) -> _Found:
    """Sustained, as the brief has it: every request that was due was also answered as expected."""
    counts, errors = summary.requests, summary.server_errors
    if not counts.scheduled:
        return _Found(None, "no request was measured")
    told = f"{errors:,} answers with a 5xx in {counts.scheduled:,} requests" if errors else "no 5xx"
    lost = counts.scheduled - counts.completed - errors
    if lost > 0:
        return _Found(False, f"{told}, but {lost:,} of {counts.scheduled:,} requests failed otherwise")
    return _Found(not errors, told if errors else f"no 5xx in {counts.scheduled:,} requests")


def _without_leak(run: Run, summary: Summary, memory: Memory) -> _Found:
    told = memory_sentence(run, memory).rstrip(".")
    if memory.verdict == "LEAK":
        return _Found(False, told, at_any_load=True)
    whole = not memory.restarts_s and memory.gone_s is None
    verdicts = {found.verdict for found in memory.series.values()}
    return _Found(True if whole and verdicts and verdicts <= {"OK", "STEP"} else None, told)


def _pages_in_time(run: Run, summary: Summary, memory: Memory) -> _Found:
    pages = [row for row in summary.endpoints if row.kind == "page"]
    if not pages:
        return _Found(None, "the target has no page, or the run left it out")
    told = ", ".join(f"{row.endpoint}: {_p95(row.p95_ms)}" for row in pages)
    judged = [row.judged_p95_ms for row in pages]
    late = any(value is not None and value >= PAGE_MS for value in judged)
    failed = sum(row.errors for row in pages)
    told += f", {failed:,} loads failed" if failed else ""
    return _Found(False if late else None if None in judged else True, told)


def _p95(value_ms: float | None) -> str:
    return "too few loads for a p95" if value_ms is None else f"p95 {ms(value_ms)} ms"


def _ran(asked: str, outcomes: Sequence[Outcome]) -> Line:
    if not outcomes:
        return Line(asked, "not measured in this profile", "no scenario ran")
    broken = [f"{outcome.scenario}: {outcome.unfit}" for outcome in outcomes if outcome.unfit]
    told = "; ".join(broken) or f"{len(outcomes)} of {len(SCENARIOS)} scenarios ran to their end"
    return Line(asked, "not met" if broken else "met", told, outcomes[0].page)


def _recorded(asked: str, outcomes: Sequence[Outcome], baselines: Baselines) -> Line:
    run, page = _a_run(outcomes), _page_of(outcomes, "baseline")
    if run is None:
        return Line(asked, "not measured in this profile", "no run tells which target and machine", page)
    fitting = _of_this_system(run, baselines, "baseline")
    if not fitting:
        return Line(asked, "not met", _none_recorded("baseline"), page)
    timed = {name for one in fitting for name, row in one.endpoints.items() if row.p95_ms is not None}
    lacking = [item.name for item in run.facts.target.items if item.name not in timed]
    if lacking:
        return Line(asked, "not met", f"no p95 of {', '.join(lacking)}", page)
    return Line(asked, "met", f"{len(timed)} endpoints and pages; {_about(fitting)}", page)


def _documented(asked: str, outcomes: Sequence[Outcome], baselines: Baselines) -> Line:
    run, page = _a_run(outcomes), _page_of(outcomes, "light_load")
    if run is None:
        return Line(asked, "not measured in this profile", "no run tells which target and machine", page)
    fitting = {name: _of_this_system(run, baselines, name) for name in _DOCUMENTED}
    lacking = [name for name, some in fitting.items() if not some]
    if lacking:
        return Line(asked, "not met", _none_recorded(" or ".join(lacking)), page)
    told = "; ".join(f"{name}: {_about(some)}" for name, some in fitting.items())
    return Line(asked, "met", f"performance_baselines.json has {told}", page)


def _none_recorded(scenario: str) -> str:
    return f"performance_baselines.json has none of {scenario} for this target and machine; `make baseline` records it"


def _about(baselines: Iterable[Baseline]) -> str:
    newest = max(baselines, key=lambda one: one.recorded_at)
    return f"{len(newest.runs)} run{'s' if len(newest.runs) != 1 else ''}, recorded {newest.recorded_at[:10]}"


def _of_this_system(run: Run, baselines: Baselines, scenario: str) -> list[Baseline]:
    facts = run.facts
    key = (facts.target.name, scenario, facts.environment.machine)
    return [one for one in baselines.baselines if (one.target, one.scenario, one.environment) == key]


def _a_run(outcomes: Sequence[Outcome]) -> Run | None:
    return next((outcome.run for outcome in outcomes if outcome.run), None)


def _page_of(outcomes: Sequence[Outcome], scenario: str) -> str:
    return next((outcome.page for outcome in outcomes if outcome.scenario == scenario), "")


def _less(scenario: Scenario) -> str:
    """What of the brief's scenario this one does not reach, in words; empty for nothing."""
    asked, workload = SCENARIOS[scenario.name]["brief"], scenario.workload
    level, whole = _level(workload, min), _level(asked.workload, min)
    said = []
    if scenario.duration_s < asked.duration_s:
        said.append(f"{seconds(scenario.duration_s)} of the brief's {seconds(asked.duration_s)}")
    if level < whole:
        said.append(f"{level:g} of its {whole:g} {_unit(workload)}")
    if isinstance(workload, Closed) and workload.think_time_s:
        said.append("users paused")
    if scenario.endpoints:
        said.append("only some endpoints were driven")
    return ", ".join(said)


def _more(scenario: Scenario) -> str:
    """What this scenario asks beyond the brief's, in words; empty for nothing."""
    level, whole = _level(scenario.workload, max), _level(SCENARIOS[scenario.name]["brief"].workload, max)
    return f"{level:g} {_unit(scenario.workload)}, more than the brief's {whole:g}" if level > whole else ""


def _unit(workload: Workload) -> str:
    return "requests per second" if isinstance(workload, Open) else "users"


def _level(workload: Workload, pick: Callable[[list[float]], float]) -> float:
    if isinstance(workload, Closed):
        return workload.users
    if workload.stages:
        return pick([level for stage in workload.stages for level in (stage.start, stage.end)])
    return workload.rate_per_s if isinstance(workload, Open) else 0.0
