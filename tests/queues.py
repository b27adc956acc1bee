"""Queues whose figures are known: servers of one queue and several places, their times of service drawn."""

import heapq
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Floats = NDArray[np.float64]
Service = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True)
class Exponential:
    """M/M/c: Poisson arrivals, exponential times of service."""

    places: int
    service_per_s: float
    """Of one place."""

    def __call__(self, draw: np.random.Generator, count: int) -> Floats:
        return draw.exponential(1 / self.service_per_s, count)

    def ceiling_per_s(self, limit_s: float, quantile: float = 0.95) -> float:
        """The rate at which this quantile of the response time is the limit.

        Source: Gross, Shortle, Thompson & Harris 2008, Fundamentals of Queueing Theory, 2.3 (Erlang C).
        """
        all_per_s = self.places * self.service_per_s
        exceeds = lambda rate_per_s: self._slower(rate_per_s, limit_s) - (1 - quantile)  # noqa: E731
        return float(brentq(exceeds, 1e-6 * all_per_s, all_per_s * (1 - 1e-9)))

    def _slower(self, rate_per_s: float, limit_s: float) -> float:
        """The share of responses that take longer."""
        mu, busy = self.service_per_s, rate_per_s / self.service_per_s
        free = sum(busy**k / math.factorial(k) for k in range(self.places))
        full = busy**self.places / math.factorial(self.places) * self.places / (self.places - busy)
        waits, drain = full / (free + full), self.places * mu - rate_per_s
        if math.isclose(drain, mu):
            return math.exp(-mu * limit_s) * (1 + waits * mu * limit_s)
        both = (drain * math.exp(-mu * limit_s) - mu * math.exp(-drain * limit_s)) / (drain - mu)
        return (1 - waits) * math.exp(-mu * limit_s) + waits * both


def responses_s(
    draw: np.random.Generator, places: int, service: Service, rate_per_s: float, duration_s: float, warmup_s: float
) -> Floats:
    """The response times of a block that begins with an empty queue, those of its warm-up left out."""
    whole_s = duration_s + warmup_s
    arrivals_s = np.sort(draw.uniform(0, whole_s, draw.poisson(rate_per_s * whole_s)))
    free_s, taken_s = [0.0] * places, []
    for at_s, lasts_s in zip(arrivals_s.tolist(), service(draw, len(arrivals_s)).tolist(), strict=True):
        end_s = max(heapq.heappop(free_s), at_s) + lasts_s
        heapq.heappush(free_s, end_s)
        taken_s.append(end_s - at_s)
    return np.array(taken_s)[arrivals_s >= warmup_s]


@contextmanager
def serving(queue: Exponential, *words: str) -> Iterator[str]:
    """The URL of a real server with this queue, in a process of its own; `words` are more of its options."""
    script = Path(__file__).with_name("queue_server.py")
    command = [sys.executable, str(script), str(queue.places), str(queue.service_per_s), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
