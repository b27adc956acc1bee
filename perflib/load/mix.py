"""The mix: which endpoint or page a virtual user asks for next. Pure."""

import itertools
import random
from collections.abc import Iterator, Sequence


def walk(weights: Sequence[int], seed: int, user: int) -> Iterator[int]:
    """Endless indices into `weights`: cycle after cycle, each holding index i `weights[i]` times, shuffled anew.

    Over any number of whole cycles every share is exact, and users do not march in step.

    >>> steps = walk([1, 2], seed=1, user=0)
    >>> sorted(next(steps) for _ in range(3))
    [0, 1, 1]
    """
    order = random.Random(f"{seed}/{user}")
    cycle = [index for index, weight in enumerate(weights) for _ in range(weight)]
    while len(cycle) > 1:
        order.shuffle(cycle)
        yield from cycle
    yield from itertools.repeat(cycle[0])
