"""The target's memory: one sample per second of its process tree, or of what it exports about itself.

In a thread of the orchestrating process, never of a worker: a sample of a process with some hundred MB takes the kernel
a millisecond or two, which must not land in a latency.
"""

import math
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter_ns
from urllib.parse import urlsplit

import psutil

from perflib.spec import InputError, Target
from perflib.spec.run import MemorySource
from perflib.store.spool import MEMORY_ROW, Spool, memory_spool
from perflib.watch.process import ProcessTree, is_this_machine, listener_on
from perflib.watch.prometheus import PrometheusText
from perflib.watch.reading import Source

EVERY_S = 1.0


@dataclass(frozen=True)
class Found:
    """Where a run's memory samples come from; `source` None where they cannot be had, which `about` explains."""

    source: Source | None
    about: MemorySource


def find(target: Target, pid: int | None) -> Found:
    """The target's memory: by the given process, its own metrics, or the process that listens on its port here."""
    if pid is not None:
        if not psutil.pid_exists(pid):
            return _nowhere(f"there is no process {pid}; mend --pid")
        return _found_process(pid, None)
    if target.metrics_url is not None:
        return _found_metrics(target.metrics_url)
    parts = urlsplit(target.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not is_this_machine(parts.hostname or ""):
        return _nowhere("the target is not on this machine; give metrics_url in the target file (Prometheus text)")
    listening = listener_on(port)
    if listening is None:
        mend = "name it with --pid, or give metrics_url in the target file"
        return _nowhere(f"the process that listens on port {port} cannot be seen from here; {mend}")
    return _found_process(listening, port)


def _nowhere(why: str) -> Found:
    return Found(None, MemorySource(told=why))


def _found_process(pid: int, port: int | None) -> Found:
    try:
        name = psutil.Process(pid).name()
        if name == "docker-proxy":
            return _nowhere("the target runs in a container; name its process with --pid")
        how = f"process {pid} ({name})" + ("" if port is None else f", which listens on port {port}")
        return Found(ProcessTree(pid, port), MemorySource(kind="process", pid=pid, told=how))
    except psutil.Error:
        return _nowhere(f"process {pid} cannot be read; run as its user")


def _found_metrics(url: str) -> Found:
    source = PrometheusText(url)
    if source.read() is None:
        source.close()
        return _nowhere(f"{url} tells no process_resident_memory_bytes; mend metrics_url in the target file")
    return Found(source, MemorySource(kind="prometheus", told=f"process_resident_memory_bytes of {url}"))


class Sampler(AbstractContextManager["Sampler"]):
    """Samples a source into a run's folder, once per second from `begin` until the end of the context."""

    def __init__(self, source: Source | None, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, origin_ns: int) -> None:
        """Sample from now on; times count from `origin_ns`."""
        if self._source is not None:
            self._thread = threading.Thread(target=self._sample, args=(self._source, origin_ns), daemon=True)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._source is not None:
            self._source.close()

    def _sample(self, source: Source, origin_ns: int) -> None:
        last_ns, last_cpu_s, due_ns = origin_ns, math.nan, perf_counter_ns()
        with (
            suppress(InputError),
            Spool(memory_spool(self._folder), MEMORY_ROW) as spool,
        ):  # a worker reports a full disk
            while not self._over.is_set():
                reading = source.read()
                now_ns = perf_counter_ns()
                if reading is not None:
                    cpu_share = max(0.0, (reading.cpu_s - last_cpu_s) / ((now_ns - last_ns) / 1e9))
                    row = asdict(reading) | {"t_ns": now_ns - origin_ns, "cpu_share": cpu_share}
                    spool.append(*(row[name] for name in MEMORY_ROW.names or ()))
                    spool.flush()
                    last_ns, last_cpu_s = now_ns, reading.cpu_s
                due_ns += int(EVERY_S * 1e9)
                self._over.wait(max(0.0, (due_ns - perf_counter_ns()) / 1e9))
