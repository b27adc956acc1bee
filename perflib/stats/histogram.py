"""A histogram of fixed size, for figures that come without end."""

import math
from collections.abc import Mapping

import numpy as np

from perflib.stats import Floats

_BINS_A_DECADE = 100
_DECADES_BELOW_1 = 4
_DECADES_ABOVE_1 = 6
_BINS = (_DECADES_BELOW_1 + _DECADES_ABOVE_1) * _BINS_A_DECADE


class LogHistogram:
    """Counts of positive values in bins 2.3 % wide, from 1e-4 to 1e6: a percentile is right to that width."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, value: float) -> None:
        place = math.log10(max(value, 10.0**-_DECADES_BELOW_1)) + _DECADES_BELOW_1
        self._counts[min(int(place * _BINS_A_DECADE), _BINS - 1)] += 1

    def add_all(self, values: Floats) -> None:
        """The same for values of shape (n,)."""
        places = np.log10(np.maximum(values, 10.0**-_DECADES_BELOW_1)) + _DECADES_BELOW_1
        bins = np.minimum((places * _BINS_A_DECADE).astype(np.int64), _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)

    def bins(self) -> dict[str, int]:
        """Its counts by number of the bin, empty ones left out: fit for JSON."""
        return {str(bin_): int(self._counts[bin_]) for bin_ in self._counts.nonzero()[0]}

    def add_bins(self, bins: Mapping[str, int]) -> None:
        """Take in the counts of another histogram."""
        for bin_, count in bins.items():
            self._counts[int(bin_)] += count

    @property
    def count(self) -> int:
        return int(self._counts.sum())

    def percentile(self, q: float) -> float | None:
        """The upper edge of the bin that holds the q-quantile; None without values."""
        total = self.count
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), math.ceil(q * total)))
        return float(10.0 ** ((place + 1) / _BINS_A_DECADE - _DECADES_BELOW_1))
