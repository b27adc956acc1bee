"""The target as processes of this machine: all that answer at its address, with their parent and their descendants."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil

from perflib.watch.cpu import CpuClock, Spent, StolenClock
from perflib.watch.reading import Reading
from perflib.watch.waits import Waits

_ADDED_UP = ("rss_bytes", "uss_bytes", "pss_bytes", "open_files", "threads", "processes")
_FULL_SHARE = 0.02
"""Of a core that USS and PSS may cost: the kernel walks the page tables for them, 1 to 2 ms per 100 MB."""
_LOOK_EVERY_S, _LOOK_SHARE = 10.0, 0.01
_STARTERS = ("systemd", "launchd")
"""They hold the sockets of services that they start."""


class ProcessTree:
    """Processes of this machine with all their descendants.

    `again` finds those anew that listen at the target's address: a target may restart, or be joined by others. It has
    restarted when none is left of those that were at the top.
    """

    def __init__(self, pids: Iterable[int], again: Callable[[], Iterable[int]] = tuple) -> None:
        self._tops, self._again = tops_of(pids), again
        self.lead = _oldest(self._tops)
        self._cpu, self._waits, self._stolen = CpuClock(), Waits(), StolenClock()
        self._alive, self._ended = set[psutil.Process](), 0
        self._full_due_s, self._look_due_s = 0.0, time.monotonic() + _LOOK_EVERY_S

    def members(self) -> list[psutil.Process]:
        """All processes, parents before their children; none of perflib's own."""
        children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                children[process.ppid()].append(process)
        children.pop(os.getpid(), None)
        found = dict.fromkeys(self._tops)
        for process in (queue := [*found]):
            new = [child for child in children[process.pid] if child.pid != os.getpid() and child not in found]
            found.update(dict.fromkeys(new))
            queue += new
        return [*found]

    def read(self) -> Reading | None:
        self._look_again()
        spent, alive = dict[psutil.Process, Spent](), list[psutil.Process]()
        for process in self.members():
            with suppress(psutil.Error), process.oneshot():
                spent[process] = Spent.of(process)
                if process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
        self._cpu.look(spent)
        self._stolen.look(self._cpu.spent_s)
        self._ended += len(self._alive.difference(alive))
        self._alive = set(alive)
        waited_s = self._waits.look(process.pid for process in alive) + self._stolen.stolen_s
        some = self._readings(alive)
        return replace(self._sum_of(some), waited_s=waited_s) if some else None

    def close(self) -> None:
        """Nothing is held."""

    def _look_again(self) -> None:
        """Once one at the top is gone, and now and then, as others may have joined."""
        left, begun_s = [top for top in self._tops if not _is_gone(top)], time.monotonic()
        if left and len(left) == len(self._tops) and begun_s < self._look_due_s:
            return
        with suppress(psutil.Error):
            self._tops = tops_of(self._again()) or left
        self._look_due_s = begun_s + max(_LOOK_EVERY_S, (time.monotonic() - begun_s) / _LOOK_SHARE)
        if self._tops and not left:
            self.lead, self._alive = _oldest(self._tops), set()

    def _readings(self, processes: Iterable[psutil.Process]) -> list[Reading]:
        begun_s, full = time.thread_time(), time.monotonic() >= self._full_due_s
        some = [reading for process in processes if (reading := _read_process(process, full)) is not None]
        if full:
            self._full_due_s = time.monotonic() + (time.thread_time() - begun_s) / _FULL_SHARE
        return some

    def _sum_of(self, some: list[Reading]) -> Reading:
        """All as one; what is not known of one of them is not known of the whole."""

        def total(name: str) -> Any:
            values = [getattr(one, name) for one in some]
            return -1 if min(values) < 0 else sum(values)

        lead, cpu_s = self.lead, self._cpu.spent_s
        totals = {name: total(name) for name in _ADDED_UP}
        return Reading(**totals, cpu_s=cpu_s, ended=self._ended, pid=lead.pid, started_s=lead.create_time())


def tops_of(pids: Iterable[int]) -> list[psutil.Process]:
    """Those of these processes that none of the others descends from, or the parent that they have in common.

    Whoever started perflib, or starts services, holds a socket on behalf of others: it counts where it is alone.
    A common parent counts where it runs the same program, as the master of workers does that listen each by itself;
    a shell, or what supervises all kinds of services, does not.
    """
    every = [psutil.Process(pid) for pid in sorted(pids)]
    line = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    some = [one for one in every if one.pid not in line and one.name() not in _STARTERS] or every
    tops = [one for one in some if not set(one.parents()) & set(some)]
    parents = {one.ppid() for one in tops}
    if len(tops) > 1 and len(parents) == 1 and (parent := parents.pop()) not in {0, 1, *line}:
        with suppress(psutil.Error):
            master = psutil.Process(parent)
            if all(_are_alike(top, master) for top in tops):
                return [master]
    return tops


def largest_of(pid: int) -> int:
    """Of a process and its descendants the one that holds most memory: that whose allocations are worth a look."""
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        return max([top, *top.children(recursive=True)], key=_resident_bytes).pid
    return pid


def _resident_bytes(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _are_alike(one: psutil.Process, other: psutil.Process) -> bool:
    """Whether they run the same program; of another user's only the name is known."""
    with suppress(psutil.AccessDenied):
        return one.exe() == other.exe()
    return one.name() == other.name()


def _oldest(processes: Iterable[psutil.Process]) -> psutil.Process:
    return min(processes, key=lambda one: (one.create_time(), one.pid))


def _is_gone(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _read_process(process: psutil.Process, full: bool) -> Reading | None:
    """One process; `full`: with its USS and PSS. Of another user's only the RSS is known."""
    uss_bytes = pss_bytes = open_files = -1
    try:
        with process.oneshot():
            used, threads = process.memory_info(), process.num_threads()
        with suppress(psutil.AccessDenied):
            open_files = process.num_fds()
            if full:
                whole = process.memory_full_info()
                uss_bytes, pss_bytes = whole.uss, getattr(whole, "pss", -1)
    except psutil.Error:  # it ended just now
        return None
    return Reading(used.rss, uss_bytes, pss_bytes, open_files=open_files, threads=threads, processes=1)
