"""Baselines: what a scenario's figures were on this machine, made of several runs. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Self

from pydantic import PositiveFloat, model_validator

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

    p50_ms: tuple[PositiveFloat | None, ...]
    p95_ms: tuple[PositiveFloat | None, ...]


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

    @model_validator(mode="after")
    def _every_run_everywhere(self) -> Self:
        for name, entry in self.endpoints.items():
            if {len(entry.per_run.p50_ms), len(entry.per_run.p95_ms)} != {len(self.runs)}:
                raise ValueError(f"endpoints: {name!r} has not a figure for each of {len(self.runs)} runs; record anew")
        return self

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


def unfit(run: Run) -> tuple[str, ...]:
    """Why a run is neither judged nor made a baseline of; empty for a sound one."""
    state = {"running": ("it is still running",), "interrupted": ("it was interrupted",), "finished": ()}
    empty = ("no request was measured",) if run.requests["warmup"].all() else ()
    return (*run.facts.invalid_reasons, *state[run.facts.state], *empty)


def alike(one: Run, other: Run) -> bool:
    """Whether two runs are looks at the same thing: target but for its address, scenario, workload and machine."""
    here, there = one.facts, other.facts
    moved = there.target.model_copy(update={"base_url": here.target.base_url})
    machines = machine_of(here.environment), machine_of(there.environment)
    return (here.target, here.scenario, machines[0]) == (moved, there.scenario, machines[1])


def baseline_of(runs: Sequence[Run]) -> Baseline:
    """The baseline that these runs of one scenario make.

    Raises:
        InputError: naming the run that does not fit: invalid, interrupted, with errors, given twice, or of another
            target, workload or machine.
    """
    for place, run in enumerate(runs):
        _check(run, runs[:place])
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


def _check(run: Run, earlier: Sequence[Run]) -> None:
    failed = int(run.requests.loc[~run.requests["warmup"], "error"].notna().sum())
    refusals = [*unfit(run)]
    if failed:
        refusals.append(f"it has {failed:,} failed requests")
    if run.facts.run_id in [one.facts.run_id for one in earlier]:
        refusals.append("it is given twice")
    if earlier and not alike(run, earlier[0]):
        first = earlier[0].facts.run_id
        refusals.append(f"it is not of the same target, scenario, workload and machine as {first}")
    if refusals:
        raise InputError(f"run {run.facts.run_id}: no baseline is made of it: {'; '.join(refusals)}; measure anew")


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
