"""Change points: where the level of a series of runs moved. Rank-CUSUM binary segmentation, permutation null."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import scipy
from numpy.typing import NDArray

from perflib.stats import Floats

SHORTEST = 4
"""The fewest runs that make a level."""
_SHARES = (0.75, 0.25)
"""Of a segment's level: for steps, where most changes are, and for stretches."""
_SEED = 1979
"""Of the permutations: the same series gives the same answer."""
_DRAWS_A_LEVEL, _FEWEST_A_LEVEL = 50, 3
_MOST_CELLS, _CELLS_A_BLOCK, _MOST_A_BLOCK = 30_000_000, 1_000_000, 1000
_RARE = 3.0
"""From here on a rank sum's tail is below the normal one, however short its segment."""
_SAMPLES = 200


@dataclass(frozen=True)
class ChangePoint:
    """A new level begins at `index`. `before` and `after` are the medians of the levels it parts, in the series' unit.

    p_value: adjusted for the family and the segmentation; at most the `alpha` it was found with.
    at_least: the new level is a lower bound: half of its values or more are such.
    """

    index: int
    before: float
    after: float
    ratio: float
    p_value: float
    at_least: bool = False


@dataclass(frozen=True)
class _Split:
    place: int
    p_value: float


def change_points(
    values: Floats,
    *,
    alpha: float = 0.01,
    family: int = 1,
    least_ratio: float = 1.05,
    bounds: NDArray[np.bool_] | None = None,
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
    permutations; Naiman & Priebe 2001, Journal of Computational and Graphical Statistics 10(2), for chances that no
    permutation would show. Neither the length of the series nor the size of the family makes a change impossible to
    find.

    Args:
        values: shape (runs,), oldest first, not negative, in any unit. NaN where a run lacks the figure: left out,
            still counted in `index`. Infinity is larger than every number.
        alpha: chance of any false alarm in all series of the family.
        family: how many series are looked at together (endpoints times percentiles).
        least_ratio: levels closer than this factor are one level, however significant their difference.
        bounds: shape (runs,), which values are only lower bounds. Two levels differ where they do whatever the true
            values are, so that a bound which lies low makes no improvement.
    """
    known = np.flatnonzero(~np.isnan(values))
    series = np.asarray(values, dtype=np.float64)[known]
    highest = series if bounds is None else np.where(bounds[known], np.inf, series)
    splits = _settled(series, _splits(_ranks(series), alpha / family))
    splits = _relevant(series, highest, splits, least_ratio)
    levels = _levels(series, splits)
    return tuple(
        ChangePoint(
            index=int(known[split.place]),
            before=before,
            after=after,
            ratio=math.exp(_log_ratio(before, after)),
            p_value=min(1.0, split.p_value * family),
            at_least=after < most == math.inf,
        )
        for split, (before, after), most in zip(splits, pairwise(levels), _levels(highest, splits)[1:], strict=True)
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
    _maxima: list[Floats] = field(default_factory=list, repr=False)

    @property
    def block(self) -> int:
        """So many random orders are scanned at once."""
        return max(1, min(_MOST_A_BLOCK, _CELLS_A_BLOCK // len(self.ends)))

    def reaching(self, statistic: float) -> NDArray[np.bool_]:
        """The stretches long enough to reach it: with all the lowest or all the highest ranks inside."""
        length = self.ends - self.begins
        return np.asarray(3 * length * (self.count - length) >= (self.count + 1) * statistic**2 - 1e-6)

    def null_maxima(self, block: int) -> Floats:
        """The largest statistic of each random order of a block: it depends on nothing but the number of runs."""
        while len(self._maxima) <= block:
            rng = np.random.default_rng((_SEED, self.count, len(self._maxima)))
            orders = np.tile(np.arange(1, self.count + 1), (self.block, 1))
            self._maxima.append(self.rank_sums(rng.permuted(orders, axis=1, out=orders)).max(axis=1))
        return self._maxima[block]

    def rank_sums(self, orders: NDArray[np.int64] | Floats) -> Floats:
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


@lru_cache(maxsize=64)
def _scans(count: int) -> tuple[Scan, ...]:
    return tuple(scan for scan in (steps(count), stretches(count)) if len(scan.ends))


def _p_value(statistic: float, scan: Scan, level: float) -> float:
    """How rare a maximum this large is in random order; above `level` only roughly.

    At least: the sum of the normal tails of all stretches, where that decides. Else its share of random orders; drawing
    ends where it can no longer be below `level`, or hardly ever is. Where so few orders can be drawn that none of them
    would be expected beyond `level`, it is sampled (`rare`).
    """
    bound = 2 * float(scan.reaching(statistic).sum() * scipy.special.ndtr(-statistic))
    most = max(1, min(round(_DRAWS_A_LEVEL / level), _MOST_CELLS // len(scan.ends)))
    enough = level * most >= _FEWEST_A_LEVEL
    if statistic >= _RARE and bound <= (level / _DRAWS_A_LEVEL if enough else level):
        return bound
    reached = drawn = 0
    for block in range(math.ceil(most / scan.block)):
        reached += int((scan.null_maxima(block) >= statistic - 1e-9).sum())
        drawn += scan.block
        if (enough and reached + 1 > level * (most + 1)) or reached >= 10 + 2 * level * drawn:
            return (reached + 1) / (drawn + 1)
    return (reached + 1) / (drawn + 1) if enough else min(bound, rare(statistic, scan))


def rare(statistic: float, scan: Scan) -> float:
    """The chance of a maximum this large, however small, two standard errors up; ranks taken as normal.

    The sum of the chances of all stretches counts an order as often as stretches of it reach the statistic: it is
    divided by their number, in orders of which one stretch, chosen at random, does.
    Source: Naiman & Priebe 2001, Journal of Computational and Graphical Statistics 10(2).
    """
    rng, tail = np.random.default_rng((_SEED, scan.count)), float(scipy.special.ndtr(-statistic))
    long = scan.reaching(statistic)
    scan = Scan(scan.count, scan.begins[long], scan.ends[long])
    places, shares = np.arange(scan.count), []
    for begin in range(0, _SAMPLES, scan.block):
        noise = rng.normal(size=(min(scan.block, _SAMPLES - begin), scan.count))
        chosen = rng.integers(len(scan.ends), size=(len(noise), 1))
        inside = (scan.begins[chosen] <= places) & (places < scan.ends[chosen])
        towards = inside - inside.mean(axis=1, keepdims=True)
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        wanted = -scipy.special.ndtri(tail * rng.random((len(noise), 1)))
        noise += (wanted - (noise * towards).sum(axis=1, keepdims=True)) * towards
        noise -= noise.mean(axis=1, keepdims=True)
        order = (scan.count + 1) / 2 + noise * math.sqrt(scan.count * (scan.count + 1) / 12)
        shares.append(1 / (scan.rank_sums(order) >= statistic - 1e-9).sum(axis=1))
    share = np.concatenate(shares)
    return len(scan.ends) * 2 * tail * float(share.mean() + 2 * share.std() / math.sqrt(len(share)))


def _relevant(series: Floats, highest: Floats, splits: list[_Split], least_ratio: float) -> list[_Split]:
    """Without the splits between levels that may be closer than `least_ratio`, the closest joined first."""
    kept = list(splits)
    while kept:
        lows, highs = pairwise(_levels(series, kept)), pairwise(_levels(highest, kept))
        apart = [_apart(low, high) for low, high in zip(lows, highs, strict=True)]
        closest = int(np.argmin(apart))
        if apart[closest] >= math.log(least_ratio):
            break
        del kept[closest]
    return kept


def _apart(low: tuple[float, float], high: tuple[float, float]) -> float:
    """How far apart two levels are at least, as a logarithm, each being between its low and its high."""
    return max(0.0, _log_ratio(high[0], low[1]), _log_ratio(high[1], low[0]))


def _settled(series: Floats, splits: list[_Split]) -> list[_Split]:
    """Each split at the place near it that fits best: least absolute deviations of the logarithms on both sides.

    The scaled rank sum tells that there is a change, but leans towards the middle by some runs.
    """
    logs = np.log(series.clip(np.finfo(np.float64).tiny, np.finfo(np.float64).max))
    ends = [*(split.place for split in splits[1:]), len(series)]
    settled: list[_Split] = []
    for split, end in zip(splits, ends, strict=False):
        begin, place, best = settled[-1].place if settled else 0, -1, split.place
        while best != place:
            place = best
            near = range(max(begin + SHORTEST, place - SHORTEST), min(end - SHORTEST, place + SHORTEST) + 1)
            misfit = {one: _spread(logs[begin:one]) + _spread(logs[one:end]) for one in near}
            best = min(misfit, key=lambda one: (misfit[one], one), default=place)
        settled.append(replace(split, place=place))
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
