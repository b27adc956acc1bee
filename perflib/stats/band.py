"""A run against its baseline: prediction bands from the baseline's runs, and a verdict with a known error rate.

The unit is the run. A check tests all its figures (endpoints × percentiles) as one family: if nothing has changed,
at most `ALPHA` of all checks find any REGRESSION, and as many again any IMPROVED. That holds where the baseline's runs
vary as the new run does: runs back to back share the state of the machine and understate it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import scipy

from perflib.stats import Floats, Interval
from perflib.stats.moderated import moderated_variance
from perflib.stats.verdict import Verdict, worst

ALPHA = 0.01
"""The chance of any REGRESSION (and, apart, of any IMPROVED) in a check where nothing changed."""
POWER = 0.90
"""The chance that a change of `Change.mde` is found."""
THRESHOLD = 0.05
"""A smaller change is none in practice, however significant."""
SAME_WITHIN = 0.25
"""SAME says that the 95 % interval excludes any larger change, either way: the 80–125 % of bioequivalence (Schuirmann
1987, Journal of Pharmacokinetics and Biopharmaceutics 15(6))."""
BASELINE_RUNS = 8
"""Fewer are no baseline to judge by."""


@dataclass(frozen=True)
class Sample:
    """One figure of one endpoint, run by run, in any unit.

    figure: "p50", "p95" …; the endpoints' variances are pooled within it.
    baseline: shape (runs,), the same runs in the same order for all endpoints. NaN: the run could not support it.
    new: shape (k,); infinity: failed too often.
    level: shape (runs,), what `new` is held against where that is not the baseline, which then tells no more than how
    much runs differ: one run against another.
    """

    endpoint: str
    figure: str
    baseline: Floats
    new: Floats
    level: Floats | None = None

    @property
    def before(self) -> Floats:
        """The figures of before that are known."""
        values = self.baseline if self.level is None else self.level
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class Change:
    """A figure against its baseline.

    ratio: new over baseline, geometric means; interval: its 95 % interval, of this figure alone.
    p_slower, p_faster: one-sided, not adjusted for the family.
    mde: the smallest relative change that `POWER` of such comparisons find, at Holm's first and hardest step.
    """

    endpoint: str
    figure: str
    ratio: float
    interval: Interval
    p_slower: float
    p_faster: float
    mde: float


@dataclass(frozen=True)
class Insufficient:
    """A figure that cannot be judged, and why."""

    endpoint: str
    figure: str
    reason: str


@dataclass(frozen=True)
class Judgement:
    """An endpoint's verdict, why, and the figures it is made of."""

    endpoint: str
    verdict: Verdict
    reason: str
    figures: tuple[Change | Insufficient, ...]


def judge(samples: Sequence[Sample], than: str = "baseline") -> tuple[Judgement, ...]:
    """The verdict of every endpoint of one check, in the order of their first sample; `than`: what the baseline is.

    REGRESSION: any figure is significantly slower (Holm 1979, Scandinavian Journal of Statistics 6(2)) and its ratio
    above 1 + THRESHOLD. IMPROVED: the mirror image, and no figure is a REGRESSION. SAME: every figure's interval lies
    within 1 / (1 + SAME_WITHIN) … 1 + SAME_WITHIN and reaches a change below the threshold. Else INCONCLUSIVE.
    """
    verdicts = verdicts_of(changes(samples, than))
    return tuple(
        _judgement(name, {one: verdict for one, verdict in verdicts.items() if one.endpoint == name}, than)
        for name in dict.fromkeys(sample.endpoint for sample in samples)
    )


def changes(samples: Sequence[Sample], than: str = "baseline") -> tuple[Change | Insufficient, ...]:
    """Every figure against its prediction band, in the order of `samples`.

    The mean log of k new runs differs from that of K baseline runs by t × s √(1/K + 1/k), with s² from the
    baseline's runs, moderated over the endpoints (`moderated_variance`). K counts a sample's `level` where it has one.
    """
    lacks = [_lack(sample, than) for sample in samples]
    able = sorted((i for i, lack in enumerate(lacks) if not lack), key=lambda i: samples[i].figure)
    found: dict[int, Change | Insufficient] = {
        i: Insufficient(samples[i].endpoint, samples[i].figure, lack) for i, lack in enumerate(lacks) if lack
    }
    for _, group in groupby(able, key=lambda i: samples[i].figure):
        places = list(group)
        found |= zip(places, _band([samples[i] for i in places], len(able)), strict=True)
    return tuple(found[i] for i in range(len(samples)))


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p-values: those at most alpha are the ones found at a family-wise error of alpha."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)))
    return adjusted


