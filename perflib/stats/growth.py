"""Does a level (memory, open files, threads) leak? Told from saturation, jumps and garbage collection.

A leak is what no story without a leak explains. The stories: a saturation (warm-up, a cache that fills) with a time
constant of up to twice the run; up to three jumps upon a short warm-up; and what was given back later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import stdtrit

from perflib.stats.interval import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Verdict = Literal["OK", "LEAK", "STEP", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Tolerance:
    """What growth matters: a leak is faster than `threshold_per_h`, and over the run more than both `least_growth` and
    `share` of the level at its start."""

    threshold_per_h: float
    least_growth: float
    share: float


MEMORY = Tolerance(threshold_per_h=10e6, least_growth=8e6, share=0.05)
OPEN_FILES = Tolerance(threshold_per_h=20.0, least_growth=10.0, share=0.05)
THREADS = Tolerance(threshold_per_h=10.0, least_growth=5.0, share=0.05)

CONFIDENCE = 0.99
"""Of each end of an interval."""
POWER = 0.90
LEAST_SAMPLES = 20
_WINDOWS, _LEAST_WINDOWS = 40, 8
_MOST_JUMPS = 3
_JUMP_STANDS_OUT = 30.0
"""Squared, in standard errors; it is the largest of hundreds of places and shapes."""

_TAU, _LOG_T0 = np.geomspace(0.01, 2.0, 41), np.geomspace(0.003, 0.25, 12)
"""Time constants of the saturations 1 - exp(-t / tau) and log(1 + t / t0), as shares of the run."""
_EXPONENTIAL = slice(1, 1 + len(_TAU))
_NOT_SLOW = np.concatenate([[True], _TAU <= 0.7, np.ones(len(_LOG_T0), dtype=bool)])
_WARM_UPS = np.flatnonzero(_TAU <= 0.25)[3::4]


@dataclass(frozen=True)
class Fit:
    """For a chart: the window minima that were judged and the curve through them, each of shape (windows,).

    `low` and `high` are the band of `fitted`, each side at `CONFIDENCE`.
    """

    at_s: Floats
    level: Floats
    fitted: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Growth:
    """The verdict on one run; levels in the unit of the values, rates in that unit an hour."""

    verdict: Verdict
    reason: str
    """One sentence without figures; they are in the other fields."""
    per_h: float | None = None
    """The slope that saturation and jumps leave over: with no saturation, or the shortest one that fits."""
    interval_per_h: Interval | None = None
    """Each end at 99 %: profile likelihood over every saturation."""
    smallest_per_h: float | None = None
    """The smallest leak that such a run finds with 90 % power (in simulation 71 to 90 %: the noise is an estimate)."""
    settle_s: float | None = None
    """How long a run would settle an INCONCLUSIVE, as far as can be told."""
    step: float | None = None
    """The sum of the jumps found, the largest of which was at `step_at_s`."""
    step_at_s: float | None = None
    fit: Fit | None = None


def growth(at_s: Floats, values: Floats, tolerance: Tolerance = MEMORY, cut_s: float | None = None) -> Growth:
    """Whether the level grows without end.

    LEAK: the lower 99 % bound of the slope passes the threshold beside saturations of up to 0.7 of the run, and passes
    0 beside those of up to twice the run; three jumps do not fit as well; and the slope times the whole run, the cut
    included, passes `least_growth` and `share`. OK: the upper bound is below the threshold. STEP: jumps that pass
    `least_growth` and `share`, beside which the slope does not. Else INCONCLUSIVE.
    What no run can tell looks like a leak: a cache slower than twice the run, one cycle of garbage collection.

    Source: profile likelihood, Venzon & Moolgavkar 1988, Applied Statistics 37(1); errors by the effective sample size
    of AR(1) residuals, Zwiers & von Storch 1995, Journal of Climate 8(2).

    Args:
        at_s: shape (n,), ascending, about one a second; gaps do no harm.
        values: shape (n,), the level of one process at these moments; what is not finite is left out.
        tolerance: what growth matters.
        cut_s: so much of the start is left out as warm-up; unless said, a tenth of the run, 60 s at most.
    """
    given = np.isfinite(values)
    at_s, values = np.asarray(at_s, dtype=np.float64)[given], np.asarray(values, dtype=np.float64)[given]
    lasts_s = float(at_s[-1] - at_s[0]) if len(at_s) else 0.0
    kept_from_s = min(60.0, lasts_s / 10) if cut_s is None else cut_s
    late = at_s - at_s[:1] >= kept_from_s
    if late.sum() < LEAST_SAMPLES or lasts_s <= 0:
        settle_s = 2 * lasts_s * LEAST_SAMPLES / late.sum() if late.any() and lasts_s > 0 else None
        return Growth("INCONCLUSIVE", "There are too few samples.", settle_s=settle_s)
    middle_s, level = _window_minima(at_s[late], values[late])
    matters = max(tolerance.least_growth, tolerance.share * float(level[0]))
    kept = _retained(level, matters)
    if kept.sum() < _LEAST_WINDOWS:
        reason = "It is given back and taken again too slowly for the length of the run."
        return Growth("INCONCLUSIVE", reason, settle_s=4 * lasts_s)
    run = _Run(float(at_s[0]), lasts_s, (middle_s[kept] - at_s[0]) / lasts_s, level[kept], matters, tolerance)
    return _judge(run)


@dataclass(frozen=True)
class _Run:
    """What is judged: window minima at shares of the run, and the growth over the run that matters."""

    start_s: float
    lasts_s: float
    share: Floats
    level: Floats
    matters: float
    tolerance: Tolerance

    @property
    def hours(self) -> float:
        return self.lasts_s / 3600

    @property
    def threshold(self) -> float:
        """The threshold as growth over the run."""
        return self.tolerance.threshold_per_h * self.hours

    @property
    def least_sd(self) -> float:
        return 0.01 * self.tolerance.least_growth

    def after(self, index: int) -> Floats:
        """1 from this window on, 0 before."""
        return (np.arange(len(self.share)) >= index).astype(np.float64)


@dataclass(frozen=True)
class _Slopes:
    """Growth over the run beside saturation and jumps, in the unit of the values."""

    estimate: float
    low: float
    low_not_slow: float
    """The lower end where saturations as slow as the run are left out."""
    high: float
    sure: float
    """So far above nothing it is found with `POWER`, for all saturations."""
    sure_not_slow: float
    enough: float
    """Where it is found with `POWER` to be what matters."""
    tau: float
    """Of the saturation that fits best without a slope, as a share of the run."""
    refuted_rss: float
    """A story whose residual sum of squares is larger is refuted."""
    fitted: Floats
    band: Floats


def _window_minima(at_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Middles and minima of windows of equal width, that hold a sample or more on the average."""
    count = min(_WINDOWS, len(at_s))
    edges = np.linspace(at_s[0], at_s[-1], count + 1)
    begins = np.searchsorted(at_s, edges[:-1])
    filled = np.diff(begins, append=len(at_s)) > 0
    return (edges[:-1] + edges[1:])[filled] / 2, np.minimum.reduceat(values, begins[filled])


