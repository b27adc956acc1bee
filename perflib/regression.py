"""Regression: the verdict on fresh runs against their baseline. Pure.

Three questions, in this order: are targets met and errors rare (asked of any run), did p95 double (the brief's rule),
and did anything change beyond what the baseline's own runs vary by (`perflib.stats.band`, one family a scenario).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from perflib.baseline import machine_of
from perflib.memory import memory_of
from perflib.stats.band import Change, Sample, judge
from perflib.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perflib.baseline import Baseline, Baselines
    from perflib.model import Run
    from perflib.stats.band import Judgement
    from perflib.stats.interval import Interval
    from perflib.summary import EndpointSummary, Summary

Verdict = Literal["REGRESSION", "IMPROVED", "SAME", "INCONCLUSIVE", "NO_BASELINE"]

BACKSTOP = 2.0
"""The brief's rule: p95 beyond so many times the baseline's fails, whatever the statistics say."""
_SOUND, _FOUND, _INVALID = 0, 1, 3


@dataclass(frozen=True)
class EndpointVerdict:
    """One endpoint or page; `ratio`, `interval` and `mde` are of p95, or of p50 where `figure` says so.

    `p95_ms` is the median over the runs, each failure counted as infinitely slow; None: too few requests.
    """

    scenario: str
    endpoint: str
    verdict: Verdict
    reason: str
    figure: str | None
    ratio: float | None
    interval: Interval | None
    mde: float | None
    p95_ms: float | None
    baseline_p95_ms: float | None
    target_ms: float | None
    meets_target: bool | None
    error_share: float


@dataclass(frozen=True)
class Check:
    """The verdict on runs, of one scenario or several.

    `reasons` say why `exit_status` is not 0, `notes` what a reader should know besides. `baselines` has the moment each
    scenario's baseline was recorded, None where there is none that fits.
    """

    runs: tuple[str, ...]
    baselines: dict[str, str | None]
    endpoints: tuple[EndpointVerdict, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    exit_status: int

    @property
    def mde(self) -> float | None:
        """The smallest change of a p95 that this check could have seen in every endpoint."""
        return max((row.mde for row in self.endpoints if row.mde is not None), default=None)

    def as_json(self) -> dict[str, Any]:
        """The object that `perflib check --format json` prints."""
        return {
            "exit": self.exit_status,
            "runs": list(self.runs),
            "baseline": next((at for at in self.baselines.values() if at), None),
            "baselines": self.baselines,
            "mde": _finite(self.mde),
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "endpoints": [_row_as_json(row) for row in self.endpoints],
        }


def check(runs: Sequence[Run], baselines: Baselines, most_errors: float = 0.0) -> Check:
    """Judge runs. Several of one scenario are judged together, as several looks at the same thing.

    Args:
        most_errors: the share of failed requests above which an endpoint fails.
    """
    ordered = sorted(runs, key=lambda run: run.facts.scenario.name)
    parts = [
        _check(list(some), baselines, most_errors) for _, some in groupby(ordered, lambda r: r.facts.scenario.name)
    ]
    statuses = [part.exit_status for part in parts]
    return Check(
        runs=tuple(run for part in parts for run in part.runs),
        baselines={name: at for part in parts for name, at in part.baselines.items()},
        endpoints=tuple(row for part in parts for row in part.endpoints),
        reasons=tuple(reason for part in parts for reason in part.reasons),
        notes=tuple(note for part in parts for note in part.notes),
        exit_status=next((status for status in (_FOUND, _INVALID) if status in statuses), _SOUND),
    )


def _check(runs: list[Run], baselines: Baselines, most_errors: float) -> Check:
    """The check of the runs of one scenario."""
    facts = runs[0].facts
    name, ids = facts.scenario.name, tuple(run.facts.run_id for run in runs)
    unfit = tuple(f"{run.facts.run_id}: {why}" for run in runs for why in _unfit(run))
    if unfit:
        return Check(ids, {name: None}, (), unfit, (), _INVALID)
    summaries = [summarize(run) for run in runs]
    found = match(runs[0], baselines)
    rows = tuple(_judged(runs, summaries, found.baseline, found.why_not))
    findings = [*_findings(rows, most_errors), *_run_findings(runs, summaries)]
    notes = [] if found.baseline else [f"{name}: {found.why_not}"]
    if any(row.verdict == "REGRESSION" for row in rows) and not facts.scenario.isolated and len(rows) > 1:
        notes.append(f"{name}: endpoints under one load slow each other; `perflib check baseline` names the cause")
    recorded_at = found.baseline.recorded_at if found.baseline else None
    return Check(ids, {name: recorded_at}, rows, tuple(findings), tuple(notes), _FOUND if findings else _SOUND)


def _unfit(run: Run) -> list[str]:
    interrupted = ["it was interrupted"] if run.facts.interrupted else []
    return [*run.facts.invalid_reasons, *interrupted]


@dataclass(frozen=True)
class Match:
    """The baseline that fits a run, or why there is none."""

    baseline: Baseline | None
    why_not: str = ""


def match(run: Run, baselines: Baselines) -> Match:
    """The baseline with the run's target, scenario, workload, duration, machine and endpoints."""
    facts = run.facts
    near = [
        one for one in baselines.baselines if (one.target, one.scenario) == (facts.target.name, facts.scenario.name)
    ]
    differs = {one.recorded_at: _differences(run, one) for one in near}
    fitting = next((one for one in near if not differs[one.recorded_at]), None)
    if fitting:
        return Match(fitting)
    if not near:
        record = f"`perflib baseline record {facts.scenario.name}`"
        return Match(None, f"no baseline of target {facts.target.name!r} for this scenario; {record} makes one")
    closest = min(near, key=lambda one: len(differs[one.recorded_at]))
    return Match(
        None, f"the baseline of {closest.recorded_at} is not comparable: {'; '.join(differs[closest.recorded_at])}"
    )


