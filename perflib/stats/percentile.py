"""Exact percentiles, and the sample size that a percentile needs."""

import math

import numpy as np

from perflib.stats import Floats


def required_count(q: float, confidence: float = 0.95) -> int:
    """Smallest sample whose maximum bounds the q-quantile from above with this confidence: 1 - q^n >= confidence.

    Source: Wilks 1941, Annals of Mathematical Statistics 12(1).

    >>> [required_count(q) for q in (0.50, 0.95, 0.99)]
    [5, 59, 299]
    """
    return math.ceil(math.log1p(-confidence) / math.log(q) - 1e-9)


def percentile(values: Floats, q: float) -> float | None:
    """The smallest value that at least the share `q` of all values do not exceed; None below `required_count`.

    An observed value, never interpolated, so that failures may stand in as infinity.
    Source: Hyndman & Fan 1996, The American Statistician 50(4), definition 1 (numpy's "inverted_cdf").

    Args:
        values: shape (n,), any unit and order.
        q: in (0, 1).
    """
    if len(values) < required_count(q):
        return None
    rank = math.ceil(q * len(values) - 1e-9)
    return float(np.partition(values, rank - 1)[rank - 1])
