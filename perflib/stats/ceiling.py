"""The search for the highest rate at which every limit holds, by noisy probes. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perflib.stats import Floats, Interval

SCOUT_S, SETTLE_S = 2.0, 6.0
"""How long a probe is until one rate was met and one missed, and from then on: short blocks flatter, as a queue that
begins empty needs time to grow."""
PAUSE_S = 1.7
"""What a probe costs beside: it is started, warmed up, and its queue drained."""
_ENOUGH, _LONGEST_S = 300, 12.0
"""Where there are fewer requests in it, it is longer, up to so many seconds."""
_STEP = 1.6
_SPAN = 30.0
"""The ceiling is looked for down to this part of the start."""
_QUANTILES = (0.5, 0.3, 0.7)
_CLIP = 1.5
"""Of a log ratio: what is further from the edge than this says on which side it is, and no more."""
_NO_ROOM, _STEEPER = 1e-20, 2.0
"""Noise grows with the slope, which has no bound: up to so many times that at the edge."""
_FREEDOM = 4.0
_SLOPES = np.array([0.5, 1, 2, 4, 8, 16, 32])[:, None, None, None]
_BENDS = np.array([1.0, 3, 9])[:, None, None]
_NOISES = np.array([0.5, 0.7, 1, 1.4, 2, 3])[:, None]
_PRECISE = 0.05


@dataclass(frozen=True)
class Try:
    """A probe to make."""

    rate_per_s: float
    duration_s: float


@dataclass(frozen=True)
class Seen:
    """Of one limit in a probe: the percentile over its limit, above 1 a miss, and how many requests that is of."""

    ratio: float
    requests: int


@dataclass(frozen=True)
class Estimate:
    """The ceiling, with an interval of 95 %; `open_above`: no rate was missed, so that it may lie anywhere above."""

    rate_per_s: float
    interval: Interval
    open_above: bool


class Search:
    """Where to probe next, and what the probes say together.

    By each limit, p95 / limit = 1 / (1 - b (x^k - 1) / k), x the rate over the limit's own edge: as in a queue, it
    grows without bound towards some rate, and is 1 at its edge with a slope of b on log scales. With k = 1 that is
    M/M/1; servers of many places, which nobody waits for until they are nearly full, have a larger one. In a block of n
    requests the service is off by a share of about sqrt(2 / n) by chance, which the slope there magnifies, and so is
    the percentile: sd² = s² 2 (1 + slope²) / n; as blocks are skewed, their middle lies sd² below. Edge, b, k and s are
    on a grid with flat priors and Student's t as noise; the ceiling is the lowest of the edges. Probes go to the
    posterior's quantiles in turn, no more than a step beyond what was tried.

    Source: in the manner of Kontsevich & Tyler 1999, Vision Research 39(16); for M/M/1 and M/M/c Kleinrock 1975,
    Queueing Systems; curve, noise and priors are ours. How near it comes is in docs/why.md, and measured by
    tests/benchmarks/ceiling.py.
    """

    def __init__(self, start_per_s: float, most_per_s: float, least_requests: float = 60.0) -> None:
        """Begin.

        Args:
            start_per_s: a guess of the ceiling.
            most_per_s: never to be exceeded.
            least_requests: in a probe, for its percentiles.
        """
        self._start_per_s, self._most_per_s, self._least_requests = start_per_s, most_per_s, least_requests
        self._edge = np.linspace(math.log(start_per_s / _SPAN), math.log(most_per_s), 600)
        self._barred = np.zeros(len(self._edge))
        self._limits: dict[str, Floats] = {}
        self._met: list[float] = []
        self._missed: list[float] = []

    def next(self, left_s: float) -> Try | None:
        """The next probe within the time that is left; None: there is too little, or it is precise enough."""
        if not self._missed and max(self._met, default=0.0) > self._most_per_s * (1 - _PRECISE):
            return None
        tried = [*self._met, *self._missed]
        wanted = self._quantile(_QUANTILES[len(tried) % len(_QUANTILES)]) if tried else self._start_per_s
        least, most = (min(tried) / _STEP, max(tried) * _STEP) if tried else (wanted, wanted)
        rate_per_s = min(max(wanted, least), most, self._most_per_s)
        bracketed = bool(self._met and self._missed)
        settled_s = min(max(SETTLE_S, _ENOUGH / rate_per_s), _LONGEST_S)
        duration_s = max(settled_s if bracketed else SCOUT_S, self._least_requests / rate_per_s)
        duration_s = min(duration_s, left_s - PAUSE_S)
        if duration_s < SCOUT_S or duration_s * rate_per_s < self._least_requests or (bracketed and self._is_precise()):
            return None
        return Try(rate_per_s, duration_s)

    def told(self, rate_per_s: float, seen: Mapping[str, Seen]) -> None:
        """What a probe found, by limit; its rate as it was offered, which chance makes a little more or less."""
        worst = max(one.ratio for one in seen.values())
        (self._met if worst < 1 else self._missed).append(rate_per_s)
        for name, one in seen.items():
            so_far = self._limits.get(name, np.zeros((1, 1, 1, len(self._edge))))
            self._limits[name] = so_far + self._likelihood(rate_per_s, one)

    def bounded(self, rate_per_s: float) -> None:
        """The target broke at this rate: the ceiling is below."""
        self._missed.append(rate_per_s)
        self._barred[self._edge >= math.log(rate_per_s)] = -math.inf

    def unreachable(self, rate_per_s: float) -> None:
        """Nobody can send so much: probe below."""
        self._most_per_s = min(self._most_per_s, rate_per_s / 1.1)

    def estimate(self) -> Estimate:
        """What the probes say together; of none, nothing but the range of the search."""
        interval = Interval(self._quantile(0.025), self._quantile(0.975))
        if self._met and not self._missed:
            return Estimate(max(self._met), Interval(min(interval.low, max(self._met)), interval.high), open_above=True)
        return Estimate(self._quantile(0.5), interval, open_above=False)

    def _is_precise(self) -> bool:
        return self._quantile(0.975) < self._quantile(0.025) * (1 + _PRECISE)

    def _likelihood(self, rate_per_s: float, seen: Seen) -> Floats:
        """Its log, by slope, bend, noise and edge."""
        over = np.exp(np.minimum(math.log(rate_per_s) - self._edge, 3.0)) ** _BENDS
        room = np.maximum(1 - _SLOPES * (over - 1) / _BENDS, _NO_ROOM)
        slope = np.minimum(_SLOPES * over / room, _STEEPER * _SLOPES)
        variance = _NOISES**2 * 2 * (1 + slope**2) / max(1, seen.requests)
        expected = np.clip(-np.log(room) - variance, -_CLIP, _CLIP)
        ratio = min(max(seen.ratio, math.exp(-_CLIP)), math.exp(_CLIP))
        off = (math.log(ratio) - expected) ** 2 / variance
        return np.asarray(-(_FREEDOM + 1) / 2 * np.log1p(off / _FREEDOM) - np.log(variance) / 2)

    def _quantile(self, share: float) -> float:
        """Of the lowest edge: it is above a rate where every one is."""
        above = np.ones(len(self._edge))
        for limit in self._limits.values() or [np.zeros((1, 1, 1, len(self._edge)))]:
            allowed = limit + self._barred
            likely = np.exp(allowed - allowed.max()).sum(axis=(0, 1, 2))
            above *= 1 - np.cumsum(likely / likely.sum())
        return math.exp(np.interp(share, 1 - above, self._edge))
