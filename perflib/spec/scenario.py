"""The scenario: which load, for how long, on which part of the target."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from perflib.show.table import Table
from perflib.spec.values import Duration, Spec

if TYPE_CHECKING:
    from perflib.spec.target import Endpoint, Page, Target

Profile = Literal["quick", "brief"]
PositiveDuration = Annotated[Duration, Field(gt=0)]
NonNegativeDuration = Annotated[Duration, Field(ge=0)]


class Closed(Spec):
    """A closed workload: each user sends its next request when the last one is answered."""

    kind: Literal["closed"] = "closed"
    users: PositiveInt
    think_time_s: Annotated[NonNegativeFloat, Field(exclude_if=lambda value: value == 0)] = 0.0


_STAGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*:\s*(\S+)\s*")


class Stage(Spec):
    """A stretch of a load: its level (users, or requests a second) goes linearly from `start` to `end`.

    >>> Stage.model_validate("5-100:10s")
    Stage(start=5, end=100, duration_s=10.0)
    """

    start: NonNegativeInt | NonNegativeFloat
    end: NonNegativeInt | NonNegativeFloat
    duration_s: PositiveDuration

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        match = _STAGE.fullmatch(data)
        if match is None:
            raise ValueError(f"{data!r} is not a stage; write 5-100:10s for a level from 5 to 100 within 10 s")
        start, end = (float(level) if "." in level else int(level) for level in match.groups()[:2])
        return {"start": start, "end": end, "duration_s": match[3]}


Stages = tuple[Stage, ...]


def level_at(stages: Stages, at_s: float) -> float:
    """The level that stages ask for at a moment from their start: linear within a stage, the last one's end after it.

    start ──╱── end     level(t) = start + (end - start) · t / duration
    """
    for stage in stages:
        if at_s < stage.duration_s:
            return stage.start + (stage.end - stage.start) * max(at_s, 0.0) / stage.duration_s
        at_s -= stage.duration_s
    return float(stages[-1].end)


def highest(stages: Stages) -> int | float:
    """The highest level of stages."""
    return max(max(stage.start, stage.end) for stage in stages)


def scaled(stages: Stages, peak: float | None, duration_s: float | None) -> Stages:
    """The same shape with another peak, another length, or both. The other levels stay below the new peak."""
    times = 1.0 if duration_s is None else duration_s / sum(stage.duration_s for stage in stages)
    was = highest(stages)

    def level(of: float) -> float:
        return of if peak is None else peak if of == was else min(of, peak)

    return tuple(
        Stage(start=level(stage.start), end=level(stage.end), duration_s=stage.duration_s * times) for stage in stages
    )


class Open(Spec):
    """An open workload: requests arrive at a rate, whether or not earlier ones were answered."""

    kind: Literal["open"] = "open"
    rate_per_s: PositiveFloat
    """The highest rate, where it goes in stages."""
    arrivals: Literal["poisson", "constant"] = "poisson"
    stages: Annotated[Stages, Field(exclude_if=lambda stages: not stages)] = ()
    """Of the rate; none: it stays."""


class Ramp(Spec):
    """A closed workload whose number of users changes in stages."""

    kind: Literal["ramp"] = "ramp"
    stages: Annotated[Stages, Field(min_length=1)]

    @model_validator(mode="after")
    def _whole_users(self) -> Self:
        if not all(isinstance(level, int) for stage in self.stages for level in (stage.start, stage.end)):
            raise ValueError("stages: users are whole numbers")
        if not self.most_users:
            raise ValueError("stages: no user in any of them")
        return self

    @property
    def duration_s(self) -> float:
        return sum(stage.duration_s for stage in self.stages)

    @property
    def most_users(self) -> int:
        return int(highest(self.stages))

    def users_at(self, at_s: float) -> float:
        """How many users the ramp asks for at a moment from its start: see `level_at`."""
        return level_at(self.stages, at_s)


Workload = Annotated[Closed | Open | Ramp, Field(discriminator="kind")]


def is_steady(workload: Workload) -> bool:
    """Whether the load is the same from the start to the end."""
    return isinstance(workload, Closed) or (isinstance(workload, Open) and not workload.stages)


def load_in_words(workload: Workload) -> str:
    """The load, as one says it.

    >>> load_in_words(Closed(users=10)), load_in_words(Open(rate_per_s=50))
    ('10 users', '50 requests per second')
    """
    match workload:
        case Open():
            return f"{'up to ' if workload.stages else ''}{workload.rate_per_s:g} requests per second"
        case Ramp():
            return f"up to {workload.most_users} users"
        case _:
            paused = f", each pausing {workload.think_time_s:g} s" if workload.think_time_s else ""
            return f"{workload.users} user{'' if workload.users == 1 else 's'}{paused}"


class Scenario(Spec):
    """A load on a target. All durations are in seconds; `duration_s` excludes warm-up.

    >>> SCENARIOS["light_load"]["brief"]
    <Scenario light_load: 10 users, 60 s after 5 s of warm-up>
    """

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

    def most_connections(self, workload: Open) -> int:
        """The bound on an open workload's connections."""
        return self.max_connections or max(100, math.ceil(10 * workload.rate_per_s))

    def takes(self, target: Target) -> tuple[Endpoint | Page, ...]:
        """The endpoints and pages of `target` that this scenario drives, in the target's order."""
        offered = target.endpoints + (target.pages if self.pages else ())
        if self.endpoints:
            return tuple(item for item in offered if item.name in self.endpoints)
        return tuple(item for item in offered if item.hot or not self.hot_only)

    def __repr__(self) -> str:
        each = " each" if self.isolated else ""
        lasts = f"{self.duration_s:g} s{each} after {self.warmup_s:g} s of warm-up"
        return f"<Scenario {self.name}: {load_in_words(self.workload)}, {lasts}>"

    def _repr_html_(self) -> str:
        alone = "each endpoint and page alone" if self.isolated else ""
        driven = ", ".join(self.endpoints) or ("hot ones" if self.hot_only else "all")
        facts = {
            "Load": ", ".join(part for part in (load_in_words(self.workload), alone) if part),
            "Workload": self.workload.kind,
            "Duration": f"{self.duration_s:g} s after {self.warmup_s:g} s of warm-up",
            "Time-out": f"{self.timeout_s:g} s",
            "Endpoints": driven + ("" if self.pages else ", no pages"),
        }
        return Table.of_facts(facts, f"Scenario {self.name}").html()


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
