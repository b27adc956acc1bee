"""Time to first byte: how long a target thinks before it answers. Pure."""

from dataclasses import dataclass

import pandas as pd

from perflib.spec import Run
from perflib.stats.percentile import percentile


@dataclass(frozen=True)
class Ttfb:
    """Of an endpoint's warm successes: from the request's start to its first byte, and from there to the last. ms."""

    endpoint: str
    waiting_p50_ms: float | None
    waiting_p95_ms: float | None
    receiving_p50_ms: float | None


def ttfb(run: Run) -> tuple[Ttfb, ...]:
    """One per endpoint, in the target's order; a page's parts count."""
    rows = run.requests
    good = rows[rows["error"].isna() & ~rows["warmup"] & ~rows["cold"] & (rows["kind"] == "request")]
    return tuple(_of(name, good[good["endpoint"] == name]) for name in [one.name for one in run.facts.target.endpoints])


def _of(name: str, own: pd.DataFrame) -> Ttfb:
    waiting = ((own["first_byte_ns"] - own["start_ns"]) / 1e6).to_numpy()
    receiving = ((own["end_ns"] - own["first_byte_ns"]) / 1e6).to_numpy()
    return Ttfb(name, percentile(waiting, 0.5), percentile(waiting, 0.95), percentile(receiving, 0.5))
