"""performance_baselines.json: what a scenario's figures were, made of several runs. Pure."""

from typing import Literal, Self

from pydantic import PositiveFloat, model_validator

from perflib.spec.setup import Machine, Setup, differences
from perflib.spec.values import Spec
from perflib.spec.workload import Workload

SCHEMA_VERSION: Literal[2] = 2


class PerRun(Spec):
    """The runs' own figures, in the order of `Baseline.runs`. None: it has none; for all: recorded before they were."""

    p50_ms: tuple[PositiveFloat | None, ...]
    p95_ms: tuple[PositiveFloat | None, ...]
    waited_per_ran: tuple[float | None, ...] | None = None
    """As in `FigureRow`, and so is the next."""
    cpu_ms: tuple[float | None, ...] | None = None


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
    setup: Setup | None = None
    """What makes a run comparable with it; None: of schema version 1."""

    @model_validator(mode="after")
    def _every_run_everywhere(self) -> Self:
        for name, entry in self.endpoints.items():
            own = entry.per_run
            told = [some for some in (own.p50_ms, own.p95_ms, own.waited_per_ran, own.cpu_ms) if some is not None]
            if {*map(len, told)} != {len(self.runs)}:
                raise ValueError(f"endpoints: {name!r} has not a figure for each of {len(self.runs)} runs; record anew")
        return self

    @property
    def known_setup(self) -> Setup:
        """Its setup; of an entry of schema version 1 only what it tells, the rest None."""
        return self.setup or Setup(
            target=self.target,
            scenario=self.scenario,
            items=tuple(sorted(self.endpoints)),
            isolated=self.scenario == "baseline",
            workload=self.workload,
            duration_s=self.duration_s,
            machine=self.environment,
        )


class Baselines(Spec):
    """performance_baselines.json."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    baselines: tuple[Baseline, ...] = ()

    def with_entry(self, entry: Baseline) -> "Baselines":
        """These baselines, `entry` in the place of older ones of its setup."""
        others = [one for one in self.baselines if not _same(entry.known_setup, one.known_setup)]
        ordered = sorted([*others, entry], key=lambda one: (one.target, one.scenario, one.recorded_at))
        return Baselines(baselines=tuple(ordered))


def _same(one: Setup, other: Setup) -> bool:
    """Whether two entries are of one setup, and of the same endpoints: part of an isolated scenario is none of it."""
    return one.items == other.items and not differences(one, other)
