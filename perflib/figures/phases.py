"""Phases: where the response time of an endpoint went, and which answers are slow to come once they have begun. Pure.

The phases of a request follow each other: late (an open workload had no connection free, or the generator was late),
connecting (0: a connection was reused), waiting (until the first byte), receiving (until the last).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from perflib.figures.summary import PHASES, Phase, item_rows
from perflib.spec import Run
from perflib.stats.percentile import percentile

SMALL_BYTES = 65_536
_SLOWEST = 0.05
_LEAST_MS = 5.0
"""Receiving is told from so much on."""
_DELAYED_ACK_MS = (38.0, 52.0)
"""Linux holds an acknowledgement back for 40 ms at least, and a timer is a few ms late: TCP_DELACK_MIN, tcp(7)."""

Why = Literal["delayed acknowledgement", "large", "in pieces"]


@dataclass(frozen=True)
class Phases:
    """Means over an endpoint's warm successes, or over the slowest 5 % of them: they add up to their mean response."""

    endpoint: str
    slowest: bool
    requests: int
    mean_ms: dict[Phase, float]


@dataclass(frozen=True)
class SlowReceiving:
    """An endpoint whose answers take longer from the first byte to the last than to begin; medians."""

    endpoint: str
    waiting_ms: float
    receiving_ms: float
    size_bytes: float
    why: Why


def phases(run: Run) -> tuple[Phases, ...]:
    """Two per endpoint: all its warm successes outside pages, then the slowest of them; none where it has none.

    >>> import perflib
    >>> one, *_ = phases(perflib.load_run("sample-28-release-1.4"))
    >>> one.endpoint, max(one.mean_ms, key=one.mean_ms.get)
    ('GET /health', 'waiting')
    """
    found = []
    for endpoint in _endpoints(run):
        by_phase = {phase: item_rows(run, endpoint).phase_ms(phase) for phase in PHASES}
        slow_first = np.argsort(-np.sum([*by_phase.values()], axis=0), kind="stable")
        for slowest, count in ((False, len(slow_first)), (True, math.ceil(_SLOWEST * len(slow_first)))):
            if len(by_phase["waiting"]):
                means = {phase: float(ms[slow_first[:count]].mean()) for phase, ms in by_phase.items()}
                found.append(Phases(endpoint, slowest, count, means))
    return tuple(found)


def slow_receiving(run: Run) -> tuple[SlowReceiving, ...]:
    """The endpoints of which receiving takes most of the time, and what that looks like."""
    found = (_slow_receiving(run, endpoint) for endpoint in _endpoints(run))
    return tuple(one for one in found if one is not None)


def _slow_receiving(run: Run, endpoint: str) -> SlowReceiving | None:
    rows = item_rows(run, endpoint)
    received_ms = rows.phase_ms("receiving")
    waiting, receiving, size = (
        percentile(values, 0.50) for values in (rows.phase_ms("waiting"), received_ms, rows.warm_bytes)
    )
    if waiting is None or receiving is None or size is None or receiving < max(waiting, _LEAST_MS):
        return None
    low, high = _DELAYED_ACK_MS
    delayed = np.mean((received_ms >= low) & (received_ms <= high)) >= 0.5
    why: Why = "large" if size > SMALL_BYTES else "delayed acknowledgement" if delayed else "in pieces"
    return SlowReceiving(endpoint, waiting, receiving, size, why)


def _endpoints(run: Run) -> list[str]:
    """Of a page the first byte of one answer and the last of another belong to no phase."""
    items = run.facts.scenario.takes(run.facts.target)
    return [item.name for item in items if item not in run.facts.target.pages]
