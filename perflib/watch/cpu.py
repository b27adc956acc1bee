"""The CPU time of processes that come and go."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import psutil


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
        return cls(times.user + times.system, of_children_s, process.ppid())


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
