"""Workloads: closed, open, a ramp of users, or blocks of users one after the other."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from perflib.spec.stages import Stage, Stages, highest, length_s, level_at, scaled
from perflib.spec.values import Spec


class Closed(Spec):
    """A closed workload: each user sends its next request when the last one is answered."""

    kind: Literal["closed"] = "closed"
    users: PositiveInt
    think_time_s: Annotated[NonNegativeFloat, Field(exclude_if=lambda value: value == 0)] = 0.0

    @property
    def most_users(self) -> int:
        return self.users


class Open(Spec):
    """An open workload: requests arrive at a rate, whether or not earlier ones were answered."""

    kind: Literal["open"] = "open"
    rate_per_s: PositiveFloat
    """The highest rate, where it goes in stages."""
    arrivals: Literal["poisson", "constant"] = "poisson"
    stages: Annotated[Stages, Field(exclude_if=lambda stages: not stages)] = ()
    """Of the rate; none: it stays."""

    def times(self, share: float) -> "Open":
        """The same shape at another rate."""
        stages = tuple(one.replaced(start=one.start * share, end=one.end * share) for one in self.stages)
        return Open(rate_per_s=self.rate_per_s * share, arrivals=self.arrivals, stages=stages)


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
        return length_s(self.stages)

    @property
    def most_users(self) -> int:
        return int(highest(self.stages))

    @property
    def rises(self) -> bool:
        """Whether there are ever more users than at the start."""
        return highest(self.stages) > self.stages[0].start

    def lasting(self, duration_s: float) -> "Ramp":
        """The same shape in another time."""
        return Ramp(stages=scaled(self.stages, None, duration_s))

    def in_words(self) -> str:
        """From where to where, how fast, and whether back.

        >>> Ramp(stages=[Stage(start=5, end=100, duration_s=10), Stage(start=5, end=5, duration_s=10)]).in_words()
        '5 to 100 users in 10 seconds, and back'
        """
        rising = [stage for stage in self.stages if stage.end > stage.start]
        within = f" in {length_s(tuple(rising)):g} seconds" if rising else ""
        back = ", and back" if self.stages[-1].end < self.most_users else ""
        return f"{self.stages[0].start:g} to {self.most_users} users{within}{back}"

    def users_at(self, at_s: float) -> float:
        """How many users the ramp asks for at a moment from its start: see `level_at`."""
        return level_at(self.stages, at_s)


class Crew(Spec):
    """Virtual users who ask for the same endpoints, each as fast as it is answered."""

    users: PositiveInt
    items: Annotated[tuple[str, ...], Field(min_length=1)]


class Block(Spec):
    """Crews at work at the same time; none: nobody is."""

    crews: tuple[Crew, ...]
    duration_s: PositiveFloat
    """Without warm-up."""

    @property
    def users(self) -> int:
        return sum(crew.users for crew in self.crews)

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item for crew in self.crews for item in crew.items))


class Blocks(Spec):
    """An experiment: blocks one after the other, each with its own users on its own endpoints."""

    kind: Literal["blocks"] = "blocks"
    blocks: Annotated[tuple[Block, ...], Field(min_length=1)]

    @property
    def most_users(self) -> int:
        return max(block.users for block in self.blocks)

    @property
    def duration_s(self) -> float:
        return sum(block.duration_s for block in self.blocks)


Workload = Annotated[Closed | Open | Ramp | Blocks, Field(discriminator="kind")]


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
        case Ramp() | Blocks():
            return f"up to {workload.most_users} users"
        case _:
            paused = f", each pausing {workload.think_time_s:g} s" if workload.think_time_s else ""
            return f"{workload.users} user{'' if workload.users == 1 else 's'}{paused}"


def shape_in_words(workload: Workload) -> str:
    """The load with its stages, exactly: runs whose words differ had different loads.

    >>> shape_in_words(Ramp(stages=[Stage(start=5, end=100, duration_s=10)]))
    'users 5-100:10s'
    >>> shape_in_words(Open(rate_per_s=50))
    '50 requests per second, poisson'
    """
    match workload:
        case Open():
            rate = f"rate {_stages(workload.stages)}" if workload.stages else load_in_words(workload)
            return f"{rate}, {workload.arrivals}"
        case Ramp():
            return f"users {_stages(workload.stages)}"
        case _:
            return load_in_words(workload)


def _stages(stages: tuple[Stage, ...]) -> str:
    return ", ".join(map(str, stages))
