"""Run options: what a caller may change of a scenario, the same on the command line and in notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from perflib.model.scenario import (
    SCENARIOS,
    Closed,
    NonNegativeDuration,
    Open,
    PositiveDuration,
    Profile,
    Ramp,
    Scenario,
    Workload,
    default_warmup_s,
)
from perflib.model.spec import InputError, Spec

if TYPE_CHECKING:
    from perflib.model.target import Overrides, Target


class Options(Spec):
    """Run options. All have a default; durations are seconds or text such as "60s".

    >>> Options(users=20, duration="2min").duration
    120.0
    """

    target: str = ""
    """A target file; empty: data/targets/dashboard.toml."""
    url: Annotated[str, Field(pattern=r"^$|^https?://")] = ""
    """Replaces the target file's base_url. Neither this nor `target`: the sample dashboard is started."""
    profile: Profile = "brief"
    users: PositiveInt | None = None
    rate: PositiveFloat | None = None
    """Arrivals per second, of an open workload."""
    max_connections: PositiveInt | None = None
    """Of an open workload; arrivals beyond it are dropped."""
    duration: PositiveDuration | None = None
    warmup: NonNegativeDuration | None = None
    timeout: PositiveDuration | None = None
    endpoints: tuple[str, ...] = ()
    pid: PositiveInt | None = None
    """The target's process, for its memory; found by its port where not given."""
    brief: str = ""
    note: str = ""
    seed: NonNegativeInt = 1
    run_id: str = ""
    """Name of the run; a stored run of this name is shown again instead of measured anew."""

    def scenario(self, name: str, target: Target) -> Scenario:
        """The scenario `name` for `target`, with these options applied.

        Raises:
            InputError: for an unknown scenario, an endpoint the target lacks, or an option that does not fit.
        """
        unknown = next((one for one in (name, *target.scenarios) if one not in SCENARIOS), None)
        if unknown is not None:
            raise InputError(f"scenario {unknown!r}: unknown; choose one of {', '.join(SCENARIOS)}")
        self._check_endpoints(target)
        return self._over(target.scenarios.get(name))._apply(SCENARIOS[name][self.profile])

    def _over(self, overrides: Overrides | None) -> Options:
        """These options, what they leave open filled in from a target's own numbers."""
        if overrides is None:
            return self
        said = overrides.model_dump(exclude_none=True, exclude={"duration"} if self.profile == "quick" else None)
        return self.model_copy(update={key: value for key, value in said.items() if getattr(self, key) is None})

    def _apply(self, chosen: Scenario) -> Scenario:
        workload = self._workload(chosen)
        duration_s = self.duration or chosen.duration_s
        warmup_s = chosen.warmup_s if self.duration is None else default_warmup_s(duration_s)
        return chosen.model_copy(
            update={
                "workload": workload,
                "max_connections": self.max_connections,
                "duration_s": duration_s,
                "warmup_s": warmup_s if self.warmup is None else self.warmup,
                "timeout_s": self.timeout or chosen.timeout_s,
                "endpoints": self.endpoints,
            }
        )

    def _check_endpoints(self, target: Target) -> None:
        known = [item.name for item in target.items]
        for name in self.endpoints:
            if name not in known:
                raise InputError(f"--endpoint {name!r}: not in target {target.name!r}; it has {', '.join(known)}")

    def _workload(self, chosen: Scenario) -> Workload:
        workload = chosen.workload
        if isinstance(workload, Open):
            if self.users is not None:
                raise InputError(f"--users: {chosen.name} is an open workload; use --rate")
            return workload if self.rate is None else workload.model_copy(update={"rate_per_s": self.rate})
        for name, value in (("--rate", self.rate), ("--max-connections", self.max_connections)):
            if value is not None:
                raise InputError(f"{name}: {chosen.name} is a closed workload; use --users")
        if isinstance(workload, Ramp):
            return workload.scaled(self.users, self.duration)
        return workload if self.users is None else Closed(users=self.users)
