"""The criteria of a brief, judged by a report's runs and the stored baselines. Pure.

A run that asks less than the brief's own scenario, for a shorter time or of fewer users, can disprove a criterion,
never prove it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perflib.figures.limits import meets
from perflib.figures.summary import EndpointSummary, Summary
from perflib.judge.leak import Memory
from perflib.show.numbers import ms, no_less, seconds
from perflib.spec import SCENARIOS, Blocks, Closed, Open, Run, Scenario, Workload
from perflib.spec.baselines import Baselines
from perflib.spec.briefs import BRIEFS, Criterion
from perflib.text.words import memory_sentence
from perflib.workbook.report.outcome import Outcome

Status = Literal["met", "not met", "not measured"]
_STATUS: dict[bool | None, Status] = {True: "met", False: "not met", None: "not measured"}


@dataclass(frozen=True)
class Line:
    """A criterion in the brief's words, and what became of it; `page` shows the run that it rests on, if any."""

    wording: str
    status: Status
    reason: str
    page: str = ""

    @property
    def mark(self) -> str:
        return {"met": "✓", "not met": "✗", "not measured": "–"}[self.status]


@dataclass(frozen=True)
class _Found:
    """Whether a criterion is met; None: not known."""

    met: bool | None
    reason: str
    at_any_load: bool = False
    """More load than the brief's excuses nothing."""


def validation(brief: str, outcomes: Sequence[Outcome], baselines: Baselines) -> tuple[Line, ...]:
    """The criteria of a brief, in its order; none for a brief without a name."""
    pages = {outcome.scenario: outcome.page for outcome in outcomes}
    lines = []
    for criterion in BRIEFS.get(brief, ()):
        found = _answer(criterion, outcomes, baselines)
        last = criterion.scenarios[-1] if criterion.scenarios else next(iter(pages), "")
        lines.append(Line(criterion.wording, _STATUS[found.met], found.reason, pages.get(last, "")))
    return tuple(lines)


def _answer(criterion: Criterion, outcomes: Sequence[Outcome], baselines: Baselines) -> _Found:
    match criterion.question:
        case "all ran":
            return _all_ran(outcomes)
        case "recorded" | "every p95 recorded":
            run = next((outcome.run for outcome in outcomes if outcome.run), None)
            return _recorded(criterion, run, baselines) if run else _Found(None, "no run was recorded")
        case _:
            asked = [outcome for outcome in outcomes if outcome.scenario in criterion.scenarios]
            return _of_run(criterion, asked[0]) if asked else _Found(None, "not part of this report")


def _all_ran(outcomes: Sequence[Outcome]) -> _Found:
    broken = [f"{outcome.scenario}: {outcome.unfit}" for outcome in outcomes if outcome.unfit]
    ran = f"{len(outcomes)} of {len(SCENARIOS)} scenarios ran to their end"
    return _Found(not broken if outcomes else None, "; ".join(broken) or ran)


def _recorded(criterion: Criterion, run: Run, baselines: Baselines) -> _Found:
    reasons = []
    for scenario in criterion.scenarios:
        key = (run.facts.target.name, scenario, run.facts.environment.machine)
        fitting = [one for one in baselines.baselines if (one.target, one.scenario, one.environment) == key]
        if not fitting:
            command = run.facts.again("baseline record", scenario)
            return _Found(
                False, f"no baseline of scenario {scenario} for this target and machine; {command} records one"
            )
        timed = {name for one in fitting for name, row in one.endpoints.items() if row.p95_ms is not None}
        lacking = [item.name for item in run.facts.target.items if item.name not in timed]
        if lacking and criterion.question == "every p95 recorded":
            return _Found(False, f"no p95 of {', '.join(lacking)}")
        newest = max(fitting, key=lambda one: one.recorded_at)
        many = f"{len(newest.runs)} run{'s' if len(newest.runs) != 1 else ''}, recorded {newest.recorded_at[:10]}"
        reasons.append(f"{scenario}: {len(timed)} endpoints and pages in {many}")
    return _Found(True, "; ".join(reasons))


