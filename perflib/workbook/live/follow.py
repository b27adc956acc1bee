"""Follow: the progress of a run that any process drives, read off what its workers have spooled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from perflib.load.arrivals import Share
from perflib.load.progress import Beat, Beats, Progress
from perflib.spec import Closed, Facts, Ramp
from perflib.stats.histogram import LogHistogram
from perflib.store.spool import GENERATOR_ROW, MEMORY_ROW, generator_spool, memory_spool, read_spool, requests_spool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from perflib.store.runs import RunFolder

    Rows = NDArray[np.void]


class Follower:
    """Reads the seconds of a run as they are spooled; the same figures that the run's own process is told."""

    def __init__(self, folder: RunFolder) -> None:
        self._path, self._facts = folder.path, folder.read_facts()
        self._beats, self._taken = Beats(), 0
        self._errors = [0] * self._facts.workers

    def news(self) -> list[Progress]:
        """The seconds since the last call, oldest first."""
        workers = range(self._facts.workers)
        try:  # health first: a worker flushes its requests before it
            health = [read_spool(generator_spool(self._path, worker), GENERATOR_ROW) for worker in workers]
            requests = [read_spool(requests_spool(self._path, worker)) for worker in workers]
        except FileNotFoundError:  # sealed just now
            return []
        found = []
        for second in range(self._taken, min(map(len, health))):
            for worker in workers:
                self._beats.add(worker, self._beat(worker, second, health[worker], requests[worker]))
            found.append(self._beats.progress())
            self._taken = second + 1
        return found

    def _beat(self, worker: int, second: int, health: Rows, requests: Rows) -> Beat:
        before_ns, before = (health["t_ns"][second - 1], health["requests"][second - 1]) if second else (0, 0)
        now_ns, now = health["t_ns"][second], health["requests"][second]
        rows = requests[before:now]
        good = rows[rows["error"] < 0]
        times_ms = LogHistogram()
        times_ms.add_all((good["end_ns"] - good["start_ns"]) / 1e6)
        self._errors[worker] += len(rows) - len(good)
        return Beat(
            elapsed_s=float(now_ns / 1e9),
            planned_s=planned_s(self._facts),
            doing=_doing(self._facts, rows),
            users=_users(self._facts, Share(worker, self._facts.workers), rows, float(now_ns / 1e9)),
            requests=int(now),
            errors=self._errors[worker],
            rate_per_s=float((now - before) / (now_ns - before_ns) * 1e9),
            times_ms=times_ms.bins(),
        )


def memory_so_far(folder: RunFolder) -> Rows:
    """The samples of the target's memory until now, `MEMORY_ROW`; none where it is not sampled. Shape (samples,)."""
    try:
        return read_spool(memory_spool(folder.path), MEMORY_ROW)
    except FileNotFoundError:  # sealed just now
        return np.empty(0, MEMORY_ROW)


def planned_s(facts: Facts) -> float:
    """The longest that a run takes, warm-up included, the drain not."""
    scenario = facts.scenario
    return (scenario.warmup_s + scenario.duration_s) * (len(scenario.takes(facts.target)) if scenario.isolated else 1)


def _doing(facts: Facts, rows: Rows) -> str:
    if not facts.scenario.isolated or not len(rows):
        return f"{len(facts.scenario.takes(facts.target))} endpoints and pages"
    last = rows[-1]
    return facts.target.items[int(last["page"] if last["page"] >= 0 else last["item"])].name


def _users(facts: Facts, share: Share, rows: Rows, elapsed_s: float) -> int:
    """A worker's share of the users, as the workload has them; of an open one the connections used in this second."""
    workload = facts.scenario.workload
    if isinstance(workload, Closed):
        return share.part_of(workload.users)
    if isinstance(workload, Ramp):
        return share.part_of(math.ceil(workload.users_at(elapsed_s - facts.scenario.warmup_s)))
    return len(np.unique(rows["user"][rows["user"] >= 0]))
