"""performance_baselines.json: what a scenario's figures were, made of several runs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import PositiveFloat, model_validator

from perflib.spec.scenario import Workload
from perflib.spec.values import Spec

if TYPE_CHECKING:
    from perflib.spec.run import Environment

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
