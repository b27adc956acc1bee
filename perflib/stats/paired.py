"""A against B, interleaved: each restart of both sides gives one log ratio, and the restarts are the sample.

What a restart's two sides share (the state of the machine) cancels; what they do not (memory layout, caches, luck) is
the noise that the t-test sees. Looking early is paid for, so that stopping early costs no error.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy

from perflib.stats import Floats, Interval
from perflib.stats.verdict import Verdict

MIN_RESTARTS = 10
_MOST_RESTARTS = 1000
_SHARES = {0.5: 0.1, 0.75: 0.2, 1.0: 0.7}
"""Of the restarts, when to look; and the share of alpha each look may spend."""
_FAILED = 1000.0
POWER = 0.9


@dataclass(frozen=True)
class PairedChange:
    """B over A, geometric mean over the restarts; `noise_sd` is one restart's standard deviation of the log."""

    ratio: float
    interval: Interval
    p_slower: float
    p_faster: float
    noise_sd: float
    restarts: int


@dataclass(frozen=True)
class Look:
    """After so many restarts, one-sided tests at `alpha`."""

    restarts: int
    alpha: float


@dataclass(frozen=True)
class Plan:
    """When to look, and the relative change that the comparison is meant to see."""

    detect: float
    looks: tuple[Look, ...]

    @property
    def threshold(self) -> float:
        """The smallest ratio - 1 called a change: 5 %, or half of what was asked for, where that is less."""
        return min(0.05, self.detect / 2)

    @property
    def restarts(self) -> int:
        """The most restarts it takes."""
        return self.looks[-1].restarts


@dataclass(frozen=True)
class Decision:
    """What the restarts so far say.

    verdict: None: not clear yet, go on. change: its interval holds at every look of the plan at once, with
        a confidence of 1 - 2 alpha; stopped early, the ratio itself leans to the extreme.
    mde: the smallest relative change that the whole plan finds with `POWER`, at the noise seen so far.
    """

    verdict: Verdict | None
    change: PairedChange
    mde: float


def restart_log_ratio(a: Floats, b: Floats) -> float:
    """The median over a restart's pairs of neighbouring blocks of log(b / a), shapes (blocks,).

    A block that failed is infinite and counts as a thousandfold; where both failed, the pair says 1.
    """
    ratio = np.divide(b, a, out=np.ones(len(a)), where=a != b)
    return float(np.median(np.log(np.clip(ratio, 1 / _FAILED, _FAILED))))


def paired(log_ratios: Floats, confidence: float = 0.95) -> PairedChange:
    """Student's t over the restarts, shape (restarts,), two at least (Student 1908, Biometrika 6(1))."""
    n = len(log_ratios)
    mean, sd = float(np.mean(log_ratios)), float(np.std(log_ratios, ddof=1))
    se = max(sd / math.sqrt(n), 1e-12)
    wide = float(scipy.special.stdtrit(n - 1, 0.5 + confidence / 2)) * se
    return PairedChange(
        ratio=math.exp(mean),
        interval=Interval(math.exp(mean - wide), math.exp(mean + wide)),
        p_slower=float(scipy.special.stdtr(n - 1, -mean / se)),
        p_faster=float(scipy.special.stdtr(n - 1, mean / se)),
        noise_sd=sd,
        restarts=n,
    )


def plan(detect: float, noise_sd: float, *, alpha: float = 0.01, early: bool = True) -> Plan:
    """The fewest restarts, ten at least, whose last look finds a relative change `detect` with `POWER`.

    The looks share alpha, and each tests at its own share: by the union bound (Bonferroni) they err in at most alpha
    of all comparisons together, whatever their dependence. Most of alpha is kept for the last, as O'Brien & Fleming
    do (1979, Biometrics 35(3)), so that looking early costs less than a restart in ten.

    Args:
        noise_sd: standard deviation of a restart's log ratio, expected.
        alpha: one-sided, for all looks of one figure; for a family of m figures give alpha / m.
        early: False: one look, at the end.
    """
    shares = _SHARES if early else {1.0: 1.0}
    wanted = math.log1p(detect) / noise_sd
    for n in range(MIN_RESTARTS, _MOST_RESTARTS + 1):
        if _least_shift(n, alpha * shares[1.0]) / math.sqrt(n) <= wanted:
            looks = (Look(math.ceil(at * n), alpha * share) for at, share in shares.items())
            return Plan(detect, tuple(looks))
    least = math.expm1(_least_shift(_MOST_RESTARTS, alpha * shares[1.0]) / math.sqrt(_MOST_RESTARTS) * noise_sd)
    told = f"a change of {detect:.1%} does not show in {_MOST_RESTARTS:,} restarts that vary by {noise_sd:.0%}"
    raise ValueError(f"{told}; the smallest that does is {least + 0.0005:.1%}")


def decide(log_ratios: Floats, plan: Plan, least: float = 0.0) -> Decision:
    """The verdict after these restarts, shape (restarts,): to be asked at the looks of the plan, no matter how else.

    REGRESSION, IMPROVED: the interval of this look excludes 1, and the ratio is beyond `plan.threshold`, and beyond
    `least`, the smallest relative change that matters. SAME: it excludes every change of `plan.detect` or more that
    does. Else INCONCLUSIVE after the last look, and None before.
    The intervals of all looks together are repeated confidence intervals (Jennison & Turnbull 1989, Journal of the
    Royal Statistical Society B 51(3)), so each of the three is wrong in at most alpha of all comparisons.
    """
    n = len(log_ratios)
    look = next((each for each in plan.looks if each.restarts == n), None)
    if look is None:
        raise ValueError(f"{n} restarts are no look of the plan: {[each.restarts for each in plan.looks]}")
    change = paired(log_ratios, 1 - 2 * look.alpha)
    last = plan.looks[-1]
    mde = math.expm1(_least_shift(last.restarts, last.alpha) * change.noise_sd / math.sqrt(last.restarts))
    return Decision(_verdict(change, plan, least, final=look is last), change, mde)


def _verdict(change: PairedChange, plan: Plan, least: float, *, final: bool) -> Verdict | None:
    low, high = change.interval.low, change.interval.high
    threshold, within = max(plan.threshold, least), max(plan.detect, least)
    if low > 1 and change.ratio > 1 + threshold:
        return Verdict.REGRESSION
    if high < 1 and change.ratio < 1 / (1 + threshold):
        return Verdict.IMPROVED
    if low > 1 / (1 + within) and high < 1 + within:
        return Verdict.SAME
    return Verdict.INCONCLUSIVE if final else None


def _least_shift(n: int, alpha: float) -> float:
    """The shift of a t statistic, in standard errors, that a one-sided test of n restarts finds with `POWER`."""
    return float(scipy.special.nctdtrinc(n - 1, 1 - POWER, scipy.special.stdtrit(n - 1, 1 - alpha)))
