"""Exact percentiles, and the sample size that a percentile needs."""

import math

import numpy as np
import scipy

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


def at_least(values: Floats, q: float, confidence: float = 0.95) -> float | None:
    """The largest observed value that the q-quantile is not below, with this one-sided confidence; None below five.

    That of rank r bounds it where P(Binomial(n, q) >= r) >= confidence. It holds for values that do not depend on
    each other. Five are what a median takes.
    Source: David & Nagaraja 2003, Order Statistics, 3rd edition, section 7.1.

    Args:
        values: shape (n,), any unit and order; infinity: a failure.
        q: in (0, 1).

    >>> at_least(np.arange(1.0, 21.0), 0.95)
    17.0
    """
    if len(values) < required_count(0.5):
        return None
    rank = math.ceil(scipy.special.bdtrik(1 - confidence, len(values), q))
    return float(np.partition(values, rank - 1)[rank - 1]) if rank > 0 else None
