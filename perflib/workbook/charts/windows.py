"""Fewer points than rows: ranks thinned, times binned and cut into windows, so that a figure stays small."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflib.spec import Run
from perflib.spec.run import asked_alone
from perflib.stats.percentile import percentile, required_count

Floats = NDArray[np.float64]

POINTS = 400
"""At most so many points in a line."""

_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_BINS_PER_DECADE = 20


def thin(count: int, most: int = POINTS) -> NDArray[np.int64]:
    """At most `most` of the ranks 0 ... count - 1, evenly, and more of the last: the tail is what one looks at."""
    if count <= most:
        return np.arange(count)
    even = np.linspace(0, count - 1, 3 * most // 4)
    return np.unique(np.r_[even, count - np.geomspace(1, count, most // 4)].astype(np.int64))


def log_edges(values: Floats) -> Floats:
    """Bin edges in ms, _BINS_PER_DECADE a decade, around all values."""
    lowest, highest = (math.log10(max(value, 1e-3)) * _BINS_PER_DECADE for value in (values.min(), values.max()))
    return 10 ** (np.arange(math.floor(lowest), max(math.ceil(highest), math.floor(lowest) + 1) + 1) / _BINS_PER_DECADE)


def width_s(span_s: float) -> int:
    """The shortest window, a second or more, of which a line has room for a whole run."""
    fits = (width for width in _WIDTHS_S if span_s / width <= POINTS - 2)
    return next(fits, math.ceil(span_s / (POINTS - 2)))


def time_edges(last_s: float) -> Floats:
    """Edges of equal windows from 0 to the last moment.

    What is left at the end is a window of its own if it is half as long as the others, else part of the last one.
    """
    last, width = max(last_s, 1e-3), width_s(last_s)
    return np.append(np.arange(max(1, round(last / width))) * float(width), last)


def middles(edges: Floats) -> Floats:
    return (edges[:-1] + edges[1:]) / 2


def widened(at_s: Floats, ms: Floats, q: float, *, begin_s: float, width_s: int) -> pd.DataFrame:
    """The q-quantile over time: windows from `begin_s` on, each as many `width_s` long as bearing the quantile takes.

    What is left at the end belongs to the last window; nothing where all the values together are too few.

    Returns:
        A row a window: `begin_s`, `end_s`, `count`, `ms`.
    """
    place = ((at_s - begin_s) / width_s).astype(np.int16)  # in 16 bits a stable sort is a fast radix sort
    counts = np.bincount(place)
    ends = _ends(counts.tolist(), required_count(q))
    groups = np.split(ms[np.argsort(place, kind="stable")], np.cumsum(counts)[np.array(ends[:-1], np.int64) - 1])
    frame = {
        "begin_s": begin_s + width_s * np.array([0, *ends[:-1]][: len(ends)], np.float64),
        "end_s": begin_s + width_s * np.array(ends, np.float64),
        "count": [len(group) for group in groups][: len(ends)],
        "ms": np.array([percentile(group, q) for group in groups][: len(ends)], np.float64),
    }
    return pd.DataFrame(frame)


def _ends(counts: Sequence[int], least: int) -> list[int]:
    """How many equal windows have passed at the end of each widened one."""
    ends, held = [], 0
    for number, count in enumerate(counts, start=1):
        held += count
        if held >= least:
            ends.append(number)
            held = 0
    return [*ends[:-1], len(counts)] if ends else []


def warmups_s(run: Run) -> dict[str, tuple[float, float]]:
    """When the warm-up of each driven item began and ended, seconds from the run's start."""
    found: dict[str, tuple[float, float]] = {}
    begin_ns = 0
    for number, part in enumerate(run.facts.parts):
        if number:
            rows = run.requests
            own = rows.loc[rows["endpoint"].isin(list(part.items)) & asked_alone(rows), "intended_ns"]
            begin_ns = int(own.min()) if len(own) else run.facts.parts[number - 1].measured_to_ns
        found |= dict.fromkeys(part.items, (begin_ns / 1e9, part.measured_from_ns / 1e9))
    return found
