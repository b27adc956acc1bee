"""The period of what happens again and again. Pure."""

import numpy as np

from perflib.stats import Floats

_FEWEST_STEPS, _REGULAR = 3, 0.25


def period_s(at_s: Floats) -> float | None:
    """The median step between moments, ascending; None where they are few, or half the steps differ by a quarter.

    >>> period_s(np.array([0.0, 2.0, 4.0, 6.5])), period_s(np.array([0.0, 0.5, 4.0, 9.0]))
    (2.0, None)
    """
    steps_s = np.diff(at_s)
    if len(steps_s) < _FEWEST_STEPS:
        return None
    usual_s = float(np.median(steps_s))
    return usual_s if float(np.median(np.abs(steps_s - usual_s))) < _REGULAR * usual_s else None
