"""Standstills: stretches in which this process did not run, and the requests that they touched.

A process that is stopped, starved or put to sleep with its machine misses few of its own ticks, and yet each request
that was due or under way meanwhile has a time that is not the target's. By the kernel's clock a short one does no harm
to what was under way.
"""

import time
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from perflib.spec.run import LONG_STANDSTILL_S, Standstill
from perflib.store.spool import WARMUP

_LEAST_NS = 100_000_000
_KEPT = 20
_MATTERS = 0.1
"""A standstill matters to a request that took at most ten times as long."""


@dataclass(frozen=True)
class _Gap:
    """From the moment when a tick was due to the one when it came; `asleep_ns`: what no clock of the process counts."""

    from_ns: int
    to_ns: int
    asleep_ns: int

    @property
    def lasted_ns(self) -> int:
        return self.to_ns - self.from_ns + self.asleep_ns


class Standstills:
    """Those of a worker, the longest of them."""

    def __init__(self) -> None:
        self._gaps: list[_Gap] = []
        self._asleep_ns = _asleep_ns()

    def tick(self, due_ns: int, now_ns: int) -> None:
        """A tick that was due, by `perf_counter_ns`, came now."""
        asleep_ns, before_ns = _asleep_ns(), self._asleep_ns
        self._asleep_ns = asleep_ns
        gap = _Gap(due_ns, now_ns, max(0, asleep_ns - before_ns))
        if gap.lasted_ns >= _LEAST_NS:
            self._gaps = sorted((*self._gaps, gap), key=lambda one: one.lasted_ns)[-_KEPT:]

    def among(self, rows: NDArray[np.void], origin_ns: int, worker: int) -> tuple[Standstill, ...]:
        """What they did to the requests of this worker; `rows` as spooled, their times from `origin_ns`."""
        return tuple(
            Standstill(
                worker=worker,
                at_s=(gap.from_ns - origin_ns) / 1e9,
                lasted_s=gap.lasted_ns / 1e9,
                touched=_touched(rows, gap, origin_ns),
            )
            for gap in sorted(self._gaps, key=lambda one: one.from_ns)
        )


def _touched(rows: NDArray[np.void], gap: _Gap, origin_ns: int) -> int:
    ends_ns = np.maximum(rows["end_ns"], rows["intended_ns"])  # one that was never answered has no time to be wrong
    read_ns = ends_ns + np.maximum(rows["read_late_ns"], 0)  # until then its user could send no other
    meanwhile = (rows["intended_ns"] < gap.to_ns - origin_ns) & (read_ns > gap.from_ns - origin_ns)
    matters = gap.lasted_ns >= _MATTERS * (ends_ns - rows["intended_ns"])
    sent_late = rows["start_ns"] > np.maximum(rows["intended_ns"], gap.from_ns - origin_ns)
    falsified = sent_late | (rows["read_late_ns"] < 0)
    falsified |= gap.lasted_ns >= LONG_STANDSTILL_S * 1e9
    return int((meanwhile & matters & falsified & (rows["flags"] & WARMUP == 0)).sum())


def _asleep_ns() -> int:
    """How long this machine has slept so far; 0 where no clock tells."""
    clock = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
    return time.clock_gettime_ns(clock) - perf_counter_ns() if clock is not None else 0
