"""The run-to-run variance of several endpoints, each helped by the others'."""

import math
from dataclasses import dataclass

import numpy as np
import scipy

from perflib.stats import Floats

MIN_POOLED = 3
"""Fewer endpoints keep each its own variance: a spread of variances cannot be judged from two."""
MIN_SD = 0.001
"""No measurement repeats to better than 0.1 %; less is rounding, and would make every change significant."""


@dataclass(frozen=True)
class Variance:
    """Variance of one run's log by endpoint, shape (endpoints,), and the degrees of freedom it is known with."""

    variance: Floats
    df: Floats


def moderated_variance(logs: Floats, spent: Floats | float = 0.0) -> Variance:
    """Each endpoint's variance, drawn towards what is usual among all: (d0 s0² + d s²) / (d0 + d), with d0 + d df.

    s0² is the geometric mean of the endpoints' variances, d0 follows from how much these differ beyond chance. A
    machine's drift hits all endpoints of a run at once, and then their variances err together: they agree more than
    the endpoints do, and know less than they seem to. So both d0 and the limit of the degrees of freedom count
    endpoints by the mean square correlation of their runs, for corr(s²_a, s²_b) = corr(a, b)².
    Few variances say little of how much they differ, so d0 is taken on the careful side: with the plain moments,
    endpoints of unequal noise alarmed falsely in 1.7 % of checks that promised 1 %, with this in less than 1 %.

    Source: Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1), 3 (limma); the allowance for
    correlation and the care in d0 are ours.

    Args:
        logs: shape (endpoints, runs), aligned by run; NaN: the run has no figure. Two runs or more each.
        spent: degrees of freedom that went into what was taken off them, shape (endpoints,).
    """
    runs = np.sum(~np.isnan(logs), axis=1)
    df = runs - 1.0 - spent
    variance = np.maximum(np.nanvar(logs, axis=1) * runs / df, MIN_SD**2)
    if len(logs) < MIN_POOLED:
        return Variance(variance, df)
    shared = _shared(logs)
    residual = np.log(variance) - scipy.special.digamma(df / 2) + np.log(df / 2)
    d0 = 2 * trigamma_inverse(_spread(residual, float(scipy.special.polygamma(1, df / 2).mean()) * (1 - shared)))
    limit = df.sum() / (1 + (len(logs) - 1) * shared)
    pooled = (d0 * math.exp(residual.mean()) + df * variance) / (d0 + df)
    return Variance(pooled, np.maximum(np.minimum(d0 + df, limit), df))


def _spread(residual: Floats, by_chance: float) -> float:
    """How much the endpoints' log variances truly differ, taken one standard error high."""
    seen = float(residual.var(ddof=1))
    return max(seen - by_chance, 0.0) + max(seen, by_chance, 1e-6) * math.sqrt(2 / (len(residual) - 1))


def trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value > 0, by Newton's steps on 1 / trigamma (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        at = float(scipy.special.polygamma(1, x))
        step = at * (1 - at / value) / float(scipy.special.polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _shared(logs: Floats) -> float:
    """The mean square correlation of two endpoints over their common runs, less what chance gives; 1: too few runs."""
    common = logs[:, ~np.isnan(logs).any(axis=0)]
    df = common.shape[1] - 1
    centred = common - common.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    if df < 2 or not size.all():
        return 1.0
    square = ((centred @ centred.T) / np.outer(size, size)) ** 2
    mean = (square.sum() - len(logs)) / (len(logs) * (len(logs) - 1))
    return float(np.clip((mean - 1 / df) / (1 - 1 / df), 0.0, 1.0))
