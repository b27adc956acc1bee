"""What else than a leak may raise a level: saturations (warm-ups, caches that fill up), jumps; the slope beside them.

Source: profile likelihood, Venzon & Moolgavkar 1988, Applied Statistics 37(1); errors by the effective sample size of
AR(1) residuals, Zwiers & von Storch 1995, Journal of Climate 8(2).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy

from perflib.stats import Floats
from perflib.stats.windows import Windows

CONFIDENCE = 0.99
"""Of each end of an interval."""
MOST_JUMPS = 3
"""More may as well be a leak in chunks."""
_STANDS_OUT = 30.0
"""Squared, in standard errors; it is the largest of hundreds of places and shapes."""
POWER = 0.90

_TAU, _LOG_T0 = np.geomspace(0.01, 2.0, 601), np.geomspace(0.003, 0.25, 101)
"""Time constants of the saturations 1 - exp(-t / tau) and log(1 + t / t0), as shares of the run."""
_EXPONENTIAL = slice(1, 1 + len(_TAU))
_WARM_UPS = np.geomspace(0.015, 0.21, 6)
"""Some of those that end within the run."""
_SLOW = np.concatenate([[False], _TAU > 0.7, np.zeros(len(_LOG_T0), dtype=bool)])


@dataclass(frozen=True)
class Slopes:
    """Growth over the run beside saturation and jumps, in the unit of the values."""

    estimate: float
    low: float
    low_not_slow: float
    """The lower end where saturations as slow as the run are left out."""
    low_slow: float
    """The lower end beside these, at the confidence that was asked for them."""
    high: float
    sure: float
    """So far above nothing it is found with `POWER`, beside slow saturations."""
    sure_not_slow: float
    short_by: float
    """So far below the truth an estimate without saturation may lie, at `POWER`."""
    tau: float
    """Of the saturation that fits best without a slope, as a share of the run."""
    refuted_rss: float
    """A story whose residual sum of squares is larger is refuted."""
    fitted: Floats
    band: Floats


def saturations(share: Floats) -> Floats:
    """Shape (curves, windows): none, 1 - exp(-t / tau), log(1 + t / t0)."""
    logarithmic = np.log1p(share / _LOG_T0[:, None])
    return np.concatenate([np.zeros((1, len(share))), _fillings(share, _TAU), logarithmic])


def _fillings(share: Floats, tau: Floats) -> Floats:
    return np.asarray(-np.expm1(-share / tau[:, None]), dtype=np.float64)


@dataclass(frozen=True)
class Noise:
    """Of correlated residuals: the variance of independent ones that tell as much, and their degrees of freedom."""

    variance: float
    free: float

    @classmethod
    def of(cls, residuals: Floats, parameters: int, least_sd: float) -> Self:
        """`least_sd`: noise is never taken to be less, as counts may not vary at all."""
        count = len(residuals)
        square = max(float(residuals @ residuals), 1e-300)
        correlation = float(residuals[1:] @ residuals[:-1]) / square
        unbiased = min(max(correlation + (2 + 4 * correlation) / count, 0.0), 0.9)
        inflation = (1 + unbiased) / (1 - unbiased)
        free = max(count - parameters, 1)
        return cls(max(square / free, least_sd**2) * inflation, max(free / inflation, 3.0))

    @property
    def most(self) -> float:
        """The upper bound of the variance, at `CONFIDENCE`."""
        return float(self.variance * self.free / scipy.special.chdtri(self.free, CONFIDENCE))


@dataclass(frozen=True)
class Ends:
    """Of the interval of the slope beside every saturation; (inf, -inf) beside one that is refuted."""

    low: Floats
    high: Floats


@dataclass(frozen=True)
class Fits:
    """Constant, jumps, slope x share and height x saturation, fitted for every saturation; arrays of shape (curves,).

    A height is not negative, and beside a saturation neither is a slope: a fall is no part of a cache that fills.
    """

    slope: Floats
    height: Floats
    rss: Floats
    free: Floats
    """The slope without these bounds; moved by d from it, the residual sum of squares is free_rss + left x d^2."""
    free_rss: Floats
    left: Floats
    flattest: Floats
    steepest: Floats
    base: Floats

    @classmethod
    def of(cls, windows: Windows, jumps_at: list[int]) -> Self:
        base = np.column_stack([np.ones_like(windows.share), *(windows.after(index) for index in jumps_at)])
        q = np.linalg.qr(base)[0]
        x, y, curves = (v - (v @ q) @ q.T for v in (windows.share, windows.level, saturations(windows.share)))
        sx, sy, ss = curves @ x, curves @ y, np.maximum((curves**2).sum(axis=1), 1e-12)
        left = np.maximum(x @ x - sx**2 / ss, 1e-12)
        free = (x @ y - sx * sy / ss) / left
        free_rss = y @ y - sy**2 / ss - left * free**2
        steepest = np.divide(sy, sx, out=np.full_like(sx, np.inf), where=sx > 1e-12)  # above it the height is negative
        flattest = np.minimum(np.where(np.arange(len(ss)) == 0, -np.inf, 0.0), steepest)
        slope = np.clip(free, flattest, steepest)
        rss = free_rss + left * (slope - free) ** 2
        return cls(slope, (sy - slope * sx) / ss, rss, free, free_rss, left, flattest, steepest, base)

    def fitted(self, windows: Windows, n: int) -> Floats:
        """The curve of the n-th saturation, shape (windows,)."""
        risen = self.slope[n] * windows.share + self.height[n] * saturations(windows.share)[n]
        q = np.linalg.qr(self.base)[0]
        return np.asarray(risen + q @ (q.T @ (windows.level - risen)), dtype=np.float64)

    def leverage(self, windows: Windows, n: int) -> Floats:
        """Squared standard error of `fitted` where the noise has variance 1."""
        beside = saturations(windows.share)[n : n + 1] if n else ()
        q = np.linalg.qr(np.column_stack([self.base, windows.share, *beside]))[0]
        return np.asarray((q**2).sum(axis=1), dtype=np.float64)

    def ends(self, refuted_rss: float) -> Ends:
        """The slopes whose residual sum of squares is not larger."""
        reach = np.sqrt(np.maximum(refuted_rss - self.free_rss, 0.0) / self.left)
        low, high = np.maximum(self.free - reach, self.flattest), np.minimum(self.free + reach, self.steepest)
        told = (self.free_rss <= refuted_rss) & (low <= high)
        return Ends(np.where(told, low, np.inf), np.where(told, high, -np.inf))


def slopes_beside(windows: Windows, jumps_at: list[int]) -> Slopes:
    """The slope, beside every saturation and jumps before these windows."""
    fits = Fits.of(windows, jumps_at)
    best = int(np.argmin(fits.rss))
    noise = Noise.of(windows.level - fits.fitted(windows, best), len(jumps_at) + 3, windows.least_sd)
    t, t_slow, z = (float(scipy.special.stdtrit(noise.free, at)) for at in (CONFIDENCE, windows.slow_confidence, POWER))
    refuted_rss = float(fits.rss[best] + t**2 * noise.variance)
    ends, ends_slow = fits.ends(refuted_rss), fits.ends(float(fits.rss[best] + t_slow**2 * noise.variance))
    se = np.sqrt(noise.most / fits.left)
    plain = int(np.argmax(fits.rss <= fits.rss[best] + 2 * noise.variance))
    flat_rss = fits.free_rss + fits.left * fits.free**2
    return Slopes(
        estimate=float(fits.slope[plain]),
        low=float(ends.low.min()),
        low_not_slow=float(ends.low[~_SLOW].min()),
        low_slow=float(ends_slow.low[_SLOW].min()),
        high=float(ends.high.max()),
        sure=float((t_slow + z) * se[_SLOW].max()),
        sure_not_slow=float((t + z) * se[~_SLOW].max()),
        short_by=float(z * se[0]),
        tau=float(_TAU[np.argmin(flat_rss[_EXPONENTIAL])]),
        refuted_rss=refuted_rss,
        fitted=fits.fitted(windows, plain),
        band=t * np.sqrt(noise.variance * fits.leverage(windows, plain)),
    )


@dataclass(frozen=True)
class Jump:
    """Upward, before window `index`; `gain` is what it takes off the residual sum of squares."""

    index: int
    height: float
    gain: float
    residuals: Floats


def _best_jump(windows: Windows, designs: Floats, others: list[Jump]) -> Jump:
    """The best place for one more jump upon the best of the designs, shape (designs, windows, columns)."""
    known = np.stack([windows.after(jump.index) for jump in others], axis=1) if others else designs[0, :, :0]
    design = np.concatenate([designs, np.broadcast_to(known, (len(designs), *known.shape))], axis=2)
    q = np.linalg.qr(design)[0]
    y = windows.level - (q @ (windows.level @ q)[:, :, None])[:, :, 0]
    count = len(windows.level)
    covered = np.cumsum(y[:, ::-1], axis=1)[:, ::-1]  # the product with a jump is the sum from its place on
    weight = count - np.arange(count) - (np.cumsum(q[:, ::-1], axis=1)[:, ::-1] ** 2).sum(axis=2)
    height = np.divide(covered, weight, out=np.zeros_like(covered), where=(weight > 1e-3) & (covered > 0))
    height[:, :2] = 0.0
    gain, rss = height * covered, (y * y).sum(axis=1)
    n, index = (int(place) for place in np.unravel_index(np.argmin(rss[:, None] - gain), gain.shape))
    jump = windows.after(index)
    residuals = y[n] - height[n, index] * (jump - q[n] @ (q[n].T @ jump))
    return Jump(index, float(height[n, index]), float(gain[n, index]), residuals)


def _best_jumps(windows: Windows, *columns: Floats) -> list[Jump]:
    """Upon a constant, the columns and one short warm-up: one after the other; then each again, given the others."""
    before = [np.ones_like(windows.share), *columns]
    designs = np.stack([np.column_stack([*before, warm_up]) for warm_up in _fillings(windows.share, _WARM_UPS)])
    jumps: list[Jump] = []
    for _ in range(MOST_JUMPS):
        jumps.append(_best_jump(windows, designs, jumps))
    for n in range(MOST_JUMPS):
        jumps[n] = _best_jump(windows, designs, jumps[:n] + jumps[n + 1 :])
    return jumps


def jumps_of(windows: Windows) -> list[Jump]:
    """The jumps that stand out from a line upon a short warm-up."""
    rises = np.diff(windows.level)
    jitter = float(np.median(np.abs(rises - np.median(rises)))) / 0.95
    if rises.max() - np.median(rises) < max(windows.matters / 4, 3 * jitter):
        return []
    found = _best_jumps(windows, windows.share)
    noise = Noise.of(found[-1].residuals, 3 + MOST_JUMPS, windows.least_sd)
    least_gain, least_height = _STANDS_OUT * noise.variance, windows.matters / 8
    return [jump for jump in found if jump.gain >= least_gain and jump.height >= least_height]


def only_jumped(windows: Windows, refuted_rss: float) -> bool:
    """Whether jumps upon a short warm-up fit about as well as a slope: they are not refuted.

    They fit noise too, by five parameters more: each counts the logarithm of the number of windows (Schwarz 1978,
    Annals of Statistics 6(2)).
    """
    residuals = _best_jumps(windows)[-1].residuals
    rss, count = float(residuals @ residuals), len(residuals)
    more = 2 * MOST_JUMPS - 1
    return bool(rss * (1 + more * np.log(count) / max(count - more - 3, 1)) <= refuted_rss)