def _differences(run: Run, baseline: Baseline) -> list[str]:
    """What keeps a baseline of the same target and scenario from being compared with a run, in words."""
    facts, scenario = run.facts, run.facts.scenario
    here, there = machine_of(facts.environment).model_dump(), baseline.environment.model_dump()
    said = [f"{key} is {here[key]!r}, was {there[key]!r}" for key in here if here[key] != there[key]]
    workload, was = scenario.workload.model_dump(mode="json"), baseline.workload.model_dump(mode="json")
    keys = [key for key in workload | was if workload.get(key) != was.get(key)]
    said += [f"workload {key} is {workload.get(key)}, was {was.get(key)}" for key in keys]
    if scenario.duration_s != baseline.duration_s:
        said.append(f"duration is {scenario.duration_s:g} s, was {baseline.duration_s:g} s")
    driven = {item.name for item in scenario.takes(facts.target)}
    if not scenario.isolated and driven != set(baseline.endpoints):
        said.append(f"it drives other endpoints: {', '.join(sorted(driven ^ set(baseline.endpoints)))}")
    return said


def _judged(
    runs: list[Run], summaries: list[Summary], baseline: Baseline | None, why_not: str
) -> list[EndpointVerdict]:
    """A row an endpoint, in the target's order."""
    rows = {row.endpoint: [s.endpoints[place] for s in summaries] for place, row in enumerate(summaries[0].endpoints)}
    samples = [] if baseline is None else _samples(rows, baseline)
    judgements = {one.endpoint: one for one in judge(samples)} if samples else {}
    scenario = runs[0].facts.scenario.name
    return [
        _verdict_of(scenario, some, baseline, judgements.get(name), why_not or "its baseline lacks this endpoint")
        for name, some in rows.items()
    ]


def _samples(rows: dict[str, list[EndpointSummary]], baseline: Baseline) -> list[Sample]:
    return [
        Sample(name, figure, _numbers(before), _numbers(after))
        for name, some in rows.items()
        if (entry := baseline.endpoints.get(name)) is not None
        for figure, before, after in (
            ("p50", entry.per_run.p50_ms, [row.judged_p50_ms for row in some]),
            ("p95", entry.per_run.p95_ms, [row.judged_p95_ms for row in some]),
        )
    ]


