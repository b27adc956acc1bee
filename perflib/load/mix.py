"""The mix: which endpoint or page a virtual user asks for next. Pure."""

import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

_LONGEST_CYCLE = 1000


def walk(weights: Sequence[float], seed: int, user: int) -> Iterator[int]:
    """Endless indices into `weights`: cycle after cycle, each holding index i `weights[i]` times, shuffled anew.

    Over any number of whole cycles every share is exact, and users do not march in step. Fractions are taken as often
    as makes them whole. Weights whose cycle would be long are drawn instead, at the same cost as others.

    >>> steps = walk([1, 2], seed=1, user=0)
    >>> sorted(next(steps) for _ in range(3))
    [0, 1, 1]
    """
    order, times = random.Random(f"{seed}/{user}"), _whole(tuple(weights))
    if sum(times) > max(_LONGEST_CYCLE, len(times)):
        yield from _drawn(times, order)
    cycle = [index for index, often in enumerate(times) for _ in range(often)]
    while len(cycle) > 1:
        order.shuffle(cycle)
        yield from cycle
    yield from itertools.repeat(cycle[0])


@lru_cache(16)
def _whole(weights: tuple[float, ...]) -> tuple[int, ...]:
    """The same shares as whole numbers; whole weights as they are. Worked out once, not once a user."""
    exact = [Fraction(str(weight)) for weight in weights]
    denominator = math.lcm(*(weight.denominator for weight in exact))
    return tuple(int(weight * denominator) for weight in exact)


@lru_cache(16)
def _bounds(times: tuple[int, ...], length: int) -> tuple[float, ...]:
    """Where the items end on a scale from 0 to `length`, each as wide as its share."""
    whole = sum(times)
    return tuple(float(Fraction(upto * length, whole)) for upto in itertools.accumulate(times))


def _drawn(times: tuple[int, ...], order: random.Random) -> Iterator[int]:
    """Endless indices, cycle after cycle: in each an index is as often as its share says, rounded up or down by chance.

    Systematic sampling (Madow 1949): one random start, then equal steps through the weights, shuffled.
    """
    length = max(_LONGEST_CYCLE, len(times))
    bounds = _bounds(times, length)
    while True:
        start = order.random()
        cycle = [min(bisect_right(bounds, place + start), len(times) - 1) for place in range(length)]
        order.shuffle(cycle)
        yield from cycle
