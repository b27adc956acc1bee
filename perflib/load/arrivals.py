"""When load is offered: workload → intended starts and active users. Pure; seconds from the measured start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perflib.model.scenario import Closed, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from perflib.model import Open, Ramp


@dataclass(frozen=True)
class Span:
    """A virtual user sends requests from `start_s` until `end_s`."""

    user: int
    start_s: float
    end_s: float


def intended_starts_s(workload: Open, from_s: float, to_s: float, seed: int) -> NDArray[np.float64]:
    """Intended starts of an open workload in [from_s, to_s), ascending.

    Poisson: as many as a Poisson draw says, independent and uniform, which is the process itself given its count
    (Kingman 1993, Poisson Processes, 2.4). Constant: one every 1 / rate seconds.
    """
    length_s = to_s - from_s
    if workload.arrivals == "constant":
        return from_s + np.arange(math.ceil(length_s * workload.rate_per_s - 1e-9)) / workload.rate_per_s
    order = np.random.default_rng(seed)
    return from_s + np.sort(order.uniform(0.0, length_s, order.poisson(length_s * workload.rate_per_s)))


def spans(workload: Closed | Ramp, warmup_s: float, duration_s: float) -> list[Span]:
    """When each virtual user is at work: user k (from 0) whenever the level is above k.

    Those at work at the start begin with the warm-up, `warmup_s` before it.
    """
    if isinstance(workload, Closed):
        return [Span(user, -warmup_s, duration_s) for user in range(workload.users)]
    return [span for user in range(workload.most_users) for span in _spans_of(user, workload, warmup_s)]


def _spans_of(user: int, workload: Ramp, warmup_s: float) -> Iterator[Span]:
    begun_s = -warmup_s if workload.stages[0].start > user else None
    at_s = 0.0
    for stage in workload.stages:
        if begun_s is None and stage.start > user:
            begun_s = at_s
        elif begun_s is not None and stage.start <= user:
            yield Span(user, begun_s, at_s)
            begun_s = None
        crossing_s = _crossing_s(stage, user)
        if crossing_s is not None and begun_s is None:
            begun_s = at_s + crossing_s
        elif crossing_s is not None and begun_s is not None:
            yield Span(user, begun_s, at_s + crossing_s)
            begun_s = None
        at_s += stage.duration_s
    if begun_s is not None:
        yield Span(user, begun_s, at_s)


def _crossing_s(stage: Stage, level: int) -> float | None:
    """When a stage goes through a level, from its start; None if it stays on one side of it."""
    if (stage.start > level) == (stage.end > level):
        return None
    return stage.duration_s * (level - stage.start) / (stage.end - stage.start)
