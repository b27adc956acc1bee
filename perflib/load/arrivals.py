"""When load is offered: workload → intended starts. Pure; seconds from the measured start."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from perflib.spec import Open
from perflib.spec.stages import level_at


@dataclass(frozen=True)
class Share:
    """What one of `of` workers drives: every `of`-th user, or arrival, from `index` on.

    The shares of all workers together are the whole load of a single one, request by request.
    """

    index: int = 0
    of: int = 1

    def holds(self, number: int) -> bool:
        return number % self.of == self.index

    def part_of(self, count: int) -> int:
        """How many of `count` things fall to this share."""
        return len(range(self.index, count, self.of))


WHOLE = Share()


def intended_starts_s(workload: Open, from_s: float, to_s: float, seed: int) -> NDArray[np.float64]:
    """Intended starts of an open workload in [from_s, to_s), ascending.

    Poisson: as many as a Poisson draw says, independent and uniform, which is the process itself given its count
    (Kingman 1993, Poisson Processes, 2.4). Constant: one every 1 / rate seconds. A rate that changes in stages: the
    same on the scale of expected arrivals, mapped back to seconds (Lewis & Shedler 1979, time rescaling).
    """
    rate = _Pieces.of(workload, from_s, to_s)
    expected = float(rate.expected[-1])
    if workload.arrivals == "constant":
        return rate.when(np.arange(math.ceil(expected - 1e-9), dtype=np.float64))
    order = np.random.default_rng(seed)
    return rate.when(np.sort(order.uniform(0.0, expected, order.poisson(expected))))


@dataclass(frozen=True)
class _Pieces:
    """Pieces of time in which a rate is linear; `expected`: arrivals until each begins, and in all."""

    begin_s: NDArray[np.float64]
    rate_per_s: NDArray[np.float64]
    slope_per_s2: NDArray[np.float64]
    expected: NDArray[np.float64]

    @classmethod
    def of(cls, workload: Open, from_s: float, to_s: float) -> Self:
        ends_s = np.cumsum([stage.duration_s for stage in workload.stages])
        knots_s = np.array([from_s, *(at_s for at_s in (0.0, *ends_s) if from_s < at_s < to_s), to_s])
        length_s = np.diff(knots_s)
        early, late = (
            np.array([_rate_at(workload, at_s) for at_s in knots_s[:-1] + share * length_s]) for share in (0.25, 0.75)
        )
        expected = np.concatenate([[0.0], np.cumsum((early + late) / 2 * length_s)])
        return cls(knots_s[:-1], 1.5 * early - 0.5 * late, (late - early) / (length_s / 2), expected)

    def when(self, due: NDArray[np.float64]) -> NDArray[np.float64]:
        """The moments until which so many arrivals are expected: the root of rate · t + slope · t² / 2 = due."""
        piece = np.clip(np.searchsorted(self.expected, due, side="right") - 1, 0, len(self.begin_s) - 1)
        rate, left = self.rate_per_s[piece], due - self.expected[piece]
        root = np.sqrt(np.maximum(rate**2 + 2 * self.slope_per_s2[piece] * left, 0.0))
        into_s: NDArray[np.float64] = np.divide(2 * left, rate + root, out=np.zeros_like(left), where=left > 0)
        return self.begin_s[piece] + into_s


def _rate_at(workload: Open, at_s: float) -> float:
    return level_at(workload.stages, at_s) if workload.stages else workload.rate_per_s
