"""What of a figure a covariate explains, run by run: the target's wait for a core."""

import math
from dataclasses import dataclass

import numpy as np

from perflib.stats import Floats
from perflib.stats.moderated import moderated_variance

SLOPE, SLOPE_SD = 1.0, 1.0
"""What a slope is taken for before any run is looked at. A request of pure computing whose threads wait w seconds per
second of work takes 1 + w times as long, and log1p(w) has the slope 1; one that sleeps has 0, one in a queue more."""


@dataclass(frozen=True)
class Explained:
    """By endpoint: of the baseline's logs, shape (endpoints, runs), and of the new mean log; its variance; df spent."""

    base: Floats
    new: Floats
    variance: Floats
    df: Floats


def explained(logs: Floats, waited: Floats, new_waited: Floats) -> Explained:
    """What the wait for a core explains of log percentiles: a straight line in log1p(wait) for each endpoint.

    The slope is that of least squares, drawn to what is known beforehand (a normal prior: ridge regression, Hoerl &
    Kennard 1970, Technometrics 12(1)): a baseline whose runs waited alike leaves it at `SLOPE`, known to `SLOPE_SD`,
    and a new run that waited much longer than all of them becomes uncertain rather than slow. Its variance is
    s² (x − x̄)² / (Sxx + s² / SLOPE_SD²) at the new run's x, s² being that of the residuals of least squares, moderated
    over the endpoints.

    Args:
        logs: shape (endpoints, runs), NaN: the run has no figure. Three runs or more each.
        waited: the wait per second of work, same shape.
        new_waited: the mean of log1p over the new runs, shape (endpoints,). NaN here or in `waited`: not known, which
            explains nothing of that endpoint, or run.
    """
    x = np.where(np.isfinite(logs), np.log1p(waited), np.nan)
    known = np.isfinite(x)
    able = np.isfinite(new_waited) & (known.sum(axis=1) >= 3)
    count = np.maximum(known.sum(axis=1), 1)
    centre = np.nansum(x, axis=1) / count
    apart = np.where(known & able[:, None], x - centre[:, None], 0.0)
    level = np.nansum(logs, axis=1) / np.maximum(np.isfinite(logs).sum(axis=1), 1)
    off = np.where(np.isfinite(logs), logs - level[:, None], 0.0)
    spread, common = (apart**2).sum(axis=1), (apart * off).sum(axis=1)
    plain = common / np.where(spread > 0, spread, math.inf)
    left = np.where(np.isfinite(logs), off - plain[:, None] * apart, np.nan)
    doubt = moderated_variance(left, (spread > 0) * 1.0).variance / SLOPE_SD**2
    slope = (common + doubt * SLOPE) / (spread + doubt)
    away = np.where(able, new_waited - centre, 0.0)
    return Explained(
        base=slope[:, None] * apart,
        new=slope * away,
        variance=away**2 * doubt * SLOPE_SD**2 / (spread + doubt),
        df=spread / (spread + doubt),
    )
