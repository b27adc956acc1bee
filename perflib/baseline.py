"""Baselines: what a scenario's figures were on this machine, made of several runs. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from perflib.model import Environment, InputError, Run, Spec, Workload
from perflib.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perflib.summary import EndpointSummary

SCHEMA_VERSION = 1


class Machine(Spec):
    """What of the environment is part of a baseline's key."""

    os: str
    arch: str
    cpu: str
    cores: int


def machine_of(environment: Environment) -> Machine:
    """What of an environment a baseline is found by."""
    return Machine.model_validate(environment.model_dump(include=set(Machine.model_fields)))


class PerRun(Spec):
    """The runs' own percentiles, in the order of `Baseline.runs`."""

    p50_ms: tuple[float | None, ...]
    p95_ms: tuple[float | None, ...]


class EndpointBaseline(Spec):
    """`p*_ms` are medians over the runs, `max_ms` their maximum; None where no run could support the figure."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    target_ms: float | None
    meets_target: bool | None
    requests: int
    errors: int
    per_run: PerRun


class Baseline(Spec):
    """One entry of performance_baselines.json."""

    target: str
    scenario: str
    workload: Workload
    duration_s: float
    environment: Machine
    recorded_at: str
    git_commit: str | None
    versions: dict[str, str]
    runs: tuple[str, ...]
    endpoints: dict[str, EndpointBaseline]

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two baselines the same one: target, scenario, workload, duration and machine."""
        return (self.target, self.scenario, self.workload, self.duration_s, self.environment)


class Baselines(Spec):
    """performance_baselines.json."""

    schema_version: int = SCHEMA_VERSION
    baselines: tuple[Baseline, ...] = ()

    def with_entry(self, entry: Baseline) -> Baselines:
        """These baselines, `entry` in the place of an older one of its key."""
        others = [one for one in self.baselines if one.key != entry.key]
        ordered = sorted([*others, entry], key=lambda one: (one.target, one.scenario, one.recorded_at))
        return Baselines(baselines=tuple(ordered))


def baseline_of(runs: Sequence[Run]) -> Baseline:
    """The baseline that these runs of one scenario make.

    Raises:
        InputError: naming the run that does not fit: invalid, interrupted, with errors, or of another workload.
    """
    for run in runs:
        _check(run, runs[0])
    last = runs[-1].facts
    summaries = [{row.endpoint: row for row in summarize(run).endpoints} for run in runs]
    return Baseline(
        target=last.target.name,
        scenario=last.scenario.name,
        workload=last.scenario.workload,
        duration_s=last.scenario.duration_s,
        environment=machine_of(last.environment),
        recorded_at=last.finished_at or last.started_at,
        git_commit=last.git_commit,
        versions=last.environment.versions,
        runs=tuple(run.facts.run_id for run in runs),
        endpoints={name: _endpoint_baseline([each[name] for each in summaries]) for name in summaries[0]},
    )


def _check(run: Run, first: Run) -> None:
    facts, of = run.facts, first.facts
    failed = int(run.requests.loc[~run.requests["warmup"], "error"].notna().sum())
    refusals = {
        f"is invalid ({'; '.join(facts.invalid_reasons)})": not facts.valid,
        "was interrupted": facts.interrupted,
        f"has {failed} failed requests": failed > 0,
        f"is not of the same target, scenario and workload as {of.run_id}": (facts.target, facts.scenario)
        != (of.target.model_copy(update={"base_url": facts.target.base_url}), of.scenario),
    }
    for refusal, applies in refusals.items():
        if applies:
            raise InputError(f"run {facts.run_id}: {refusal}; no baseline is made of it: measure anew")


def _endpoint_baseline(rows: Sequence[EndpointSummary]) -> EndpointBaseline:
    p95_ms, target_ms = _median([row.p95_ms for row in rows]), rows[-1].target_ms
    return EndpointBaseline(
        p50_ms=_median([row.p50_ms for row in rows]),
        p95_ms=p95_ms,
        p99_ms=_median([row.p99_ms for row in rows]),
        max_ms=max((_rounded(row.max_ms) for row in rows if row.max_ms is not None), default=None),
        target_ms=target_ms,
        meets_target=None if p95_ms is None or target_ms is None else p95_ms < target_ms,
        requests=sum(row.requests for row in rows),
        errors=sum(row.errors for row in rows),
        per_run=PerRun(
            p50_ms=tuple(None if row.p50_ms is None else _rounded(row.p50_ms) for row in rows),
            p95_ms=tuple(None if row.p95_ms is None else _rounded(row.p95_ms) for row in rows),
        ),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(median(known)) if known else None


def _rounded(value_ms: float) -> float:
    return round(value_ms, 3)
