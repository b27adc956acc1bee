"""The CPU time of processes that come and go, and of the cores of this machine."""

import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import clock_gettime, perf_counter
from typing import Any

import psutil

_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")
"""Guests are counted as user time already."""


@dataclass(frozen=True)
class Spent:
    """CPU seconds of a process since its start: its own, and those of its children that it has waited for."""

    own_s: float
    of_children_s: float
    parent: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Spent":
        """Raises psutil.Error where the process has ended and been waited for."""
        times = process.cpu_times()
        of_children_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return cls(_exact_s(process.pid, times.user + times.system), of_children_s, process.ppid())


def _exact_s(pid: int, to_ticks_s: float) -> float:
    """CPU seconds of a process by its own clock, in nanoseconds and with its ended threads; else those to 10 ms.

    The number of that clock is clock_getcpuclockid(3)'s.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return clock_gettime((~pid << 3) | 2)
    return to_ticks_s


class CoresClock:
    """How busy the cores are that this process may use, since it was made."""

    def __init__(self) -> None:
        self._begun_s, self._cores = perf_counter(), _own_cores()
        self._busy_before_s = self._busy_s()

    @property
    def count(self) -> int:
        return len(self._cores)

    def busy(self) -> float:
        """So many of them, on average."""
        return (self._busy_s() - self._busy_before_s) / (perf_counter() - self._begun_s)

    def _busy_s(self) -> float:
        every = enumerate(psutil.cpu_times(percpu=True))
        return sum(_busy_of(times) for core, times in every if core in self._cores)


class StolenClock:
    """The time that a hypervisor had the cores while processes were on them, in seconds since the first look.

    The system tells it of all cores together: processes get their part by their part of the busy time.
    """

    def __init__(self) -> None:
        self.stolen_s = 0.0
        self._before: tuple[float, float, float] | None = None

    def look(self, spent_s: float) -> None:
        """The processes having spent so many CPU seconds by now."""
        times = psutil.cpu_times()
        now = (spent_s, getattr(times, "steal", 0.0), _busy_of(times))
        spent, stolen, busy = (new - old for new, old in zip(now, self._before or now, strict=True))
        if busy > 0:
            self.stolen_s += max(0.0, stolen) * min(1.0, spent / busy)
        self._before = now


def _busy_of(times: Any) -> float:
    return float(sum(times) - sum(getattr(times, name, 0.0) for name in _NOT_BUSY))


def _own_cores() -> set[int]:
    return set(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


class CpuClock:
    """The CPU seconds that a set of processes has spent since the first look; never falls.

    A child that has ended hands its time on to its parent, who waited for it: what was seen of it before is not counted
    again, what was not is. Where nobody waits for it, what was not seen of it is lost.
    """

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._before: dict[psutil.Process, Spent] | None = None
        self._handed_on = defaultdict[int, float](float)  # by parent: of ended children, and counted already

    def look(self, now: Mapping[psutil.Process, Spent]) -> None:
        """The processes at this moment, parents read before their children."""
        before = dict(now) if self._before is None else self._before
        for process, last in before.items():
            if process not in now:
                self._handed_on[last.parent] += last.own_s + last.of_children_s
        for process, spent in now.items():
            last = before.get(process, Spent(0.0, 0.0, spent.parent))
            handed_on = max(0.0, spent.of_children_s - last.of_children_s)
            known = min(handed_on, self._handed_on[process.pid])
            self._handed_on[process.pid] -= known
            self.spent_s += max(0.0, spent.own_s - last.own_s) + handed_on - known
        self._before = dict(now)