def _of_run(criterion: Criterion, outcome: Outcome) -> _Found:
    run, summary, memory = outcome.run, outcome.summary, outcome.memory
    if outcome.unfit or run is None or summary is None or memory is None:
        return _Found(None, outcome.unfit)
    match criterion.question:
        case "no 5xx":
            found = _without_5xx(summary)
        case "no leak":
            found = _without_leak(run, memory)
        case _:
            found = _pages_in_time(summary, criterion.limit_ms or 0.0)
    excuse = "" if found.at_any_load else _beside_the_brief(run.facts.scenario, more=found.met is False)
    return _Found(None, f"{found.reason}; {excuse}") if excuse else found


def _without_5xx(summary: Summary) -> _Found:
    """Sustained, as the brief has it: every request that was due was also answered as expected."""
    counts, errors = summary.requests, summary.server_errors
    silent = [row.endpoint for row in summary.endpoints if row.unanswered]
    if silent:
        return _Found(False, f"without an answer: {', '.join(silent)}")
    if not counts.scheduled:
        return _Found(None, "no request was measured")
    found = f"{errors:,} answers with a 5xx" if errors else "no 5xx"
    lost = counts.scheduled - counts.completed - errors
    if lost > 0:
        return _Found(False, f"{found}, but {lost:,} of {counts.scheduled:,} requests failed otherwise")
    return _Found(not errors, f"{found} in {counts.scheduled:,} requests")


def _without_leak(run: Run, memory: Memory) -> _Found:
    reason = memory_sentence(run, memory).rstrip(".")
    if memory.verdict == "LEAK":
        return _Found(False, reason, at_any_load=True)
    whole = not memory.restarts_s and memory.gone_s is None
    verdicts = {found.verdict for found in memory.series.values()}
    return _Found(True if whole and verdicts and verdicts <= {"OK", "STEP"} else None, reason)


def _pages_in_time(summary: Summary, limit_ms: float) -> _Found:
    pages = [row for row in summary.endpoints if row.kind == "page"]
    if not pages:
        return _Found(None, "the target has no page, or the run left it out")
    reasons = [f"{row.endpoint}: {_time_of(row)}" for row in pages]
    failed = sum(row.errors for row in pages)
    reasons += [f"{failed:,} loads failed"] if failed else []
    judged = [row.judged_p95_ms for row in pages]
    late = any(meets(limit_ms, (row.p95_at_least_ms, row.judged_p95_ms), row.unanswered) is False for row in pages)
    return _Found(False if late else None if None in judged else True, ", ".join(reasons))


def _time_of(page: EndpointSummary) -> str:
    if page.unanswered_s is not None:
        return f"unanswered for {seconds(page.unanswered_s)}"
    if page.p95_ms is None:
        bound = no_less(page.p95_at_least_ms)
        return f"p95 {bound} ms, of too few loads" if bound else "too few loads for a p95"
    return f"p95 {ms(page.p95_ms)} ms"


def _beside_the_brief(scenario: Scenario, *, more: bool) -> str:
    """What this scenario asks more than the brief's, or what of it is missing, in words; empty for nothing."""
    asked, workload = SCENARIOS[scenario.name]["brief"], scenario.workload
    unit = "requests per second" if isinstance(workload, Open) else "users"
    (least, most), (whole, bound) = _levels(workload), _levels(asked.workload)
    if more:
        return f"{most:g} {unit}, more than the brief's {bound:g}" if most > bound else ""
    shorter = f"{seconds(scenario.duration_s)} of the brief's {seconds(asked.duration_s)}"
    missing = (
        shorter if scenario.duration_s < asked.duration_s else "",
        f"{least:g} of its {whole:g} {unit}" if least < whole else "",
        "users paused" if isinstance(workload, Closed) and workload.think_time_s else "",
        "only some endpoints were driven" if scenario.endpoints else "",
    )
    return ", ".join(filter(None, missing))


def _levels(workload: Workload) -> tuple[float, float]:
    """The lowest and the highest level that a workload asks for."""
    if isinstance(workload, Closed | Blocks):
        return workload.most_users, workload.most_users
    levels = [level for stage in workload.stages for level in (stage.start, stage.end)]
    steady = workload.rate_per_s if isinstance(workload, Open) else 0.0
    return min(levels, default=steady), max(levels, default=steady)
