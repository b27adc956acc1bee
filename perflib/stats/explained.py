"""What of a figure a covariate explains, run by run: the target's wait for a core."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perflib.stats import Floats
from perflib.stats.moderated import moderated_variance

SLOPE, SLOPE_SD = 1.0, 1.0
"""What a slope is taken for before any run is looked at. A request of pure computing whose threads wait w seconds per
second of work takes 1 + w times as long, and log1p(w) has the slope 1; one that sleeps has 0, one in a queue more."""


FEWEST = 8
"""Runs of a baseline whose wait is known, at the least, for it to explain anything."""


@dataclass(frozen=True)
class Waits:
    """The target's wait for a core, per second of work, of each run. None, or NaN: not known.

    base: of the baseline's runs, shape (runs,). new: of those that are judged. level: of those that they are held
    against, where these are not the baseline.
    """

    base: Floats | None = None
    new: Floats | None = None
    level: Floats | None = None
    slope: float = SLOPE
    slope_sd: float = SLOPE_SD


UNKNOWN = Waits()


@dataclass(frozen=True)
class Explained:
    """By endpoint: of the baseline's logs, shape (endpoints, runs), and of the new mean log; its variance; df spent."""

    base: Floats
    new: Floats
    variance: Floats
    df: Floats


def explained(logs: Floats, waits: Sequence[Waits]) -> Explained:
    """What the wait for a core explains of log percentiles: a straight line in log1p(wait) for each endpoint.

    The slope is that of least squares, drawn to what is known beforehand (a normal prior: ridge regression, Hoerl &
    Kennard 1970, Technometrics 12(1)): a baseline whose runs waited alike leaves it at `SLOPE`, known to `SLOPE_SD`,
    and a new run that waited much longer than all of them becomes uncertain rather than slow. Its variance is
    s² (x − x̄)² / (Sxx + s² / SLOPE_SD²) at the new run's x, s² being that of the residuals of least squares, moderated
    over the endpoints.

    Args:
        logs: shape (endpoints, runs), NaN: the run has no figure. Three runs or more each.
        waits: an endpoint each. What is not known explains nothing of that run, or endpoint.
    """
    prior, prior_sd = np.array([(one.slope, one.slope_sd) for one in waits]).T
    new, level = np.array([(_mean(one.new), _mean(one.level)) for one in waits]).T
    x = np.array([np.full(logs.shape[1], np.nan) if one.base is None else np.log1p(one.base) for one in waits])
    known = np.isfinite(x) & np.isfinite(logs)
    x = np.where(known, x, np.nan)
    able = np.isfinite(new) & (known.sum(axis=1) >= FEWEST)
    count = np.maximum(known.sum(axis=1), 1)
    centre = np.nansum(x, axis=1) / count
    apart = np.where(known & able[:, None], x - centre[:, None], 0.0)
    off = np.where(np.isfinite(logs), logs - np.nanmean(logs, axis=1, keepdims=True), 0.0)
    spread, common = (apart**2).sum(axis=1), (apart * off).sum(axis=1)
    plain = common / np.where(spread > 0, spread, math.inf)
    left = np.where(np.isfinite(logs), off - plain[:, None] * apart, np.nan)
    doubt = moderated_variance(left, (spread > 0) * 1.0).variance / prior_sd**2
    slope = (common + doubt * prior) / (spread + doubt)
    away = np.where(able, new - np.where(np.isfinite(level), level, centre), 0.0)
    return Explained(
        base=slope[:, None] * apart,
        new=slope * away,
        variance=away**2 * doubt * prior_sd**2 / (spread + doubt),
        df=spread / (spread + doubt),
    )


def _mean(waited: Floats | None) -> float:
    """Of log1p; NaN where one is not known, or there is none."""
    return math.nan if waited is None or not len(waited) else float(np.log1p(waited).mean())
