"""The target's memory: one sample per second of its processes, or of what it exports about itself.

In a thread of the orchestrating process, never of a worker: a sample of a process with some hundred MB takes the kernel
a millisecond or two, which must not land in a latency.
"""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter_ns
from urllib.parse import urlsplit

import numpy as np
import psutil

from perflib.spec import InputError, Target
from perflib.spec.run import CoresUsed, Generator, MemorySource
from perflib.store.named_files import socket_of
from perflib.store.spool import MEMORY_ROW, Spool, memory_spool, read_spool
from perflib.watch.cpu import CoresClock
from perflib.watch.listeners import MEND, Behind, behind, behind_socket
from perflib.watch.process import ProcessTree
from perflib.watch.prometheus import PrometheusText
from perflib.watch.reading import Reading, Source

EVERY_S = 1.0
MOST_SHARE = 0.05
"""Of a core that sampling may cost: where a sample costs more, the next one waits."""
_SHORTEST_NS = 100_000_000
"""The last sample, at the end of the run, is left out where the one before it is no older."""
_GRACE_S = 3.0
_SHOWN = 8
"""So many processes of a name are told by number."""
_FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns", "pasta", "gvproxy", "kubectl", "socat", "ssh", "sshd")
"""They carry connections to a container or to another machine, where the target is."""


@dataclass(frozen=True)
class Found:
    """Where a run's memory samples come from; `source` None where they cannot be had, which `about` explains."""

    source: Source | None
    about: MemorySource


def find(target: Target, pid: int | None) -> Found:
    """The target's memory: by the given process, its own metrics, or the processes behind its address here."""
    if pid is not None:
        if not psutil.pid_exists(pid):
            return _nowhere(f"there is no process {pid}; mend --pid")
        return _found_processes([pid])
    if target.metrics_url is not None:
        return _found_metrics(target.metrics_url)
    if target.unix_socket:
        at = socket_of(target)
        return _found_behind(target.unix_socket, lambda: behind_socket(at))
    parts = urlsplit(target.base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    return _found_behind(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", lambda: behind(host, port))


def _found_behind(where: str, look: Callable[[], Behind]) -> Found:
    listening = look()
    if listening.why_not:
        return _nowhere(listening.why_not)
    return _found_processes(listening.pids, where, lambda: look().pids)


def _nowhere(why: str) -> Found:
    return Found(None, MemorySource(told=why))


def _found_processes(pids: Iterable[int], where: str = "", again: Callable[[], Iterable[int]] = tuple) -> Found:
    try:
        tree = ProcessTree(pids, again)
        lead, members = tree.lead, tree.members()
        name, names = lead.name(), _names(members)
    except psutil.Error:
        return _nowhere(f"process {min(pids)} cannot be read; run as its user")
    if name in _FORWARDERS:
        return _nowhere(f"process {lead.pid} ({name}) only forwards {where or 'its connections'}; {MEND}")
    if len(members) > 1:
        how = f"{len(members)} processes{f' behind {where}' if where else ''}: {names}"
    else:
        how = f"process {lead.pid} ({name})" + (f", which listens on {where}" if where else "")
    return Found(tree, MemorySource(kind="process", pid=lead.pid, told=how))


def _names(processes: Iterable[psutil.Process]) -> str:
    """The processes by name, a few of each by number."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for process in processes:
        with suppress(psutil.Error):
            named[process.name()].append(str(process.pid))
    return ", ".join(f"{name} {_some(pids)}" for name, pids in named.items())


def _some(pids: Sequence[str]) -> str:
    more = f" and {len(pids) - _SHOWN} more" if len(pids) > _SHOWN else ""
    return ", ".join(pids[:_SHOWN]) + more


def _found_metrics(url: str) -> Found:
    try:
        source = PrometheusText(url)
    except InputError as error:
        return _nowhere(str(error))
    for pause_s in (0.3, 0.7, 0.0):  # a server may be at a loss for a moment
        if source.read() is not None:
            return Found(source, MemorySource(kind="prometheus", told=f"process_resident_memory_bytes of {url}"))
        time.sleep(pause_s)
    source.close()
    return _nowhere(source.why_not)


class Sampler(AbstractContextManager["Sampler"]):
    """Samples a source into a run's folder, once per second from `begin` and at the end of the context."""

    def __init__(self, source: Source | None, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._over, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._last = None if source is None else source.read()
        self._last_ns = perf_counter_ns()
        self._cores: CoresClock | None = None

    def begin(self, origin_ns: int) -> None:
        """Sample from now on; times count from `origin_ns`."""
        self._cores = CoresClock()
        if self._source is not None:
            self._thread = threading.Thread(target=self._sample, args=(self._source, origin_ns), daemon=True)
            self._thread.start()

    def cores_used(self, generator: Generator, target_is_here: bool) -> CoresUsed | None:
        """Who used the cores of this machine since `begin`; None where it has not begun."""
        if self._cores is None or not generator.wall_s:
            return None
        shares = read_spool(memory_spool(self._folder), MEMORY_ROW)["cpu_share"]
        known = shares[np.isfinite(shares)] if target_is_here else np.zeros(1)
        target = float(known.mean()) if len(known) else None
        own = generator.cpu_s / generator.wall_s
        others = None if target is None else max(0.0, self._cores.busy() - own - target)
        shown = target if target_is_here else None
        return CoresUsed(target=shown, generator=own, others=others, of=self._cores.count)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(_GRACE_S)
        self._closed.set()  # a source that answers later than that is not asked again
        if self._source is not None:
            self._source.close()

    def _sample(self, source: Source, origin_ns: int) -> None:
        with (
            suppress(InputError),
            Spool(memory_spool(self._folder), MEMORY_ROW) as spool,
        ):  # a worker reports a full disk
            is_last = False
            while not is_last:
                is_last = self._over.is_set()
                begun_ns, begun_cpu_s = perf_counter_ns(), time.thread_time()
                if is_last and (self._closed.is_set() or begun_ns - self._last_ns < _SHORTEST_NS):
                    return
                reading = source.read()
                now_ns = perf_counter_ns()
                if reading is not None:
                    spool.append(*self._row(reading, now_ns, origin_ns))
                    spool.flush()
                pause_s = max(EVERY_S, (time.thread_time() - begun_cpu_s) / MOST_SHARE)
                self._over.wait(max(0.0, pause_s - (perf_counter_ns() - begun_ns) / 1e9))

    def _row(self, reading: Reading, now_ns: int, origin_ns: int) -> Iterable[float]:
        """The values of `MEMORY_ROW`, in its order."""
        values = asdict(reading) | {
            "t_ns": now_ns - origin_ns,
            "cpu_share": self._cpu_share(reading, now_ns),
            "ran_ns": _in_ns(reading.cpu_s),
            "waited_ns": _in_ns(reading.waited_s),
        }
        return (values[name] for name in MEMORY_ROW.names or ())

    def _cpu_share(self, reading: Reading, now_ns: int) -> float:
        """CPU seconds per second since the reading before; NaN where they are not known, or are another process's."""
        (last, last_ns), self._last, self._last_ns = (self._last, self._last_ns), reading, now_ns
        if last is None or last.started_s != reading.started_s:
            return math.nan
        return max(reading.cpu_s - last.cpu_s, 0.0) / ((now_ns - last_ns) / 1e9)


def _in_ns(seconds: float) -> int:
    return round(seconds * 1e9) if math.isfinite(seconds) else -1
