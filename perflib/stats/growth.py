"""Does a level (memory, open files, threads) leak? Told from saturation, jumps and garbage collection.

A leak is what nothing else explains. The other explanations: a saturation (warm-up, a cache that fills) with a time
constant of up to twice the run; up to three jumps upon a short warm-up; and what was given back later.
"""

from dataclasses import dataclass

import numpy as np

from perflib.stats import Floats, Interval
from perflib.stats.explanations import CONFIDENCE, MOST_JUMPS, Jump, Slopes, jumps_of, only_jumped, slopes_beside
from perflib.stats.verdict import Verdict
from perflib.stats.windows import Windows, retained, window_levels


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

LEAST_SAMPLES = 20
_LEAST_WINDOWS = 8
_SHORT_S, _MOST_IF_SHORT = 900.0, 5.0
"""A shorter run must grow by more, in proportion, up to so many times."""
_SLOW_CONFIDENCE = ((180.0, 0.90), (1200.0, 0.998))
"""Beside slow saturations, in runs of up to so many seconds: the shorter more often see one; else `CONFIDENCE`."""
_SHOWS_S, _SETTLES_MOST_S = 600.0, 2700.0
"""Of a run below ten minutes it cannot be told whether it warms up for long: three quarters of an hour settle most."""
_IN_JUMPS = "It grows in a few jumps: a leak in chunks, or some large allocations."


