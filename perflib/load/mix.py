"""The mix: which endpoint or page a virtual user asks for next. Pure."""

import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction

_LONGEST_CYCLE = 1000


def walk(weights: Sequence[float], seed: int, user: int) -> Iterator[int]:
    """Endless indices into `weights`: cycle after cycle, each holding index i `weights[i]` times, shuffled anew.

    Over any number of whole cycles every share is exact, and users do not march in step. Fractions are taken as often
    as makes them whole. Weights whose cycle would be long are drawn instead, at the same cost as others.

    >>> steps = walk([1, 2], seed=1, user=0)
    >>> sorted(next(steps) for _ in range(3))
    [0, 1, 1]
    """
    order = random.Random(f"{seed}/{user}")
    exact = [Fraction(str(weight)) for weight in weights]
    whole = math.lcm(*(weight.denominator for weight in exact))
    times = [int(weight * whole) for weight in exact]
    if sum(times) > max(_LONGEST_CYCLE, len(times)):
        yield from _drawn(times, order)
    cycle = [index for index, often in enumerate(times) for _ in range(often)]
    while len(cycle) > 1:
        order.shuffle(cycle)
        yield from cycle
    yield from itertools.repeat(cycle[0])


def _drawn(times: Sequence[int], order: random.Random) -> Iterator[int]:
    """Endless indices, cycle after cycle: in each an index is as often as its share says, rounded up or down by chance.

    Systematic sampling (Madow 1949): one random start, then equal steps through the weights, shuffled.
    """
    length = max(_LONGEST_CYCLE, len(times))
    whole = sum(times)
    bounds = [float(Fraction(upto * length, whole)) for upto in itertools.accumulate(times)]
    while True:
        start = order.random()
        cycle = [min(bisect_right(bounds, place + start), len(times) - 1) for place in range(length)]
        order.shuffle(cycle)
        yield from cycle
