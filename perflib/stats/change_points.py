"""Change points: where the level of a series of runs moved. Rank-CUSUM binary segmentation, permutation null."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from perflib.stats import Floats

SHORTEST = 4
"""The fewest runs that make a level."""
_SHARES = (0.75, 0.25)
"""Of a segment's level: for steps, where most changes are, and for stretches."""
_SEED = 1979
"""Of the permutations: the same series gives the same answer."""
_BLOCK = 1000
_DRAWS_A_LEVEL = 50
_MOST_CELLS = 10_000_000


@dataclass(frozen=True)
class ChangePoint:
    """A new level begins at `index`. `before` and `after` are the medians of the levels it parts, in the series' unit.

    p_value: adjusted for the family and the segmentation; at most the `alpha` it was found with.
    """

    index: int
    before: float
    after: float
    ratio: float
    p_value: float


@dataclass(frozen=True)
class _Split:
    place: int
    p_value: float


def change_points(
    values: Floats, *, alpha: float = 0.01, family: int = 1, least_ratio: float = 1.05
) -> tuple[ChangePoint, ...]:
    """The runs at which a new level began, in order.

    A segment is split where the Wilcoxon statistic of what lies before against what lies after, scaled by its standard
    deviation, is largest, if that maximum is rare among random orders of as many ranks. Where it is not, stretches
    inside the segment are tried against what surrounds them, or a slow release and its repair would hide each other.
    Nothing is assumed of the noise but that the runs of a stable series could have come in any order: drift and
    correlation between runs alarm.

    The chance of any false alarm in the segmentation is at most alpha / family: a segment of n of the N runs is tested
    at alpha / family x n / N, shared by the two scans (`_SHARES`); the longest tested segments without a change are
    disjoint, so that their levels sum to no more. Ties are broken at random, once, which keeps the null exact.

    Sources: Pettitt 1979, Applied Statistics 28(2), for the statistic, here scaled, so that a change near the end is
    found early; Olshen et al. 2004, Biostatistics 5(4), for the segmentation, here with a few lengths of stretches;
    Phipson & Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9(1), for the p-value of random
    permutations.

    Args:
        values: shape (runs,), oldest first, not negative, in any unit. NaN where a run lacks the figure: left out,
            still counted in `index`. Infinity is larger than every number.
        alpha: chance of any false alarm in all series of the family.
        family: how many series are looked at together (endpoints times percentiles).
        least_ratio: levels closer than this factor are one level, however significant their difference.
    """
    known = np.flatnonzero(~np.isnan(values))
    series = np.asarray(values, dtype=np.float64)[known]
    ranks = _ranks(series)
    splits = _relevant(series, _settled(series, _splits(ranks, alpha / family)), least_ratio)
    levels = _levels(series, splits)
    return tuple(
        ChangePoint(
            index=int(known[split.place]),
            before=before,
            after=after,
            ratio=math.exp(_log_ratio(before, after)),
            p_value=min(1.0, split.p_value * family),
        )
        for split, before, after in zip(splits, levels[:-1], levels[1:], strict=True)
    )


def _ranks(series: Floats) -> NDArray[np.int64]:
    """1 to n, ties in random order."""
    order = np.lexsort((np.random.default_rng(_SEED).random(len(series)), series))
    return np.argsort(order) + 1


def _splits(ranks: NDArray[np.int64], level: float) -> list[_Split]:
    """The places where a segment was split, in order; p-values adjusted for its share of the level."""

    def within(begin: int, end: int) -> list[_Split]:
        count = end - begin
        order = (np.argsort(np.argsort(ranks[begin:end])) + 1)[np.newaxis]
        for scan, of_scan in zip(_scans(count), _SHARES, strict=False):
            share = of_scan * count / len(ranks)
            scaled = scan.rank_sums(order)[0]
            p_value = _p_value(float(scaled.max()), scan, level * share)
            if p_value <= level * share:
                best = int(scaled.argmax())
                cuts = [begin + int(cut) for cut in (scan.begins[best], scan.ends[best]) if cut]
                inner = [split for part in pairwise([begin, *cuts, end]) for split in within(*part)]
                return sorted([*(_Split(cut, p_value / share) for cut in cuts), *inner], key=lambda split: split.place)
        return []

    return within(0, len(ranks))


