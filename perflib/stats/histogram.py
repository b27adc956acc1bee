"""A histogram of fixed size, for figures that come without end."""

from __future__ import annotations

import math

import numpy as np

_BINS_A_DECADE = 100
_DECADES_BELOW_1 = 4
_DECADES_ABOVE_1 = 6


class LogHistogram:
    """Counts of positive values in bins 2.3 % wide, from 1e-4 to 1e6: a percentile is right to that width."""

    def __init__(self) -> None:
        self._counts = np.zeros((_DECADES_BELOW_1 + _DECADES_ABOVE_1) * _BINS_A_DECADE, np.int64)

    def add(self, value: float) -> None:
        place = math.log10(max(value, 10.0**-_DECADES_BELOW_1)) + _DECADES_BELOW_1
        self._counts[min(int(place * _BINS_A_DECADE), len(self._counts) - 1)] += 1

    def percentile(self, q: float) -> float | None:
        """The upper edge of the bin that holds the q-quantile; None without values."""
        total = int(self._counts.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), math.ceil(q * total)))
        return float(10.0 ** ((place + 1) / _BINS_A_DECADE - _DECADES_BELOW_1))
