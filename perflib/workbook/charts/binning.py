"""What charts draw: rows thinned, binned and cut into windows, so that a figure stays small."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from perflib.figures.summary import item_rows, measured
from perflib.stats.percentile import percentile, required_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from perflib.spec import Run

    Floats = NDArray[np.float64]

POINTS = 400
"""At most so many points in a line."""
MARKS = {0.5: "50 %", 0.9: "90 %", 0.95: "95 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}
USED = ["endpoint", "page", "kind", "intended_ns", "start_ns", "end_ns", "error", "warmup", "cold"]

_WINDOWS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_BINS_PER_DECADE = 20


def measured_rows(run: Run) -> pd.DataFrame:
    return measured(replace(run, requests=run.requests[USED]))


def warm(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows[(rows["endpoint"] == name) & rows["page"].isna() & ~rows["cold"]]


def percentile_curve(values: Floats) -> tuple[Floats, Floats]:
    """Shares and their percentiles, by the rule of `stats.percentile`, up to the last with required_count(q) <= n.

    Args:
        values: ascending.
    """
    if len(values) < required_count(0.5):
        return np.empty(0), np.empty(0)
    last = 0.05 ** (1 / len(values))
    q = np.unique([*(1 - np.geomspace(1, 1 - last, POINTS // 2)), *(mark for mark in MARKS if mark <= last)])
    ranks = np.ceil(q * len(values) - 1e-9).astype(np.int64).clip(1) - 1
    return q, values[ranks]


def thin(count: int) -> NDArray[np.int64]:
    """At most POINTS of the ranks 0 ... count - 1, evenly, and more of the last: the tail is what one looks at."""
    if count <= POINTS:
        return np.arange(count)
    even = np.linspace(0, count - 1, 3 * POINTS // 4)
    return np.unique(np.r_[even, count - np.geomspace(1, count, POINTS // 4)].astype(np.int64))


def log_edges(values: Floats) -> Floats:
    """Bin edges in ms, _BINS_PER_DECADE a decade, around all values."""
    lowest, highest = (math.log10(max(value, 1e-3)) * _BINS_PER_DECADE for value in (values.min(), values.max()))
    return 10 ** (np.arange(math.floor(lowest), max(math.ceil(highest), math.floor(lowest) + 1) + 1) / _BINS_PER_DECADE)


def time_edges(at_s: Floats) -> Floats:
    """Edges of equal windows from 0 to the last moment; a second each, longer where those were too many.

    What is left at the end is a window of its own if it is half as long as the others, else part of the last one.
    """
    last = max(float(at_s.max()), 1e-3)
    width = first_fitting(last)
    return np.append(np.arange(max(1, round(last / width))) * float(width), last)


def first_fitting(span_s: float) -> int:
    return next((width for width in _WINDOWS_S if span_s / width <= POINTS - 2), math.ceil(span_s / (POINTS - 2)))


def window_s(at_s: Floats) -> int:
    """The shortest window whose typical count supports a p95, as long as three windows remain."""
    span_s = float(at_s.max()) if len(at_s) else 0.0
    shortest = first_fitting(span_s)
    longer = [width for width in _WINDOWS_S if width >= shortest and width <= span_s / 3]
    return next(
        (w for w in longer if len(at_s) * w / span_s >= 1.2 * required_count(0.95)),
        (longer or [shortest])[-1],
    )


def timed_successes(run: Run, name: str) -> pd.DataFrame:
    """Successes of an item, warm-up included: `at_s` from the start of its part of the run, `ms`, `cold`."""
    rows = item_rows(run, name)
    at_s = (rows.intended_ns - begin_ns(run, run.requests, name)) / 1e9
    frame = pd.DataFrame({"at_s": at_s, "ms": rows.response_ms, "cold": rows.cold}, copy=False)
    return frame[rows.good & (rows.end_ns >= 0)]


def begin_ns(run: Run, rows: pd.DataFrame, name: str) -> int:
    """When the part of the run that drives this item began, from the run's start."""
    number = next((n for n, part in enumerate(run.facts.parts) if name in part.items), 0)
    if number == 0:
        return 0
    own = rows.loc[rows["endpoint"].isin(list(run.facts.parts[number].items)) & rows["page"].isna(), "intended_ns"]
    return int(own.min()) if len(own) else run.facts.parts[number - 1].measured_to_ns


def warmup_end_s(run: Run, rows: pd.DataFrame, name: str) -> float:
    ends = [part.measured_from_ns for part in run.facts.parts if name in part.items]
    return (ends[0] - begin_ns(run, rows, name)) / 1e9 if ends else 0.0


def warmups_s(run: Run, rows: pd.DataFrame) -> list[tuple[float, float]]:
    begins = [begin_ns(run, rows, part.items[0]) for part in run.facts.parts]
    return [(begin / 1e9, part.measured_from_ns / 1e9) for begin, part in zip(begins, run.facts.parts, strict=True)]


def windowed(times: pd.DataFrame, width_s: int) -> pd.DataFrame:
    """One row a window: `at_s` (its middle), `successes`, `p50_ms`, `p95_ms` (NaN where too few support it)."""
    window = (times["at_s"].to_numpy() / width_s).astype(np.int16)  # in 16 bits a stable sort is a fast radix sort
    counts = np.bincount(window)
    by_window = times["ms"].to_numpy()[np.argsort(window, kind="stable")]
    groups = np.split(by_window, np.cumsum(counts))[:-1]
    return pd.DataFrame(
        {
            "at_s": (np.arange(len(counts)) + 0.5) * width_s,
            "successes": counts,
            "p50_ms": np.array([percentile(ms, 0.50) for ms in groups], np.float64),
            "p95_ms": np.array([percentile(ms, 0.95) for ms in groups], np.float64),
        }
    )