@dataclass(frozen=True, eq=False)
class Scan:
    """The stretches [begin, end) of a segment of `count` runs that are tried against the rest of it."""

    count: int
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def rank_sums(self, orders: NDArray[np.int64]) -> Floats:
        """|rank sum of a stretch - its mean| / its standard deviation: Wilcoxon's statistic for each stretch.

        Args:
            orders: shape (series, count), each row an order of 1 ... count.

        Returns:
            Shape (series, stretches).
        """
        sums = np.zeros((len(orders), self.count + 1))
        np.cumsum(orders - (self.count + 1) / 2, axis=1, out=sums[:, 1:])
        length = self.ends - self.begins
        deviation = np.sqrt(length * (self.count - length) * (self.count + 1) / 12)
        return np.asarray(np.abs(sums[:, self.ends] - sums[:, self.begins]) / deviation)


def steps(count: int) -> Scan:
    """Every beginning of a segment that leaves two levels."""
    ends = np.arange(SHORTEST, count - SHORTEST + 1)
    return Scan(count, np.zeros_like(ends), ends)


def stretches(count: int) -> Scan:
    """Stretches of 4, 6, 8, 12, 16, 24 ... runs with a level before and one after them, an eighth of it apart."""
    lengths = [length for power in range(2, 20) for length in (2**power, 3 * 2 ** (power - 1))]
    places = [
        (begin, begin + length)
        for length in lengths
        for begin in range(SHORTEST, count - SHORTEST - length + 1, max(1, length // 8))
    ]
    return Scan(count, *np.array(places, dtype=np.int64).reshape(-1, 2).T)


@lru_cache(maxsize=512)
def _scans(count: int) -> tuple[Scan, ...]:
    return tuple(scan for scan in (steps(count), stretches(count)) if len(scan.ends))


def _p_value(statistic: float, scan: Scan, level: float) -> float:
    """How rare a maximum this large is in random order; drawing ends once it can no longer be below `level`."""
    draws = max(1, round(min(_DRAWS_A_LEVEL / level, _MOST_CELLS / len(scan.ends)) / _BLOCK)) * _BLOCK
    reached = 0
    for block in range(draws // _BLOCK):
        reached += int((_null_maxima(scan, block) >= statistic - 1e-9).sum())
        if reached + 1 > level * (draws + 1):
            return (reached + 1) / ((block + 1) * _BLOCK + 1)
    return (reached + 1) / (draws + 1)


@lru_cache(maxsize=4096)
def _null_maxima(scan: Scan, block: int) -> Floats:
    """The largest statistic of `_BLOCK` random orders: it depends on nothing but the number of runs."""
    rng = np.random.default_rng((_SEED, scan.count, block))
    orders = np.tile(np.arange(1, scan.count + 1), (_BLOCK, 1))
    return np.asarray(scan.rank_sums(rng.permuted(orders, axis=1, out=orders)).max(axis=1))


def _relevant(series: Floats, splits: list[_Split], least_ratio: float) -> list[_Split]:
    """Without the splits between levels closer than `least_ratio`, the closest joined first."""
    kept = list(splits)
    while kept:
        levels = _levels(series, kept)
        apart = [abs(_log_ratio(before, after)) for before, after in pairwise(levels)]
        closest = int(np.argmin(apart))
        if apart[closest] >= math.log(least_ratio):
            break
        del kept[closest]
    return kept


def _settled(series: Floats, splits: list[_Split]) -> list[_Split]:
    """Each split at the place near it that fits best: least absolute deviations of the logarithms on both sides.

    The scaled rank sum tells that there is a change, but leans towards the middle by a run or two.
    """
    logs = np.log(series.clip(np.finfo(np.float64).tiny, np.finfo(np.float64).max))
    ends = [*(split.place for split in splits[1:]), len(series)]
    settled: list[_Split] = []
    for split, end in zip(splits, ends, strict=False):
        begin = settled[-1].place if settled else 0
        near = range(max(begin + SHORTEST, split.place - SHORTEST), min(end - SHORTEST, split.place + SHORTEST) + 1)
        misfit = [_spread(logs[begin:place]) + _spread(logs[place:end]) for place in near]
        settled.append(replace(split, place=near[int(np.argmin(misfit))]))
    return settled


def _spread(values: Floats) -> float:
    return float(np.abs(values - np.median(values)).sum())


def _levels(series: Floats, splits: Sequence[_Split]) -> list[float]:
    """The medians of the levels that the splits make; none without values."""
    return [float(np.median(part)) for part in np.split(series, [split.place for split in splits]) if len(part)]


def _log_ratio(before: float, after: float) -> float:
    if before == after:
        return 0.0
    with np.errstate(divide="ignore"):
        return float(np.log(after) - np.log(before))