@dataclass(frozen=True)
class Fit:
    """For a chart: the levels of the windows that were judged and the curve through them, each of shape (windows,).

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
    at_least_per_h: float | None = None
    """Of a LEAK: the bound above 0 that the verdict rests on; that of the interval, or at 90 % in a short run."""
    smallest_per_h: float | None = None
    """The smallest leak that such a run finds with 90 % power, were its noise at its upper 99 % bound.

    In simulation it is found in 92 % or more of flat runs, upon a warm-up in 83 to 99 %.
    """
    settle_s: float | None = None
    """A run of this length ends an INCONCLUSIVE in 80 % or more of simulated targets."""
    needs_s: float | None = None
    """What a run needs at least, where nothing else can be told."""
    step: float | None = None
    """The sum of the jumps found, the largest of which was at `step_at_s`."""
    step_at_s: float | None = None
    fit: Fit | None = None


def growth(
    at_s: Floats,
    values: Floats,
    tolerance: Tolerance = MEMORY,
    cut_s: float | None = None,
    least_samples: int = LEAST_SAMPLES,
) -> Growth:
    """Whether the level grows without end.

    LEAK: the lower 99 % bound of the slope passes the threshold beside saturations of up to 0.7 of the run, and passes
    0 beside those of up to twice the run (up to 20 minutes at 99.8 %); three jumps do not fit as well; and the slope
    times the whole run, the cut included, passes `least_growth` and `share`. OK: the upper bound is below the
    threshold, so is the sum of the jumps, and noise could hardly hide that much (else a bound so low is chance). STEP:
    jumps that pass `least_growth` and `share`, beside which the slope does not. Else INCONCLUSIVE.

    A run shorter than 15 minutes sees one cycle of garbage collection, or a straight piece of a warm-up. Its leak must
    pass more: `least_growth` x 15 min / its length, at most 5 x (for memory 40 MB, from 3 minutes down). Few caches
    slower than the run take so much so soon; there it need pass 0 beside them only at 90 %, so that `interval_per_h`,
    at 99 %, may begin at 0.
    What no run can tell looks like a leak: a cache slower than twice the run, one large cycle of garbage collection.
    Sources: see `stats.explanations`.

    Args:
        at_s: shape (n,), ascending, about one a second; gaps do no harm.
        values: shape (n,), the level of one process at these moments; what is not finite is left out.
        tolerance: what growth matters.
        cut_s: so much of the start is left out as warm-up; unless said, a tenth of the run, 60 s at most.
        least_samples: upon that start; with fewer nothing is judged.
    """
    given = np.isfinite(values)
    at_s, values = np.asarray(at_s, dtype=np.float64)[given], np.asarray(values, dtype=np.float64)[given]
    lasts_s = float(at_s[-1] - at_s[0]) if len(at_s) else 0.0
    kept_from_s = min(60.0, lasts_s / 10) if cut_s is None else cut_s
    late = at_s - at_s[:1] >= kept_from_s
    if late.sum() < least_samples or lasts_s <= 0:
        needs_s = 2 * lasts_s * least_samples / late.sum() if late.any() and lasts_s > 0 else None
        return Growth(Verdict.INCONCLUSIVE, "There are too few samples.", needs_s=needs_s)
    windows = _windows_of(at_s[late], values[late], at_s[0], tolerance)
    if len(windows.level) < _LEAST_WINDOWS:
        reason = "What it takes and gives back goes too slowly for so short a run."
        return Growth(Verdict.INCONCLUSIVE, reason, settle_s=max(4 * lasts_s, _SETTLES_MOST_S))
    return _judge(windows)


def _windows_of(at_s: Floats, values: Floats, start_s: float, tolerance: Tolerance) -> Windows:
    lasts_s = float(at_s[-1] - start_s)
    share_of_level, short = tolerance.share * float(values[0]), min(max(_SHORT_S / lasts_s, 1.0), _MOST_IF_SHORT)
    matters = max(tolerance.least_growth, share_of_level)
    middle_s, level = window_levels(at_s, values, matters)
    kept = retained(level, matters)
    return Windows(
        start_s=float(start_s),
        lasts_s=lasts_s,
        share=(middle_s[kept] - start_s) / lasts_s,
        level=level[kept],
        threshold=tolerance.threshold_per_h * lasts_s / 3600,
        matters=matters,
        floor=max(short * tolerance.least_growth, share_of_level),
        least_sd=0.01 * tolerance.least_growth,
        slow_confidence=next((sure for most_s, sure in _SLOW_CONFIDENCE if lasts_s <= most_s), CONFIDENCE),
    )


def _judge(windows: Windows) -> Growth:
    jumps = jumps_of(windows)
    slopes = slopes_beside(windows, [jump.index for jump in jumps])
    jumped = sum(jump.height for jump in jumps)
    verdict, reason = _verdict(windows, slopes, jumps)
    smallest = max(windows.threshold + slopes.sure_not_slow, slopes.sure, windows.floor + slopes.short_by)
    biggest = max(jumps, key=lambda jump: jump.height, default=None)
    at_s = windows.at_s
    return Growth(
        verdict,
        reason,
        per_h=slopes.estimate / windows.hours,
        interval_per_h=Interval(slopes.low / windows.hours, slopes.high / windows.hours),
        at_least_per_h=_at_least(slopes) / windows.hours if verdict == Verdict.LEAK else None,
        smallest_per_h=smallest / windows.hours,
        settle_s=_settle_s(windows, slopes, jumped) if verdict == Verdict.INCONCLUSIVE else None,
        step=jumped if biggest else None,
        step_at_s=float(at_s[biggest.index]) if biggest else None,
        fit=Fit(at_s, windows.level, slopes.fitted, slopes.fitted - slopes.band, slopes.fitted + slopes.band),
    )


def _verdict(windows: Windows, slopes: Slopes, jumps: list[Jump]) -> tuple[Verdict, str]:
    jumped = sum(jump.height for jump in jumps)
    if slopes.low_not_slow > windows.threshold and slopes.low_slow > 0:
        if slopes.estimate < windows.floor:
            return Verdict.INCONCLUSIVE, "It grows, but by too little in this time to be sure that it will go on."
        if only_jumped(windows, slopes.refuted_rss):
            return Verdict.INCONCLUSIVE, _IN_JUMPS
        return Verdict.LEAK, "It grows steadily; no warm-up, filling cache or few jumps explain that."
    if jumped >= windows.matters and slopes.high < max(windows.threshold, windows.matters):
        return Verdict.STEP, "It jumped and stayed there; apart from that it does not grow by what matters."
    if len(jumps) == MOST_JUMPS or (jumped >= windows.threshold and slopes.high < windows.threshold):
        return Verdict.INCONCLUSIVE, _IN_JUMPS
    if slopes.high < windows.threshold and slopes.short_by < windows.threshold:
        return Verdict.OK, "It does not grow, or so slowly that it does not matter."
    if slopes.estimate >= windows.matters:
        return Verdict.INCONCLUSIVE, "It grows: a leak, or a cache that is still filling."
    return Verdict.INCONCLUSIVE, "The run is too short or too noisy to rule out a leak."


def _at_least(slopes: Slopes) -> float:
    """The bound that a LEAK rests on: that of the interval, or that beside slow saturations at their own confidence."""
    return slopes.low if slopes.low > 0 else min(slopes.low_not_slow, slopes.low_slow)


def _settle_s(windows: Windows, slopes: Slopes, jumped: float) -> float:
    """Growth gains on what matters as the time, on its error as time^1.5; a filling ends after six time constants.

    Jumps that do not come again are less than the threshold in a run that is long enough.
    """
    rate = max(slopes.estimate, windows.threshold)
    enough = (windows.matters + slopes.short_by) / rate
    times = max(1.5, enough, (max(slopes.sure, slopes.sure_not_slow) / windows.threshold) ** (2 / 3))
    if slopes.estimate >= windows.matters / 2:
        times = max(times, min(6 * slopes.tau, 4.0))
    least_s = _SETTLES_MOST_S if windows.lasts_s < _SHOWS_S else 0.0
    return max(windows.lasts_s * float(max(times, 1.5 * jumped / windows.threshold)), least_s)
