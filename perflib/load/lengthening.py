"""Lengthening: how much longer a short run goes on, so that its percentiles are known. Pure.

All workers of a run end together: each tells what it has a moment before its end, and is told until when all go on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perflib.stats.percentile import required_count

_MOST_LOOK_S, _LOOK_SHARE = 1.0, 0.25
_NEEDED = tuple(required_count(q) + 1 for q in (0.99, 0.95))
"""Successes; the very first one is cold."""
_SURE = 2.0
"""Standard deviations of a Poisson count."""


@dataclass(frozen=True)
class SoFar:
    """What a worker has at `at_s` of a part that ends at `until_s`, both from its measured start.

    successes: after warm-up and not cold, by endpoint, page and journey of the part, in one order.
    """

    at_s: float
    until_s: float
    successes: tuple[int, ...]


def look_at_s(until_s: float) -> float:
    """When a worker tells what it has."""
    return until_s - min(_MOST_LOOK_S, _LOOK_SHARE * until_s)


def go_on_until_s(workers: Sequence[SoFar], longest_s: float) -> float:
    """When the part ends: later than planned where that is to let an endpoint have its p99, or else its p95.

    What would take longer than `longest_s` is not waited for. Whole seconds, unless they are too many.

    >>> go_on_until_s([SoFar(9.0, 10.0, (250, 2000))], longest_s=30)
    12.0
    """
    planned_s, at_s = workers[0].until_s, sum(one.at_s for one in workers) / len(workers)
    counts = [sum(some) for some in zip(*(one.successes for one in workers), strict=True)]
    reached_s = [_reached_s(count, at_s, longest_s) for count in counts]
    wanted_s = max(reached_s, default=0.0)
    return planned_s if wanted_s <= planned_s else min(longest_s, float(math.ceil(wanted_s)))


def _reached_s(count: int, at_s: float, longest_s: float) -> float:
    """When an endpoint has, very likely, the successes of the highest percentile that it can have; 0: of none."""
    each_s = at_s / count if count else math.inf
    moments_s = (at_s + _expected(needed - count) * each_s if needed > count else at_s for needed in _NEEDED)
    return next((moment_s for moment_s in moments_s if moment_s <= longest_s), 0.0)


def _expected(more: int) -> float:
    """So many must be expected for `more` to come: x - `_SURE` * sqrt(x) = more."""
    return float((_SURE / 2 + math.sqrt(_SURE**2 / 4 + more)) ** 2)
