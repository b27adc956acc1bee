"""Gauges: what holds at a moment of a run, and what its end says. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perflib.figures.summary import EndpointSummary, summarize
from perflib.spec import Run


@dataclass(frozen=True)
class Gauge:
    """A value of a metric; its unit is in UCUM, empty where 1 means yes and 0 no."""

    name: str
    unit: str
    value: float
    attributes: dict[str, str] = field(default_factory=dict)


def of_the_moment(users: int, health: NDArray[np.void], memory: NDArray[np.void]) -> list[Gauge]:
    """The users, the newest `GENERATOR_ROW` of each worker, and the newest `MEMORY_ROW`s of the target."""
    found = [Gauge("perflib.users", "{user}", users)]
    if len(health):
        found += [
            Gauge("perflib.generator.cpu.utilization", "1", float(health["cpu_share"].sum())),
            Gauge("perflib.generator.loop_lag", "s", float(health["loop_lag_max_ms"].max()) / 1e3),
            Gauge("perflib.generator.schedule_lag", "s", float(health["schedule_lag_max_ms"].max()) / 1e3),
        ]
    if len(memory):
        found += [
            Gauge("perflib.target.memory", "By", int(memory["rss_bytes"][-1])),
            Gauge("perflib.target.cpu.utilization", "1", float(memory["cpu_share"][-1])),
        ]
    return [one for one in found if math.isfinite(one.value)]


def of_the_end(run: Run) -> list[Gauge]:
    """The figures of a run that is over, as its table has them; a percentile of too few requests is left out."""
    summary = summarize(run)
    found = [
        Gauge("perflib.result.valid", "", int(run.facts.valid)),
        Gauge("perflib.result.throughput", "{request}/s", summary.throughput_per_s),
    ]
    return [*found, *(gauge for row in summary.endpoints for gauge in _of_row(row))]


def _of_row(row: EndpointSummary) -> Iterator[Gauge]:
    about: dict[str, Any] = {"perflib.endpoint": row.endpoint, "perflib.kind": row.kind}
    for quantile, value_ms in (("0.5", row.p50_ms), ("0.95", row.p95_ms), ("0.99", row.p99_ms)):
        if value_ms is not None:
            yield Gauge("perflib.result.response_time", "s", value_ms / 1e3, about | {"quantile": quantile})
    if row.meets_target is not None:
        yield Gauge("perflib.result.limits_met", "", int(row.meets_target), about)
