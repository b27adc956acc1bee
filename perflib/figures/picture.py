"""The picture of a target that blocks draw: each endpoint alone, in a crowd, and beside each other. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from perflib.figures.blocks import Gap, Measured
from perflib.stats import Floats

_ENOUGH = 300
"""Answers of a block that a resample draws: its median is no less certain by more."""


@dataclass(frozen=True)
class Alone:
    """An endpoint with one user. Milliseconds a request; NaN: not known."""

    p50_ms: float
    cpu_ms: float
    queue_ms: float
    receiving_ms: float
    connect_ms: float
    """Where most requests opened a connection; else 0."""

    @property
    def queued_ms(self) -> float:
        """As much of the queue as has room in a request: threads may queue side by side."""
        return float(np.minimum(self.queue_ms, self._rest_ms))

    @property
    def waiting_ms(self) -> float:
        """Neither computed, nor ready to run without a core, nor receiving, nor connecting; NaN: CPU is not known."""
        return self._rest_ms - self.queued_ms

    @property
    def held_ms(self) -> float:
        """The likely wait: of the queue about half is of threads beside the one that serves the request."""
        return self.waiting_ms + self.queued_ms / 2

    @property
    def _rest_ms(self) -> float:
        return _above(self.p50_ms - self.cpu_ms - self.receiving_ms - self.connect_ms)


@dataclass(frozen=True)
class Crowd:
    """An endpoint with several users."""

    users: int
    p50_ms: float
    receiving_ms: float
    throughput_per_s: float
    cpu_ms: float
    cores_used: float
    """By the target."""

    def at_once(self, alone_ms: float) -> float:
        """How many were truly served at once, by Little's law: of a time that one alone takes."""
        return self.throughput_per_s * alone_ms / 1e3

    def figures(self, alone_ms: float) -> dict[str, float]:
        """By their names in `Anatomy`."""
        return {
            "crowd_p50_ms": self.p50_ms,
            "crowd_cpu_ms": self.cpu_ms,
            "crowd_waiting_ms": _above(self.p50_ms - self.receiving_ms - self.cpu_ms),
            "crowd_receiving_ms": self.receiving_ms,
            "at_once": self.at_once(alone_ms),
            "cores_used": self.cores_used,
        }


@dataclass(frozen=True)
class Picture:
    """What blocks tell of a target."""

    alone: Mapping[str, Alone]
    crowd: Mapping[str, Crowd]
    beside_ms: Mapping[tuple[str, str], float]
    """By victim and aggressor: the victim's p50."""

    def figures(self, name: str) -> dict[str, float]:
        """The figures of an endpoint, by their names in `Anatomy`; those of its crowd where it was alone too."""
        alone, crowd = self.alone.get(name), self.crowd.get(name)
        if alone is None:
            return {}
        found = {
            "alone_p50_ms": alone.p50_ms,
            "cpu_ms": alone.cpu_ms,
            "queue_ms": alone.queued_ms,
            "waiting_ms": alone.waiting_ms,
            "receiving_ms": alone.receiving_ms,
            "connect_ms": alone.connect_ms,
        }
        return found if crowd is None else found | crowd.figures(alone.p50_ms)


def picture_of(blocks: Sequence[Measured], draw: np.random.Generator | None = None) -> Picture:
    """The picture that valid blocks draw; with `draw`, one that a resample of the blocks and their answers draws."""
    usable = [block for block in blocks if block.is_valid]
    idle = _spent_per_s([block for block in usable if block.role == "idle"])
    kinds = {
        key: _drawn(list(some), draw)
        for key, some in groupby(sorted(usable, key=_key), key=_key)
        if key[0] in ("alone", "crowd", "beside")
    }
    beside = {name: some for (role, name), some in kinds.items() if role == "beside"}
    return Picture(
        alone={name: _alone(name, some, idle, draw) for (role, name), some in kinds.items() if role == "alone"},
        crowd={name: _crowd(name, some, idle, draw) for (role, name), some in kinds.items() if role == "crowd"},
        beside_ms={
            (victim, name): median(_pooled(some, victim, "whole_ms", draw))
            for name, some in beside.items()
            for victim in dict.fromkeys(each for block in some for each in block.answers)
            if victim != name
        },
    )


def gaps_by_endpoint(blocks: Iterable[Measured]) -> dict[str, list[Gap]]:
    """Stretches without an answer, by the endpoint that their blocks are about."""
    found: dict[str, list[Gap]] = {}
    for block in blocks:
        found.setdefault(block.endpoint, []).extend(block.gaps)
    return found


def median(values: Floats) -> float:
    """NaN of none."""
    return float(np.median(values)) if len(values) else np.nan


def _above(value: float) -> float:
    """Not below 0; NaN stays."""
    return float(np.maximum(value, 0.0))


def _key(block: Measured) -> tuple[str, str]:
    return block.role, block.endpoint


def _drawn(blocks: list[Measured], draw: np.random.Generator | None) -> list[Measured]:
    return blocks if draw is None else [blocks[place] for place in draw.integers(0, len(blocks), len(blocks))]


def _spent_per_s(blocks: Sequence[Measured]) -> tuple[float, float]:
    """CPU seconds, and seconds ready without a core, each second."""
    lasted_s = sum(block.duration_s for block in blocks)
    if not lasted_s:
        return 0.0, 0.0
    return sum(block.cpu_s for block in blocks) / lasted_s, sum(block.queue_s for block in blocks) / lasted_s


def _pooled(blocks: Sequence[Measured], name: str, column: str, draw: np.random.Generator | None) -> Floats:
    some = [_some(getattr(block.answers[name], column), draw) for block in blocks if name in block.answers]
    return np.concatenate(some) if some else np.empty(0)


def _some(values: Floats, draw: np.random.Generator | None) -> Floats:
    if draw is None:
        return values
    return values[draw.integers(0, len(values), min(len(values), _ENOUGH))]


def _alone(name: str, blocks: Sequence[Measured], idle: tuple[float, float], draw: np.random.Generator | None) -> Alone:
    ended, lasted_s = sum(block.ended for block in blocks), sum(block.duration_s for block in blocks)
    cpu_per_s, queue_per_s = _spent_per_s(blocks)
    each_ms = 1e3 * lasted_s / ended if ended else np.nan
    connects_ms = _pooled(blocks, name, "connect_ms", draw)
    return Alone(
        p50_ms=median(_pooled(blocks, name, "whole_ms", draw)),
        cpu_ms=_above(cpu_per_s - idle[0]) * each_ms,
        queue_ms=_above(queue_per_s - idle[1]) * each_ms,
        receiving_ms=median(_pooled(blocks, name, "receiving_ms", draw)),
        connect_ms=median(connects_ms),
    )


def _crowd(name: str, blocks: Sequence[Measured], idle: tuple[float, float], draw: np.random.Generator | None) -> Crowd:
    ended, lasted_s = sum(block.ended for block in blocks), sum(block.duration_s for block in blocks)
    used = _above(_spent_per_s(blocks)[0] - idle[0])
    return Crowd(
        users=blocks[0].users,
        p50_ms=median(_pooled(blocks, name, "whole_ms", draw)),
        receiving_ms=median(_pooled(blocks, name, "receiving_ms", draw)),
        throughput_per_s=ended / lasted_s,
        cpu_ms=1e3 * used * lasted_s / ended if ended else np.nan,
        cores_used=used,
    )
