"""So far: each endpoint, page and journey of a run as it goes, and in its last seconds."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflib.show.numbers import NOTHING, ms, three_digits
from perflib.show.table import Cell, Row, Table, numbers, row, words
from perflib.spec import Target
from perflib.stats.histogram import LogHistogram
from perflib.stats.percentile import required_count
from perflib.text import cells

NOW_S = 10
"""What counts as now."""


@dataclass(frozen=True)
class EndpointSoFar:
    """Its requests outside pages and journeys. None: too few successes."""

    endpoint: str
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    now_per_s: float
    now_p50_ms: float | None


@dataclass(frozen=True)
class _Second:
    lasted_s: float
    rows: NDArray[np.void]


class SoFar:
    """Counts what each second of a run brings."""

    def __init__(self, target: Target) -> None:
        self._names = [item.name for item in target.items]
        self._times_ms = [LogHistogram() for _ in self._names]
        self._requests, self._errors = (np.zeros(len(self._names), np.int64) for _ in range(2))
        self._now: deque[_Second] = deque(maxlen=NOW_S)

    def add(self, rows: NDArray[np.void], lasted_s: float) -> None:
        """Take in the rows that ended within so long a time."""
        own = rows[rows["page"] < 0]
        self._now.append(_Second(lasted_s, own))
        self._requests += np.bincount(own["item"], minlength=len(self._names))
        self._errors += np.bincount(own["item"][own["error"] >= 0], minlength=len(self._names))
        for item in np.unique(own["item"]):
            self._times_ms[item].add_all(_times_ms(own, item))

    def endpoints(self) -> tuple[EndpointSoFar, ...]:
        """Those that were asked, in the order of the target."""
        now, lasted_s = np.concatenate([one.rows for one in self._now]), sum(one.lasted_s for one in self._now)
        return tuple(self._endpoint(item, now, lasted_s) for item in self._requests.nonzero()[0].tolist())

    def _endpoint(self, item: int, now: NDArray[np.void], lasted_s: float) -> EndpointSoFar:
        recent = LogHistogram()
        recent.add_all(_times_ms(now, item))
        return EndpointSoFar(
            endpoint=self._names[item],
            requests=int(self._requests[item]),
            errors=int(self._errors[item]),
            p50_ms=supported(self._times_ms[item], 0.50),
            p95_ms=supported(self._times_ms[item], 0.95),
            now_per_s=int((now["item"] == item).sum()) / lasted_s if lasted_s else 0.0,
            now_p50_ms=supported(recent, 0.50),
        )


def supported(times_ms: LogHistogram, q: float) -> float | None:
    """A percentile where there are enough of them."""
    return times_ms.percentile(q) if times_ms.count >= required_count(q) else None


def _times_ms(rows: NDArray[np.void], item: int) -> NDArray[np.float64]:
    good = rows[(rows["item"] == item) & (rows["error"] < 0)]
    times_ms: NDArray[np.float64] = (good["end_ns"] - good["start_ns"]) / 1e6
    return times_ms


def table(endpoints: Sequence[EndpointSoFar], most: int | None = None) -> Table:
    """A row each; `most`: only so many, those that fail and then the slowest first, and a note of the others."""
    worst = sorted(endpoints, key=lambda one: (-one.errors, -(one.p95_ms or one.p50_ms or 0.0)))[:most]
    shown = [one for one in endpoints if one in worst]
    left = len(endpoints) - len(shown)
    columns = (*words("Endpoint"), *numbers("Requests", "Failed", "p50, ms", "p95, ms", "Now: req/s", "Now: p50, ms"))
    return Table(columns, tuple(map(_row, shown)), notes=(f"{left} more, faster",) if left else ())


def _row(one: EndpointSoFar) -> Row:
    times = [Cell(ms(value, NOTHING)) for value in (one.p50_ms, one.p95_ms)]
    now = (three_digits(one.now_per_s), ms(one.now_p50_ms, NOTHING))
    return row(one.endpoint, f"{one.requests:,}", cells.failed(one.errors, one.requests), *times, *now)
