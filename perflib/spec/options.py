"""Run options: what a caller may change of a scenario, the same on the command line and in notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from perflib.spec.scenario import (
    SCENARIOS,
    Closed,
    NonNegativeDuration,
    Open,
    PositiveDuration,
    Profile,
    Ramp,
    Scenario,
    Stages,
    Workload,
    default_warmup_s,
    highest,
    load_in_words,
    scaled,
)
from perflib.spec.target import Host
from perflib.spec.values import InputError, Spec

if TYPE_CHECKING:
    from perflib.spec.target import Overrides, Target


def _listed(stages: Any) -> Any:
    return [part for part in stages.split(",") if part.strip()] if isinstance(stages, str) else stages


def _is_left_open(value: object) -> bool:
    return value in (None, ())


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
    arrivals: Literal["poisson", "constant"] | None = None
    max_connections: PositiveInt | None = None
    """Of an open workload; arrivals beyond it are dropped."""
    think_time: NonNegativeDuration | None = None
    """Of a user, from an answer to its next request."""
    stages: Annotated[Stages, BeforeValidator(_listed)] = ()
    """Of users or of the rate: "5-5:15s, 5-100:10s, 100-100:30s"."""
    workers: PositiveInt = 1
    """Processes that drive the load, each its share of the users or arrivals."""
    duration: PositiveDuration | None = None
    warmup: NonNegativeDuration | None = None
    timeout: PositiveDuration | None = None
    allow_hosts: tuple[Host, ...] = ()
    """Hosts besides this machine that may get load, beside those that the target file allows."""
    allow_plain_token: bool = False
    """Whether a token may go to another host over http."""
    max_requests: PositiveInt | None = None
    """Sent at most; None: as the target file says, else 1,000,000 to another host."""
    keep_going: bool = False
    """Whether a run goes on after five seconds of nothing but errors."""
    endpoints: tuple[str, ...] = ()
    pid: PositiveInt | None = None
    """The target's process, for its memory; found by its port where not given."""
    brief: str = ""
    note: str = ""
    seed: NonNegativeInt = 1
    run_id: str = ""
    """Name of the run; a stored run of this name is shown again instead of measured anew."""

    def aimed(self, target: Target) -> Target:
        """`target` with the URL and the consent that these options give. Raises InputError for a bad URL."""
        said = {
            "base_url": self.url or target.base_url,
            "allow_hosts": tuple(dict.fromkeys((*target.allow_hosts, *self.allow_hosts))),
            "allow_plain_token": target.allow_plain_token or self.allow_plain_token,
            "max_requests": self.max_requests or target.max_requests,
            "keep_going": target.keep_going or self.keep_going,
        }
        return target.parse(target.model_dump() | said, "--url")

    def scenario(self, name: str, target: Target) -> Scenario:
        """The scenario `name` for `target`, with these options applied.

        Raises:
            InputError: for an unknown scenario, an endpoint the target lacks, or an option that does not fit.
        """
        unknown = next((one for one in (name, *target.scenarios) if one not in SCENARIOS), None)
        if unknown is not None:
            raise InputError(f"scenario {unknown!r}: unknown; choose one of {', '.join(SCENARIOS)}")
        self._check_endpoints(target)
        chosen = SCENARIOS[name][self.profile]
        return self._over(target.scenarios.get(name), chosen)._apply(chosen)

    def _over(self, overrides: Overrides | None, chosen: Scenario) -> Options:
        """These options, what they leave open filled in from a target's own numbers."""
        if overrides is None:
            return self
        quick = self.profile == "quick"
        said = {
            name: value for name, value in overrides if not (_is_left_open(value) or (quick and name == "duration"))
        }
        if quick and overrides.stages and not self.stages:
            said["duration"] = chosen.duration_s
        return self.model_copy(update={key: value for key, value in said.items() if _is_left_open(getattr(self, key))})

    def _apply(self, chosen: Scenario) -> Scenario:
        workload = self._workload(chosen)
        staged_s = sum(stage.duration_s for stage in self.stages)
        duration_s = self.duration or staged_s or chosen.duration_s
        warmup_s = chosen.warmup_s if duration_s == chosen.duration_s else default_warmup_s(duration_s)
        self._check_workers(chosen, workload)
        title = chosen.title if workload == chosen.workload else _retitled(chosen, workload)
        return chosen.model_copy(
            update={
                "title": title,
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

    def _check_workers(self, chosen: Scenario, workload: Workload) -> None:
        """Every worker needs a user, or a connection of its own."""
        shares = self.max_connections or self.workers
        if not isinstance(workload, Open):
            shares = workload.most_users if isinstance(workload, Ramp) else workload.users
        if self.workers > 1 and chosen.isolated:
            raise InputError(f"--workers: {chosen.name} measures each endpoint alone; leave it out")
        if self.workers > shares:
            raise InputError(f"--workers {self.workers}: more than the {shares} users or connections; use fewer")

    def _workload(self, chosen: Scenario) -> Workload:
        if isinstance(chosen.workload, Open):
            return self._open(chosen, chosen.workload)
        for name, value in (
            ("--rate", self.rate),
            ("--max-connections", self.max_connections),
            ("--arrivals", self.arrivals),
        ):
            if value is not None:
                raise InputError(f"{name}: {chosen.name} is a closed workload; use --users")
        if self.stages and chosen.isolated:
            raise InputError(f"--stages: {chosen.name} measures each endpoint alone; leave it out")
        if self.stages or isinstance(chosen.workload, Ramp):
            return self._ramp(chosen)
        workload = chosen.workload
        return Closed(users=self.users or workload.users, think_time_s=self.think_time or workload.think_time_s)

    def _open(self, chosen: Scenario, workload: Open) -> Open:
        for name, value in (("--users", self.users), ("--think-time", self.think_time)):
            if value is not None:
                raise InputError(f"{name}: {chosen.name} is an open workload; use --rate")
        stages = self.stages or workload.stages
        if stages:
            stages = scaled(stages, self.rate, self.duration)
        rate = highest(stages) if stages else self.rate or workload.rate_per_s
        return Open.parse(
            {"rate_per_s": rate, "arrivals": self.arrivals or workload.arrivals, "stages": stages}, "--stages"
        )

    def _ramp(self, chosen: Scenario) -> Ramp:
        if self.think_time is not None:
            raise InputError(f"--think-time: {chosen.name} is a ramp of users, who do not pause; leave it out")
        stages = self.stages or (chosen.workload.stages if isinstance(chosen.workload, Ramp) else ())
        return Ramp.parse({"stages": scaled(stages, self.users, self.duration)}, "--stages")


def _retitled(chosen: Scenario, workload: Workload) -> str:
    """The title of a scenario under another load than its own."""
    return f"{chosen.title.partition(':')[0]}: {load_in_words(workload)}"