def _retained(level: Floats, matters: float) -> Flags:
    """Which windows hold nothing that was given back later, nor a rise since the last return that may yet be.

    The rise since the last return is told from growth once it has lasted twice as long as any before it.
    """
    jitter = float(np.median(np.abs(np.diff(level)))) / 0.95
    least = max(matters / 4, 6 * jitter)
    kept = level - np.minimum.accumulate(level[::-1])[::-1] <= least
    returned = np.flatnonzero(~kept)
    if len(returned):
        since = returned[-1] + 1
        longest = max(len(run) for run in np.split(returned, np.flatnonzero(np.diff(returned) > 1) + 1))
        if len(level) - since < 2 * longest:
            kept[since:] &= level[since:] - level[since:].min() <= least
    return np.asarray(kept, dtype=np.bool_)


def _saturations(share: Floats) -> Floats:
    """Shape (curves, windows): none, 1 - exp(-t / tau), log(1 + t / t0)."""
    exponential = -np.expm1(-share / _TAU[:, None])
    return np.concatenate([np.zeros((1, len(share))), exponential, np.log1p(share / _LOG_T0[:, None])])


@dataclass(frozen=True)
class _Noise:
    """Of correlated residuals: the variance of independent ones that tell as much, and their degrees of freedom."""

    variance: float
    free: float

    @classmethod
    def of(cls, residuals: Floats, parameters: int, least_sd: float) -> _Noise:
        """`least_sd`: noise is never taken to be less, as counts may not vary at all."""
        count = len(residuals)
        square = max(float(residuals @ residuals), 1e-300)
        correlation = float(residuals[1:] @ residuals[:-1]) / square
        unbiased = min(max(correlation + (2 + 4 * correlation) / count, 0.0), 0.9)
        inflation = (1 + unbiased) / (1 - unbiased)
        free = max(count - parameters, 1)
        return cls(max(square / free, least_sd**2) * inflation, max(free / inflation, 3.0))


