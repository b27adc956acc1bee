"""How long the threads of processes stood ready to run without a core."""

import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_RAN, _WAITED = 0, 1


class Waits:
    """The time that threads waited for a core, in seconds since the first look; never falls.

    Linux alone tells it, in nanoseconds, by ``/proc/PID/task/*/schedstat``: time on a core, time ready to run without
    one, slices (sched-stats.rst). A thread that has ended takes its account along, so each look keeps what it saw: what
    a thread waited after the last look at it is lost, all of one that lived between two looks. The time that a cgroup's
    quota stopped threads is within (tried on Linux 6.18: 2.55 s of 2.58 s that cpu.stat called throttled).
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._sum_ns, self._known, self._last_ns = 0, False, dict[str, int]()
        self._begun = False

    def look(self, pids: Iterable[int]) -> float:
        """All threads of these processes, at this moment. NaN where the system has told of none so far."""
        seen = {thread: account for pid in pids for thread, account in _accounts(self._proc / str(pid))}
        for thread, account in seen.items():
            waited_ns, last_ns = account[_WAITED], self._last_ns.get(thread, 0 if self._begun else account[_WAITED])
            self._sum_ns += waited_ns - last_ns if waited_ns >= last_ns else waited_ns
            self._known |= account[_RAN] > 0
        self._last_ns, self._begun = {thread: account[_WAITED] for thread, account in seen.items()}, True
        return self._sum_ns / 1e9 if self._known else math.nan


def _accounts(process: Path) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Of each thread that can be read, by its number."""
    threads: list[Path] = []
    with suppress(OSError):
        threads = [*(process / "task").iterdir()]
    for thread in threads:
        with suppress(OSError, ValueError):
            ran, waited, _ = map(int, (thread / "schedstat").read_bytes().split())
            yield thread.name, (ran, waited)