def _numbers(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([math.nan if value is None else value for value in values])


def _verdict_of(
    scenario: str, some: list[EndpointSummary], baseline: Baseline | None, judgement: Judgement | None, why_not: str
) -> EndpointVerdict:
    row = some[-1]
    entry = None if baseline is None else baseline.endpoints.get(row.endpoint)
    shown = _telling(judgement)
    known = [one.judged_p95_ms for one in some if one.judged_p95_ms is not None]
    p95_ms = median(known) if known else None
    return EndpointVerdict(
        scenario=scenario,
        endpoint=row.endpoint,
        verdict="NO_BASELINE" if judgement is None else judgement.verdict,
        reason=why_not if judgement is None else judgement.reason,
        figure=None if shown is None else shown.figure,
        ratio=None if shown is None else shown.ratio,
        interval=None if shown is None else shown.interval,
        mde=None if shown is None else shown.mde,
        p95_ms=p95_ms,
        baseline_p95_ms=None if entry is None else entry.p95_ms,
        target_ms=row.target_ms,
        meets_target=None if row.target_ms is None or p95_ms is None else p95_ms < row.target_ms,
        error_share=sum(one.errors for one in some) / max(sum(one.requests for one in some), 1),
    )


def _telling(judgement: Judgement | None) -> Change | None:
    """The figure that made the verdict: the one its reason names, else p95."""
    if judgement is None:
        return None
    told = [figure for figure in judgement.figures if isinstance(figure, Change)]
    named = [figure for figure in told if judgement.reason.startswith(figure.figure)]
    return next(iter(named or [figure for figure in told if figure.figure == "p95"] or told), None)


def _findings(rows: Sequence[EndpointVerdict], most_errors: float) -> list[str]:
    """What fails a check, a line each."""
    found = []
    for row in rows:
        about = f"{row.scenario}, {row.endpoint}"
        if row.error_share > most_errors:
            found.append(f"{about}: {row.error_share:.2%} of its requests failed, {most_errors:.2%} are allowed")
        if row.meets_target is False:
            found.append(f"{about}: p95 {_ms(row.p95_ms)} misses its target of {row.target_ms:g} ms")
        if row.p95_ms is not None and row.baseline_p95_ms and row.p95_ms > BACKSTOP * row.baseline_p95_ms:
            times = row.p95_ms / row.baseline_p95_ms
            found.append(f"{about}: p95 is {times:.2f} x baseline, beyond the brief's {BACKSTOP:g} x")
        if row.verdict == "REGRESSION":
            found.append(f"{about}: {row.reason}")
    return found


def _run_findings(runs: Sequence[Run], summaries: Sequence[Summary]) -> list[str]:
    found = []
    for run, summary in zip(runs, summaries, strict=True):
        if run.facts.scenario.forbid_5xx and summary.server_errors:
            found.append(f"{run.facts.run_id}: {summary.server_errors} answers with a 5xx, none is allowed")
        leaking = [name for name, growth in memory_of(run).series.items() if growth.verdict == "LEAK"]
        found += [f"{run.facts.run_id}: the target leaks {name}" for name in leaking]
    return found


def _ms(value: float | None) -> str:
    return "too often failed" if value in (None, math.inf) else f"{value:.1f} ms"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _row_as_json(row: EndpointVerdict) -> dict[str, Any]:
    return {
        "scenario": row.scenario,
        "endpoint": row.endpoint,
        "verdict": row.verdict,
        "reason": row.reason,
        "figure": row.figure,
        "ratio": _finite(row.ratio),
        "interval": None if row.interval is None else [_finite(row.interval.low), _finite(row.interval.high)],
        "mde": _finite(row.mde),
        "p95_ms": _finite(row.p95_ms),
        "baseline_p95_ms": row.baseline_p95_ms,
        "target_ms": row.target_ms,
        "meets_target": row.meets_target,
        "error_share": row.error_share,
    }