@dataclass(frozen=True)
class _Fits:
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
    def of(cls, run: _Run, jumps: list[_Jump]) -> _Fits:
        base = np.column_stack([np.ones_like(run.share), *(run.after(jump.index) for jump in jumps)])
        q = np.linalg.qr(base)[0]
        x, y, curves = (v - (v @ q) @ q.T for v in (run.share, run.level, _saturations(run.share)))
        sx, sy, ss = curves @ x, curves @ y, np.maximum((curves**2).sum(axis=1), 1e-12)
        left = np.maximum(x @ x - sx**2 / ss, 1e-12)
        free = (x @ y - sx * sy / ss) / left
        free_rss = y @ y - sy**2 / ss - left * free**2
        steepest = np.divide(sy, sx, out=np.full_like(sx, np.inf), where=sx > 1e-12)  # above it the height is negative
        flattest = np.minimum(np.where(np.arange(len(ss)) == 0, -np.inf, 0.0), steepest)
        slope = np.clip(free, flattest, steepest)
        rss = free_rss + left * (slope - free) ** 2
        return cls(slope, (sy - slope * sx) / ss, rss, free, free_rss, left, flattest, steepest, base)

    def fitted(self, run: _Run, n: int) -> Floats:
        """The curve of the n-th saturation, shape (windows,)."""
        risen = self.slope[n] * run.share + self.height[n] * _saturations(run.share)[n]
        q = np.linalg.qr(self.base)[0]
        return np.asarray(risen + q @ (q.T @ (run.level - risen)), dtype=np.float64)

    def leverage(self, run: _Run, n: int) -> Floats:
        """Squared standard error of `fitted` where the noise has variance 1."""
        beside = _saturations(run.share)[n : n + 1] if n else ()
        q = np.linalg.qr(np.column_stack([self.base, run.share, *beside]))[0]
        return np.asarray((q**2).sum(axis=1), dtype=np.float64)


def _slopes(run: _Run, jumps: list[_Jump]) -> _Slopes:
    fits = _Fits.of(run, jumps)
    best = int(np.argmin(fits.rss))
    noise = _Noise.of(run.level - fits.fitted(run, best), len(jumps) + 3, run.least_sd)
    t, z = (float(stdtrit(noise.free, share)) for share in (CONFIDENCE, POWER))
    refuted_rss = float(fits.rss[best] + t**2 * noise.variance)
    reach = np.sqrt(np.maximum(refuted_rss - fits.free_rss, 0.0) / fits.left)
    low, high = np.maximum(fits.free - reach, fits.flattest), np.minimum(fits.free + reach, fits.steepest)
    told = (fits.free_rss <= refuted_rss) & (low <= high)
    low, high = np.where(told, low, np.inf), np.where(told, high, -np.inf)
    sure = (t + z) * np.sqrt(noise.variance / fits.left)
    plain = int(np.argmax(fits.rss <= fits.rss[best] + 2 * noise.variance))
    flat_rss = fits.free_rss + fits.left * fits.free**2
    return _Slopes(
        estimate=float(fits.slope[plain]),
        low=float(low.min()),
        low_not_slow=float(low[_NOT_SLOW].min()),
        high=float(high.max()),
        sure=float(sure.max()),
        sure_not_slow=float(sure[_NOT_SLOW].max()),
        enough=float(run.matters + z * np.sqrt(noise.variance / fits.left[0])),
        tau=float(_TAU[np.argmin(flat_rss[_EXPONENTIAL])]),
        refuted_rss=refuted_rss,
        fitted=fits.fitted(run, plain),
        band=t * np.sqrt(noise.variance * fits.leverage(run, plain)),
    )


@dataclass(frozen=True)
class _Jump:
    """Upward, before window `index`; `gain` is what it takes off the residual sum of squares."""

    index: int
    height: float
    gain: float
    residuals: Floats


def _best_jump(run: _Run, designs: Floats, others: list[_Jump]) -> _Jump:
    """The best place for one more jump upon the best of the designs, shape (designs, windows, columns)."""
    known = np.stack([run.after(jump.index) for jump in others], axis=1) if others else designs[0, :, :0]
    design = np.concatenate([designs, np.broadcast_to(known, (len(designs), *known.shape))], axis=2)
    q = np.linalg.qr(design)[0]
    y = run.level - (q @ (run.level @ q)[:, :, None])[:, :, 0]
    windows = len(run.level)
    covered = np.cumsum(y[:, ::-1], axis=1)[:, ::-1]  # the product with a jump is the sum from its place on
    weight = windows - np.arange(windows) - (np.cumsum(q[:, ::-1], axis=1)[:, ::-1] ** 2).sum(axis=2)
    height = np.divide(covered, weight, out=np.zeros_like(covered), where=(weight > 1e-3) & (covered > 0))
    height[:, :2] = 0.0
    gain, rss = height * covered, (y * y).sum(axis=1)
    n, index = (int(place) for place in np.unravel_index(np.argmin(rss[:, None] - gain), gain.shape))
    jump = run.after(index)
    residuals = y[n] - height[n, index] * (jump - q[n] @ (q[n].T @ jump))
    return _Jump(index, float(height[n, index]), float(gain[n, index]), residuals)


