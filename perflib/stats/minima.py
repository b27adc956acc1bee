"""The level of a run as window minima: short-lived allocations, and what was given back later, are left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflib.stats import Floats

Flags = NDArray[np.bool_]

_WINDOWS = 40


@dataclass(frozen=True)
class Minima:
    """Window minima at shares of the run, and the growth over the run that counts; levels in the unit of the values."""

    start_s: float
    lasts_s: float
    share: Floats
    level: Floats
    threshold: float
    """Slower growth is none."""
    matters: float
    """Less growth does not matter."""
    floor: float
    """What a leak must have grown by: `matters`, more in a short run."""
    least_sd: float
    """Noise is never taken to be less, as counts may not vary at all."""
    slow_confidence: float
    """With which the slope must pass 0 beside slow saturations."""

    @property
    def at_s(self) -> Floats:
        """The middles of the windows."""
        return self.start_s + self.share * self.lasts_s

    @property
    def hours(self) -> float:
        """How long the run was."""
        return self.lasts_s / 3600

    def after(self, index: int) -> Floats:
        """1 from this window on, 0 before."""
        return (np.arange(len(self.share)) >= index).astype(np.float64)


def window_minima(at_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Middles and minima of windows of equal width, that hold a sample or more on the average."""
    count = min(_WINDOWS, len(at_s))
    edges = np.linspace(at_s[0], at_s[-1], count + 1)
    begins = np.searchsorted(at_s, edges[:-1])
    filled = np.diff(begins, append=len(at_s)) > 0
    return (edges[:-1] + edges[1:])[filled] / 2, np.minimum.reduceat(values, begins[filled])


def retained(level: Floats, matters: float) -> Flags:
    """Which windows hold nothing that was given back later, nor a rise since the last return that may yet be.

    The rise since the last return is told from growth once it has lasted twice as long as any before it.
    """
    jitter = float(np.median(np.abs(np.diff(level)))) / 0.95
    least = max(matters / 4, 6 * jitter)
    kept = level - np.minimum.accumulate(level[::-1])[::-1] <= least
    returned = np.flatnonzero(~kept)
    if len(returned):
        since = returned[-1] + 1
        longest = max(len(some) for some in np.split(returned, np.flatnonzero(np.diff(returned) > 1) + 1))
        if len(level) - since < 2 * longest:
            kept[since:] &= level[since:] - level[since:].min() <= least
    return np.asarray(kept, dtype=np.bool_)
