"""Ticks: how much CPU time the target's processes had spent, and waited for, at moments of a run."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from perflib.stats import Floats


@dataclass(frozen=True)
class Spent:
    """In a stretch of a run. NaN: not known."""

    cpu_s: float
    waited_s: float
    """Of all threads together, ready to run without a core."""


@dataclass(frozen=True)
class Ticks:
    """Shape (ticks,) each: nanoseconds from the run's start, and seconds that only grow."""

    t_ns: Floats
    cpu_s: Floats
    waited_s: Floats
    processes: int = 1
    """Of the target that computed something."""

    @classmethod
    def none(cls) -> Self:
        """Nothing is known."""
        return cls(np.empty(0), np.empty(0), np.empty(0))

    def between(self, from_ns: float, to_ns: float) -> Spent:
        """What was spent in a stretch, ticks being joined by straight lines."""
        if len(self.t_ns) < 2:
            return Spent(np.nan, np.nan)
        cpu_s, waited_s = (
            float(np.diff(np.interp([from_ns, to_ns], self.t_ns, some))[0]) for some in (self.cpu_s, self.waited_s)
        )
        return Spent(cpu_s, waited_s)