def _best_jumps(run: _Run, *columns: Floats) -> list[_Jump]:
    """Upon a constant, the columns and one short warm-up: one after the other; then each again, given the others."""
    warm_ups = _saturations(run.share)[_EXPONENTIAL][_WARM_UPS]
    designs = np.stack([np.column_stack([np.ones_like(run.share), *columns, warm_up]) for warm_up in warm_ups])
    jumps: list[_Jump] = []
    for _ in range(_MOST_JUMPS):
        jumps.append(_best_jump(run, designs, jumps))
    for n in range(_MOST_JUMPS):
        jumps[n] = _best_jump(run, designs, jumps[:n] + jumps[n + 1 :])
    return jumps


def _jumps(run: _Run) -> list[_Jump]:
    """The jumps that stand out from a line upon a short warm-up."""
    rises = np.diff(run.level)
    jitter = float(np.median(np.abs(rises - np.median(rises)))) / 0.95
    if rises.max() - np.median(rises) < max(run.matters / 4, 3 * jitter):
        return []
    found = _best_jumps(run, run.share)
    noise = _Noise.of(found[-1].residuals, 3 + _MOST_JUMPS, run.least_sd)
    least_gain, least_height = _JUMP_STANDS_OUT * noise.variance, run.matters / 8
    return [jump for jump in found if jump.gain >= least_gain and jump.height >= least_height]


def _only_jumped(run: _Run, slopes: _Slopes) -> bool:
    """Whether jumps upon a short warm-up fit about as well as the slope."""
    residuals = _best_jumps(run)[-1].residuals
    return float(residuals @ residuals) <= slopes.refuted_rss


def _judge(run: _Run) -> Growth:
    jumps = _jumps(run)
    slopes = _slopes(run, jumps)
    jumped = sum(jump.height for jump in jumps)
    verdict, reason = _verdict(run, slopes, jumps)
    smallest = max(run.threshold + slopes.sure_not_slow, slopes.sure, slopes.enough)
    biggest = max(jumps, key=lambda jump: jump.height, default=None)
    at_s = run.start_s + run.share * run.lasts_s
    return Growth(
        verdict,
        reason,
        per_h=slopes.estimate / run.hours,
        interval_per_h=Interval(slopes.low / run.hours, slopes.high / run.hours),
        smallest_per_h=smallest / run.hours,
        settle_s=_settle_s(run, slopes) if verdict == "INCONCLUSIVE" else None,
        step=jumped if biggest else None,
        step_at_s=float(at_s[biggest.index]) if biggest else None,
        fit=Fit(at_s, run.level, slopes.fitted, slopes.fitted - slopes.band, slopes.fitted + slopes.band),
    )


def _verdict(run: _Run, slopes: _Slopes, jumps: list[_Jump]) -> tuple[Verdict, str]:
    if slopes.low_not_slow > run.threshold and slopes.low > 0:
        if slopes.estimate < run.matters:
            return "INCONCLUSIVE", "It grows, but over the run too little to matter yet."
        if _only_jumped(run, slopes):
            return "INCONCLUSIVE", "It grows in jumps, too few to tell a leak from some large allocations."
        return "LEAK", "It grows steadily; neither a saturation nor a few jumps explain it."
    if sum(jump.height for jump in jumps) >= run.matters and slopes.high < max(run.threshold, run.matters):
        return "STEP", "It jumped and stayed; beside the jumps it does not grow by what matters."
    if len(jumps) == _MOST_JUMPS:
        return "INCONCLUSIVE", "It grows in jumps, too few to tell a leak from some large allocations."
    if slopes.high < run.threshold:
        return "OK", "It does not grow, or slower than the threshold."
    if slopes.estimate >= run.matters:
        return "INCONCLUSIVE", "It grows as a leak does, or as a cache that is still filling."
    return "INCONCLUSIVE", "A leak above the threshold could hide in a run as short or noisy as this."


def _settle_s(run: _Run, slopes: _Slopes) -> float:
    """Growth gains on what matters as the time, on its error as time^1.5; a filling ends after six time constants."""
    rate = max(slopes.estimate, run.threshold)
    times = max(1.5, slopes.enough / rate, (slopes.sure / rate) ** (2 / 3))
    fills = slopes.estimate >= run.matters / 2
    return run.lasts_s * float(max(times, min(6 * slopes.tau, 4.0)) if fills else times)
