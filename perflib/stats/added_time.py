"""Added time: how much each of some counts adds to a time, by least squares within short windows."""

from dataclasses import dataclass

import numpy as np

from perflib.stats import Floats

_WINDOW = 12
"""Rows that follow each other: what slows all of them down alike, such as a busy machine, tells nothing."""


@dataclass(frozen=True)
class Added:
    """What one more of each count adds, with its standard error; infinite where the count hardly varies."""

    value: Floats
    error: Floats

    @property
    def score(self) -> Floats:
        """Value over error."""
        return np.asarray(self.value / self.error)


def added_time(times: Floats, counts: Floats) -> Added:
    """Least squares of times on counts, each less its mean of the window; errors are robust to windows that differ.

    Source: Liang and Zeger 1986, Biometrika 73(1): the sandwich of clustered rows; HC1's factor for small samples.

    Args:
        times: shape (rows,), in the order in which they were taken.
        counts: shape (rows, counts).
    """
    rows, columns = counts.shape
    windows = -(-rows // _WINDOW)
    free = rows - windows - columns
    if free < columns or windows < 4:
        return Added(np.zeros(columns), np.full(columns, np.inf))
    begins = np.arange(0, rows, _WINDOW)
    both = np.column_stack([counts, times])
    sizes = np.diff(np.append(begins, rows))
    both = both - np.repeat(np.add.reduceat(both, begins) / sizes[:, np.newaxis], sizes, axis=0)
    varied, left = both[:, :-1], both[:, -1]
    inverse = np.linalg.pinv(varied.T @ varied, rcond=1e-9, hermitian=True)
    value = inverse @ (varied.T @ left)
    scores = np.add.reduceat(varied * (left - varied @ value)[:, np.newaxis], begins)
    spread = np.diag(inverse @ (scores.T @ scores) @ inverse) * windows / (windows - 1) * rows / free
    known = (varied**2).sum(axis=0) > 1.0
    return Added(value, np.where(known & (spread > 0), np.sqrt(np.maximum(spread, 0.0)), np.inf))
