"""A run against its baseline: prediction bands from the baseline's runs, and a verdict with a known error rate.

The unit is the run. A check tests all its figures (endpoints × percentiles) as one family: if nothing has changed,
at most `ALPHA` of all checks find any REGRESSION, and as many again any IMPROVED. That holds where the baseline's runs
vary as the new run does: runs back to back share the state of the machine and understate it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import scipy

from perflib.stats import Floats, Interval
from perflib.stats.moderated import moderated_variance
from perflib.stats.spending import Look
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
ONLY_LOOK = Look()


@dataclass(frozen=True)
class Least:
    """The smallest relative change that matters, `THRESHOLD` or more; `told` is what it is, where it is more."""

    relative: float = THRESHOLD
    told: str = ""


@dataclass(frozen=True)
class Sample:
    """One figure of one endpoint, run by run, in any unit.

    figure: "p50", "p95" …; the endpoints' variances are pooled within it.
    baseline: shape (runs,), the same runs in the same order for all endpoints. NaN: the run could not support it.
    new: shape (k,); infinity: failed too often.
    level: shape (runs,), what `new` is held against where that is not the baseline, which then tells no more than how
    much runs differ: one run against another. than: what it is held against, in a word.
    """

    endpoint: str
    figure: str
    baseline: Floats
    new: Floats
    least: Least = Least()
    level: Floats | None = None
    than: str = "baseline"

    @property
    def before(self) -> Floats:
        """The figures of before that are known."""
        values = self.baseline if self.level is None else self.level
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class Change:
    """A figure against its baseline.

    ratio: new over baseline, geometric means; interval: its 95 % interval, of this figure alone, at all looks at once.
    p_slower, p_faster: one-sided, not adjusted for the family.
    mde: the smallest relative change that `POWER` of such comparisons find, at Holm's first and hardest step, and with
        all the runs that were planned.
    """

    endpoint: str
    figure: str
    ratio: float
    interval: Interval
    p_slower: float
    p_faster: float
    mde: float
    least: Least = Least()
    than: str = "baseline"

    @property
    def is_none(self) -> bool:
        """Whether its interval excludes every change that matters and that this comparison was made to find."""
        return self.excludes(min(SAME_WITHIN, self.mde))

    def excludes(self, change: float) -> bool:
        """Whether its interval excludes such a relative change and any larger one, if it matters at all."""
        most = 1 + max(change, self.least.relative)
        return 1 / most < self.interval.low and self.interval.high < most


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


def is_clear(verdict: Verdict, figures: Iterable[Change | Insufficient]) -> bool:
    """Whether more runs have nothing to tell of an endpoint: it changed, or none of its figures that can be judged."""
    changed = verdict in (Verdict.REGRESSION, Verdict.IMPROVED)
    return changed or all(one.is_none for one in figures if isinstance(one, Change))


def judge(samples: Sequence[Sample], look: Look = ONLY_LOOK) -> tuple[Judgement, ...]:
    """The verdict of every endpoint of one check, in the order of their first sample.

    REGRESSION: any figure is significantly slower (Holm 1979, Scandinavian Journal of Statistics 6(2)) and by more
    than its `least`. IMPROVED: the mirror image, and no figure is a REGRESSION. SAME: every figure's interval lies
    within 1 / (1 + SAME_WITHIN) … 1 + SAME_WITHIN and reaches a change below the least. Else INCONCLUSIVE.

    look: where a check goes on until it is clear, which of its looks this is; each of the verdicts is then wrong in no
        more checks than where there is one look (`nominal_levels`).
    """
    verdicts = verdicts_of(changes(samples, look), look)
    return tuple(
        _judgement(name, {one: verdict for one, verdict in verdicts.items() if one.endpoint == name})
        for name in dict.fromkeys(sample.endpoint for sample in samples)
    )


def changes(samples: Sequence[Sample], look: Look = ONLY_LOOK) -> tuple[Change | Insufficient, ...]:
    """Every figure against its prediction band, in the order of `samples`.

    The mean log of k new runs differs from that of K baseline runs by t × s √(1/K + 1/k), with s² from the
    baseline's runs, moderated over the endpoints (`moderated_variance`). K counts a sample's `level` where it has one.
    """
    lacks = [_lack(sample) for sample in samples]
    able = sorted((i for i, lack in enumerate(lacks) if not lack), key=lambda i: samples[i].figure)
    found: dict[int, Change | Insufficient] = {
        i: Insufficient(samples[i].endpoint, samples[i].figure, lack) for i, lack in enumerate(lacks) if lack
    }
    for _, group in groupby(able, key=lambda i: samples[i].figure):
        places = list(group)
        found |= zip(places, _band([samples[i] for i in places], len(able), look), strict=True)
    return tuple(found[i] for i in range(len(samples)))


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p-values: those at most alpha are the ones found at a family-wise error of alpha."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)))
    return adjusted


def _lack(sample: Sample) -> str:
    runs = int(np.isfinite(sample.baseline).sum())
    if runs < BASELINE_RUNS:
        return f"{runs} {sample.than} run{'' if runs == 1 else 's'}; {BASELINE_RUNS} are needed"
    return "" if len(sample.before) and not np.isnan(sample.new).all() else f"too few requests for {sample.figure}"


def _band(samples: Sequence[Sample], family: int, look: Look) -> list[Change]:
    base = np.log(np.array([sample.baseline for sample in samples]))
    base = np.where(np.isfinite(base), base, np.nan)
    new = [np.log(sample.new[~np.isnan(sample.new)]) for sample in samples]
    known = moderated_variance(base)
    before = [np.log(sample.before) for sample in samples]
    gain = np.array([each.mean() for each in new]) - np.array([each.mean() for each in before])
    runs, count = (np.array(list(map(len, each))) for each in (before, new))
    se = np.sqrt(known.variance * (1 / runs + 1 / count))
    wide = -scipy.special.stdtrit(known.df, look.level(0.025)) * se
    last = Look(look.of, look.of)
    planned = np.sqrt(known.variance * (1 / runs + 1 / np.maximum(count, look.of)))
    critical = -scipy.special.stdtrit(known.df, last.family_level(ALPHA, family) / family)
    shift = scipy.special.nctdtrinc(known.df, 1 - POWER, critical)
    least = np.array([sample.least.relative for sample in samples])
    mde = np.maximum(shift * planned, np.log1p(least) + scipy.special.ndtri(POWER) * planned)
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
            least=sample.least,
            than=sample.than,
        )
        for i, sample in enumerate(samples)
    ]


def verdicts_of(
    figures: Sequence[Change | Insufficient], look: Look = ONLY_LOOK
) -> dict[Change | Insufficient, Verdict]:
    """The verdict on each figure of one family, in their order."""
    changed = [one for one in figures if isinstance(one, Change)]
    alpha = look.family_level(ALPHA, max(len(changed), 1))
    slower, faster = (holm(np.array([getattr(one, p) for one in changed])) for p in ("p_slower", "p_faster"))
    found = {one: _verdict(one, slower[i] <= alpha, faster[i] <= alpha) for i, one in enumerate(changed)}
    return {one: found[one] if isinstance(one, Change) else Verdict.INCONCLUSIVE for one in figures}


def _verdict(change: Change, is_slower: bool, is_faster: bool) -> Verdict:
    least, ratio = 1 + change.least.relative, change.ratio
    if is_slower and ratio > least:
        return Verdict.REGRESSION
    if is_faster and ratio < 1 / least:
        return Verdict.IMPROVED
    reaches_none = change.interval.low < least and change.interval.high > 1 / least
    return Verdict.SAME if change.excludes(SAME_WITHIN) and reaches_none else Verdict.INCONCLUSIVE


def _judgement(endpoint: str, figures: dict[Change | Insufficient, Verdict]) -> Judgement:
    verdict = worst(figures.values())
    if verdict == Verdict.SAME:
        small = [one for one in figures if isinstance(one, Change) and _would_matter(one)]
        reason = _small(small[0]) if small else f"no change larger than {SAME_WITHIN:.0%}"
        return Judgement(endpoint, verdict, reason, tuple(figures))
    telling = next(figure for figure, own in figures.items() if own == verdict)
    return Judgement(endpoint, verdict, _reason(telling, verdict), tuple(figures))


def _would_matter(change: Change) -> bool:
    """Whether it is a change to the eye, and only `least` says that it is none."""
    low, high = change.interval.low, change.interval.high
    beyond = max(change.ratio, 1 / change.ratio) > 1 + THRESHOLD and not low <= 1 <= high
    return beyond and change.least.relative > THRESHOLD


def _small(change: Change) -> str:
    return f"{_told(change)}; {'slower' if change.ratio > 1 else 'faster'} by less than {change.least.told}"


def _told(change: Change) -> str:
    return f"{change.figure} {change.ratio:.2f} x {change.than} ({change.interval:.2f})"


def _reason(figure: Change | Insufficient, verdict: Verdict) -> str:
    if isinstance(figure, Insufficient):
        return figure.reason
    told = _told(figure)
    return f"{told}; only a change of {figure.mde:.0%} or more shows" if verdict == Verdict.INCONCLUSIVE else told
