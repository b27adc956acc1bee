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


_LIGHT = "Light load: 10 users, all endpoints"

SCENARIOS: dict[str, dict[Profile, Scenario]] = {
    "baseline": {"brief": _baseline(60, 1000), "quick": _baseline(8, 300)},
    "light_load": {
        "brief": _closed("light_load", _LIGHT, 10, 60),
        "quick": _closed("light_load", _LIGHT, 10, 10),
    },
}
"""The brief's scenarios, by name and profile."""
