"""Looking more than once: how much of alpha each look may spend, so that all looks together err no more than one."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from perflib.stats import Floats

_EARLY = 0.1
"""Of alpha, the part that is spent in proportion to the data, for large changes to be found at once."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_FAR = 8.0
"""So many standard deviations below its mean a statistic never is."""


@dataclass(frozen=True)
class Look:
    """The look after `number` of at most `of` runs, at which a test ends early. By default the only look there is.

    How many there will be at the most must be settled before the first.
    """

    number: int = 1
    of: int = 1

    def level(self, alpha: float) -> float:
        """The one-sided level of a test at this look; those of all looks together err in at most `alpha`."""
        return nominal_levels(self.of, alpha)[self.number - 1]

    def family_level(self, alpha: float, tests: int) -> float:
        """Of a family of so many tests by Holm's method: at each of its steps, no more than that step may spend."""
        return min(tests * self.level(alpha / tests), self.level(alpha))


@lru_cache(maxsize=1024)
def nominal_levels(looks: int, alpha: float) -> tuple[float, ...]:
    """One-sided levels of tests after 1, 2, … `looks` equal parts of the data, that err in `alpha` together.

    Until the share t of the data may be spent 2 Φ(z / √t), with z the alpha / 2 quantile: as good as nothing at first,
    nearly all at the end, so that looking early costs hardly any power (Lan & DeMets 1983, Biometrika 70(3), after
    O'Brien & Fleming 1979). That is of nine tenths of alpha; the last is spent evenly, and finds large changes at
    once. What successive looks share is integrated over (Armitage, McPherson & Rowe 1969, Journal
    of the Royal Statistical Society A 132(2)); looks that share more, as those against one baseline do, err less.
    With Student's quantiles at these levels: Jennison & Turnbull 2000, Group Sequential Methods, chapter 4.
    """
    if looks == 1:
        return (alpha,)
    shares = np.arange(1, looks + 1) / looks
    late = 2 * scipy.special.ndtr(scipy.special.ndtri(alpha / 2) / np.sqrt(shares))
    spent = np.diff((1 - _EARLY) * late + _EARLY * alpha * shares, prepend=0.0)
    at, mass = np.zeros(1), np.ones(1)
    levels = []
    for number, may in enumerate(spent, 1):
        sd = math.sqrt(number)
        bound = scipy.optimize.brentq(_excess, 0.0, 40 * sd, args=(at, mass, may))
        levels.append(float(scipy.special.ndtr(-bound / sd)))
        half = (bound + _FAR * sd) / 2
        below = bound - half + half * _NODES
        step = np.exp(-((below[:, np.newaxis] - at) ** 2) / 2) / math.sqrt(2 * math.pi)
        at, mass = below, half * _WEIGHTS * (step @ mass)
    return tuple(levels)


def _excess(bound: float, at: Floats, mass: Floats, may: float) -> float:
    """The chance that a sum which stands at `at` with `mass` passes `bound` by its next step, less what it may be."""
    return float(mass @ scipy.special.ndtr(at - bound) - may)
