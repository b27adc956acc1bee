"""The scenario: which load, for how long, on which part of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from perflib.model.spec import Duration, Spec

if TYPE_CHECKING:
    from perflib.model.target import Endpoint, Page, Target

Profile = Literal["quick", "brief"]
PositiveDuration = Annotated[Duration, Field(gt=0)]
NonNegativeDuration = Annotated[Duration, Field(ge=0)]


class Closed(Spec):
    """A closed workload: each user sends its next request when the last one is answered."""

    kind: Literal["closed"] = "closed"
    users: PositiveInt
    think_time_s: Annotated[NonNegativeFloat, Field(exclude_if=lambda value: value == 0)] = 0.0


class Open(Spec):
    """An open workload: requests arrive at a rate, whether or not earlier ones were answered."""

    kind: Literal["open"] = "open"
    rate_per_s: PositiveFloat
    arrivals: Literal["poisson", "constant"] = "poisson"


class Stage(Spec):
    """A stretch of a ramp: the number of users goes linearly from `start` to `end`."""

    start: NonNegativeInt
    end: NonNegativeInt
    duration_s: PositiveDuration


class Ramp(Spec):
    """A closed workload whose number of users changes in stages."""

    kind: Literal["ramp"] = "ramp"
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @property
    def duration_s(self) -> float:
        return sum(stage.duration_s for stage in self.stages)

    @property
    def most_users(self) -> int:
        return max(max(stage.start, stage.end) for stage in self.stages)

    def users_at(self, at_s: float) -> float:
        """How many users the ramp asks for at a moment from its start: linear within a stage.

        start ──╱── end     level(t) = start + (end - start) · t / duration
        """
        for stage in self.stages:
            if at_s < stage.duration_s:
                return stage.start + (stage.end - stage.start) * max(at_s, 0.0) / stage.duration_s
            at_s -= stage.duration_s
        return float(self.stages[-1].end)

    def scaled(self, most_users: int | None, duration_s: float | None) -> Ramp:
        """The same shape with another peak, another length, or both. The other levels stay below the new peak."""
        times = 1.0 if duration_s is None else duration_s / self.duration_s
        peak = self.most_users

        def level(users: int) -> int:
            return users if most_users is None else most_users if users == peak else min(users, most_users)

        stages = (
            Stage(start=level(stage.start), end=level(stage.end), duration_s=stage.duration_s * times)
            for stage in self.stages
        )
        return Ramp(stages=tuple(stages))


Workload = Annotated[Closed | Open | Ramp, Field(discriminator="kind")]


class Scenario(Spec):
    """A load on a target. All durations are in seconds; `duration_s` excludes warm-up."""

    name: str
    title: str
    workload: Workload
    duration_s: PositiveDuration
    """Of the whole run, or of each endpoint and page where `isolated`."""
    warmup_s: NonNegativeDuration
    timeout_s: PositiveDuration = 30.0
    isolated: bool = False
    """Each endpoint and page alone, one after the other."""
    enough_successes: PositiveInt | None = None
    """Where `isolated`: go on to the next endpoint after so many successes."""
    hot_only: bool = False
    pages: bool = True
    forbid_5xx: bool = False
    """One answer with a 5xx status is a finding."""
    max_connections: PositiveInt | None = None
    """Of an open workload; arrivals beyond it are dropped. None: max(100, 10 s x rate)."""
    endpoints: tuple[str, ...] = ()
    """Only these endpoints and pages; empty: all that the scenario takes."""

    def takes(self, target: Target) -> tuple[Endpoint | Page, ...]:
        """The endpoints and pages of `target` that this scenario drives, in the target's order."""
        offered = target.endpoints + (target.pages if self.pages else ())
        if self.endpoints:
            return tuple(item for item in offered if item.name in self.endpoints)
        return tuple(item for item in offered if item.hot or not self.hot_only)


def default_warmup_s(duration_s: float) -> float:
    """Warm-up of a run of this length: min(5 s, 10 % of the duration)."""
    return min(5.0, 0.1 * duration_s)


def _closed(name: str, title: str, users: int, duration_s: float, hot_only: bool = False) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        workload=Closed(users=users),
        duration_s=duration_s,
        warmup_s=default_warmup_s(duration_s),
        hot_only=hot_only,
    )


def _baseline(duration_s: float, enough_successes: int) -> Scenario:
    return Scenario(
        name="baseline",
        title="Baseline: 1 user, each endpoint alone",
        workload=Closed(users=1),
        duration_s=duration_s,
        warmup_s=default_warmup_s(duration_s),
        isolated=True,
        enough_successes=enough_successes,
    )


def _spike(before_s: float, ramp_s: float, hold_s: float, after_s: float) -> Scenario:
    levels = ((5, 5, before_s), (5, 100, ramp_s), (100, 100, hold_s), (5, 5, after_s))
    ramp = Ramp(stages=tuple(Stage(start=start, end=end, duration_s=length_s) for start, end, length_s in levels))
    return Scenario(
        name="spike",
        title="Spike: 5 to 100 users in 10 seconds, and back",
        workload=ramp,
        duration_s=ramp.duration_s,
        warmup_s=default_warmup_s(ramp.duration_s),
    )


def _steady_rate(duration_s: float) -> Scenario:
    return Scenario(
        name="steady_rate",
        title="Steady rate: 50 requests a second, without a 5xx",
        workload=Open(rate_per_s=50.0),
        duration_s=duration_s,
        warmup_s=default_warmup_s(duration_s),
        pages=False,
        forbid_5xx=True,
    )


_LIGHT = "Light load: 10 users, all endpoints"
_MEDIUM = "Medium load: 50 users, hot endpoints"
_SUSTAINED = "Sustained: 20 users, all endpoints, memory"

SCENARIOS: dict[str, dict[Profile, Scenario]] = {
    "baseline": {"brief": _baseline(60, 1000), "quick": _baseline(8, 300)},
    "light_load": {"brief": _closed("light_load", _LIGHT, 10, 60), "quick": _closed("light_load", _LIGHT, 10, 10)},
    "medium_load": {
        "brief": _closed("medium_load", _MEDIUM, 50, 120, hot_only=True),
        "quick": _closed("medium_load", _MEDIUM, 50, 10, hot_only=True),
    },
    "spike": {"brief": _spike(15, 10, 30, 30), "quick": _spike(5, 10, 5, 10)},
    "sustained": {
        "brief": _closed("sustained", _SUSTAINED, 20, 1800),
        "quick": _closed("sustained", _SUSTAINED, 20, 30),
    },
    "steady_rate": {"brief": _steady_rate(120), "quick": _steady_rate(15)},
}
"""The brief's scenarios, by name and profile."""
