"""The level of a run by windows: short-lived allocations, and what was given back later, are left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflib.stats import Floats

Flags = NDArray[np.bool_]

_WINDOWS = 40


@dataclass(frozen=True)
class Windows:
    """Levels at shares of the run, and the growth over the run that counts; levels in the unit of the values."""

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


def window_levels(at_s: Floats, values: Floats, matters: float) -> tuple[Floats, Floats]:
    """Middles and levels of windows of equal width, that hold a sample or more on the average.

    A level is the mean, the more exact figure, of a run that gives nothing back and does not jump; else, or where
    minima scatter less, it is the minimum, which no garbage reaches, and which is never half a jump.
    """
    count = min(_WINDOWS, len(at_s))
    edges = np.linspace(at_s[0], at_s[-1], count + 1)
    begins = np.searchsorted(at_s, edges[:-1])
    held = np.diff(begins, append=len(at_s))
    middle_s, begins, held = (edges[:-1] + edges[1:])[held > 0] / 2, begins[held > 0], held[held > 0]
    means, minima = np.add.reduceat(values, begins) / held, np.minimum.reduceat(values, begins)
    given_back = np.maximum.reduceat(values - _least_later(values), begins)
    calm = given_back.max() <= 3 * np.median(given_back) + matters / 8 and retained(minima, matters).all()
    calm = calm and not _jumps(minima, matters) and _scatter(means) <= _scatter(minima)
    return middle_s, means if calm else minima


def _least_later(values: Floats) -> Floats:
    """From each moment on."""
    return np.asarray(np.minimum.accumulate(values[::-1])[::-1], dtype=np.float64)


def _jumps(level: Floats, matters: float) -> bool:
    """Whether it rises from one window to the next by more than before and after."""
    rises = np.append(np.diff(level), -np.inf)
    jitter = float(np.median(np.abs(rises[:-1] - np.median(rises[:-1])))) / 0.95
    return bool((rises[1:-1] - np.maximum(rises[:-2], rises[2:]) > max(matters / 4, 3 * jitter)).any())


def _scatter(level: Floats) -> float:
    """About a line, from one window to the next."""
    return float(np.median(np.abs(np.diff(level, 2)))) if len(level) > 2 else 0.0


def retained(level: Floats, matters: float) -> Flags:
    """Which windows hold nothing that was given back later, nor a rise since the last return that may yet be.

    The rise since the last return is told from growth once it has lasted twice as long as any before it.
    """
    jitter = float(np.median(np.abs(np.diff(level)))) / 0.95
    least = max(matters / 2, 6 * jitter)
    kept = level - _least_later(level) <= least
    returned = np.flatnonzero(~kept)
    if len(returned):
        since = returned[-1] + 1
        longest = max(len(some) for some in np.split(returned, np.flatnonzero(np.diff(returned) > 1) + 1))
        if len(level) - since < 2 * longest:
            kept[since:] &= level[since:] - level[since:].min() <= least
    return np.asarray(kept, dtype=np.bool_)