def _lack(sample: Sample, than: str) -> str:
    runs = int(np.isfinite(sample.baseline).sum())
    if runs < BASELINE_RUNS:
        return f"{runs} {than} run{'' if runs == 1 else 's'}; {BASELINE_RUNS} are needed"
    return "" if len(sample.before) and not np.isnan(sample.new).all() else f"too few requests for {sample.figure}"


def _band(samples: Sequence[Sample], family: int) -> list[Change]:
    base = np.log(np.array([sample.baseline for sample in samples]))
    base = np.where(np.isfinite(base), base, np.nan)
    new = [np.log(sample.new[~np.isnan(sample.new)]) for sample in samples]
    known = moderated_variance(base)
    before = [np.log(sample.before) for sample in samples]
    gain = np.array([each.mean() for each in new]) - np.array([each.mean() for each in before])
    per_run = 1 / np.array([len(each) for each in before]) + 1 / np.array([len(each) for each in new])
    se = np.sqrt(known.variance * per_run)
    critical = scipy.special.stdtrit(known.df, 1 - ALPHA / family)
    shift = scipy.special.nctdtrinc(known.df, 1 - POWER, critical)
    mde = np.maximum(shift * se, math.log1p(THRESHOLD) + scipy.special.ndtri(POWER) * se)
    wide = scipy.special.stdtrit(known.df, 0.975) * se
    slower, faster = scipy.special.stdtr(known.df, -gain / se), scipy.special.stdtr(known.df, gain / se)
    return [
        Change(
            endpoint=sample.endpoint,
            figure=sample.figure,
            ratio=float(np.exp(gain[i])),
            interval=Interval(float(np.exp(gain[i] - wide[i])), float(np.exp(gain[i] + wide[i]))),
            p_slower=float(slower[i]),
            p_faster=float(faster[i]),
            mde=float(np.expm1(mde[i])),
        )
        for i, sample in enumerate(samples)
    ]


def verdicts_of(figures: Sequence[Change | Insufficient]) -> dict[Change | Insufficient, Verdict]:
    """The verdict on each figure of one family, in their order."""
    changed = [one for one in figures if isinstance(one, Change)]
    slower, faster = (holm(np.array([getattr(one, p) for one in changed])) for p in ("p_slower", "p_faster"))
    found = {one: _verdict(one, slower[i], faster[i]) for i, one in enumerate(changed)}
    return {one: found[one] if isinstance(one, Change) else Verdict.INCONCLUSIVE for one in figures}


def _verdict(change: Change, p_slower: float, p_faster: float) -> Verdict:
    least, most, ratio = 1 + THRESHOLD, 1 + SAME_WITHIN, change.ratio
    low, high = change.interval.low, change.interval.high
    if p_slower <= ALPHA and ratio > least:
        return Verdict.REGRESSION
    if p_faster <= ALPHA and ratio < 1 / least:
        return Verdict.IMPROVED
    within = 1 / most < low and high < most
    return Verdict.SAME if within and low < least and high > 1 / least else Verdict.INCONCLUSIVE


def _judgement(endpoint: str, figures: dict[Change | Insufficient, Verdict], than: str) -> Judgement:
    verdict = worst(figures.values())
    if verdict == Verdict.SAME:
        return Judgement(endpoint, verdict, f"no change larger than {SAME_WITHIN:.0%}", tuple(figures))
    telling = next(figure for figure, own in figures.items() if own == verdict)
    return Judgement(endpoint, verdict, _reason(telling, verdict, than), tuple(figures))


def _reason(figure: Change | Insufficient, verdict: Verdict, than: str) -> str:
    if isinstance(figure, Insufficient):
        return figure.reason
    told = f"{figure.figure} {figure.ratio:.2f} x {than} ({figure.interval:.2f})"
    return f"{told}; only a change of {figure.mde:.0%} or more shows" if verdict == Verdict.INCONCLUSIVE else told
