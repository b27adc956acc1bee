"""The clock of a process tree: its CPU time, and its time ready to run without a core, 25 times a second."""

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from time import monotonic, perf_counter_ns

import numpy as np
import psutil

from perflib.spec.ticks import Ticks
from perflib.watch.cpu import CpuClock, Spent
from perflib.watch.process import ProcessTree
from perflib.watch.waits import Waits

_EVERY_S = 0.04
_MEMBERS_EVERY_S = 2.0
_GRACE_S = 2.0
_BUSY_S = 0.05
"""A process that computed less is no worker of its own: a master, or a helper."""


class TreeClock(AbstractContextManager["TreeClock"]):
    """Ticks from `begin` until the end of the context; none without a tree.

    CPU time is the kernel's account by process, the time that threads were ready to run without a core that of `Waits`.
    """

    def __init__(self, tree: ProcessTree | None) -> None:
        self._tree, self._over = tree, threading.Event()
        self._thread: threading.Thread | None = None
        self._rows: list[tuple[int, float, float]] = []
        self._cpu, self._waits = CpuClock(), Waits()
        self._own_s: dict[int, float] = {}
        self._first_s: dict[int, float] = {}

    def begin(self, origin_ns: int) -> None:
        """Tick from now on; times count from `origin_ns`, by `perf_counter_ns`."""
        if self._tree is not None:
            self._thread = threading.Thread(target=self._tick, args=(self._tree, origin_ns), daemon=True)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(_GRACE_S)

    @property
    def ticks(self) -> Ticks:
        """All so far."""
        if not self._rows:
            return Ticks.none()
        t_ns, cpu_s, waited_s = np.array(self._rows).T
        busy = [pid for pid, spent_s in self._own_s.items() if spent_s - self._first_s[pid] > _BUSY_S]
        return Ticks(t_ns, cpu_s, waited_s, processes=max(1, len(busy)))

    def _tick(self, tree: ProcessTree, origin_ns: int) -> None:
        members, due_s = list[psutil.Process](), 0.0
        while not self._over.wait(_EVERY_S):
            if monotonic() >= due_s:
                members, due_s = tree.members(), monotonic() + _MEMBERS_EVERY_S
            self._look(members, origin_ns)

    def _look(self, members: Iterable[psutil.Process], origin_ns: int) -> None:
        spent, pids = dict[psutil.Process, Spent](), list[int]()
        now_ns = perf_counter_ns()
        for process in members:
            with suppress(psutil.Error):
                spent[process] = Spent.of(process)
                pids.append(process.pid)
                self._own_s[process.pid] = spent[process].own_s
                self._first_s.setdefault(process.pid, spent[process].own_s)
        self._cpu.look(spent)
        waited_s = self._waits.look(pids)
        self._rows.append((now_ns - origin_ns, self._cpu.spent_s, waited_s))
