"""Memory of the target: one sample a second of its process tree, or of what it exports about itself.

In a thread of the orchestrating process, never of a worker: a sample of a process with some hundred MB takes the kernel
a millisecond or two, which must not land in a latency.
"""

from __future__ import annotations

import math
import socket
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from perflib.spec import InputError
from perflib.spec.run import MemorySource
from perflib.store.spool import MEMORY_ROW, Spool, memory_spool

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from perflib.spec import Target

EVERY_S = 1.0
_PROMETHEUS = {
    "process_resident_memory_bytes": "rss_bytes",
    "process_open_fds": "open_files",
    "process_cpu_seconds_total": "cpu_s",
    "process_start_time_seconds": "started_s",
}


@dataclass(frozen=True)
class Reading:
    """The target's processes at one moment; NaN or -1: not told. `cpu_s` counts from their start."""

    rss_bytes: int
    uss_bytes: int
    pss_bytes: int
    cpu_s: float
    open_files: int
    threads: int
    processes: int
    pid: int
    started_s: float


class Source(Protocol):
    """Where readings come from."""

    def read(self) -> Reading | None:
        """A reading; None where there is none at this moment."""

    def close(self) -> None:
        """Give back what the source holds open."""


class ProcessTree:
    """A process of this machine with all its descendants.

    Where it was found by its port it is looked for again once it is gone: a target may restart.
    """

    def __init__(self, pid: int, port: int | None = None) -> None:
        self._root, self._port = psutil.Process(pid), port

    def read(self) -> Reading | None:
        if _is_gone(self._root):
            found = None if self._port is None else listener_on(self._port)
            if found is None:
                return None
            self._root = psutil.Process(found)
        with suppress(psutil.Error):
            members = [self._root, *self._root.children(recursive=True)]
            found_of = [reading for reading in map(_read_process, members) if reading is not None]
            return _sum_of(found_of, self._root) if found_of else None
        return None

    def close(self) -> None:
        """Nothing is held."""


def _is_gone(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _read_process(process: psutil.Process) -> Reading | None:
    try:
        with process.oneshot():
            used, times = process.memory_info(), process.cpu_times()
            uss_bytes = pss_bytes = open_files = -1
            with suppress(psutil.AccessDenied):  # another user's process tells its RSS, and no more
                full = process.memory_full_info()
                uss_bytes, pss_bytes = full.uss, getattr(full, "pss", -1)
                open_files = process.num_fds()
            cpu_s = times.user + times.system
            return Reading(
                used.rss, uss_bytes, pss_bytes, cpu_s, open_files, process.num_threads(), 1, process.pid, 0.0
            )
    except psutil.Error:  # it ended just now
        return None


def _sum_of(some: list[Reading], root: psutil.Process) -> Reading:
    def total(values: list[int]) -> int:
        return -1 if min(values) < 0 else sum(values)

    return Reading(
        rss_bytes=sum(one.rss_bytes for one in some),
        uss_bytes=total([one.uss_bytes for one in some]),
        pss_bytes=total([one.pss_bytes for one in some]),
        cpu_s=sum(one.cpu_s for one in some),
        open_files=total([one.open_files for one in some]),
        threads=sum(one.threads for one in some),
        processes=len(some),
        pid=root.pid,
        started_s=root.create_time(),
    )


class PrometheusText:
    """What a process exports of itself in Prometheus' text format; several of one name are added up."""

    def __init__(self, url: str) -> None:
        self._client, self._url = httpx.Client(timeout=EVERY_S), url

    def read(self) -> Reading | None:
        try:
            answer = self._client.get(self._url).raise_for_status()
            told: dict[str, float] = {}
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    if sample.name in _PROMETHEUS:
                        name = _PROMETHEUS[sample.name]
                        told[name] = told.get(name, 0.0) + sample.value
        except (httpx.HTTPError, ValueError):
            return None
        if "rss_bytes" not in told:
            return None
        return Reading(
            rss_bytes=int(told["rss_bytes"]),
            uss_bytes=-1,
            pss_bytes=-1,
            cpu_s=told.get("cpu_s", math.nan),
            open_files=int(told.get("open_files", -1)),
            threads=-1,
            processes=-1,
            pid=-1,
            started_s=told.get("started_s", 0.0),
        )

    def close(self) -> None:
        self._client.close()


@dataclass(frozen=True)
class Found:
    """Where a run's memory samples come from; `source` None where they cannot be had, which `about` explains."""

    source: Source | None
    about: MemorySource


def find(target: Target, pid: int | None) -> Found:
    """The target's memory: by the given process, its own metrics, or the process that listens on its port here."""
    if pid is not None:
        if not psutil.pid_exists(pid):
            return Found(None, MemorySource(told=f"there is no process {pid}; mend --pid"))
        return _found_process(pid, None)
    if target.metrics_url is not None:
        return _found_metrics(target.metrics_url)
    parts = urlsplit(target.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not _is_this_machine(parts.hostname or ""):
        mend = "give metrics_url in the target file (Prometheus text)"
        return Found(None, MemorySource(told=f"the target is not on this machine; {mend}"))
    listening = listener_on(port)
    if listening is None:
        mend = "name it with --pid, or give metrics_url in the target file"
        return Found(
            None, MemorySource(told=f"the process that listens on port {port} cannot be seen from here; {mend}")
        )
    return _found_process(listening, port)


def _found_process(pid: int, port: int | None) -> Found:
    try:
        name = psutil.Process(pid).name()
        if name == "docker-proxy":
            return Found(None, MemorySource(told="the target runs in a container; name its process with --pid"))
        told = f"process {pid} ({name})" + ("" if port is None else f", which listens on port {port}")
        return Found(ProcessTree(pid, port), MemorySource(kind="process", pid=pid, told=told))
    except psutil.Error:
        return Found(None, MemorySource(told=f"process {pid} cannot be read; run as its user"))


def _found_metrics(url: str) -> Found:
    source = PrometheusText(url)
    if source.read() is None:
        source.close()
        mend = "mend metrics_url in the target file"
        return Found(None, MemorySource(told=f"{url} tells no process_resident_memory_bytes; {mend}"))
    return Found(source, MemorySource(kind="prometheus", told=f"process_resident_memory_bytes of {url}"))


def listener_on(port: int) -> int | None:
    """The process that listens on a port of this machine; of several, the one that the others descend from."""
    with suppress(psutil.Error):
        listening = {
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid
        }
        return next((pid for pid in sorted(listening) if psutil.Process(pid).ppid() not in listening), None)
    return None


def _is_this_machine(host: str) -> bool:
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    mine = {address.address for some in psutil.net_if_addrs().values() for address in some}
    return bool(addresses & (mine | {"127.0.0.1", "::1", "0.0.0.0"})) or host.startswith("127.")


class Sampler(AbstractContextManager["Sampler"]):
    """Samples a source into a run's folder, once a second from `begin` until the end of the context."""

    def __init__(self, source: Source | None, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, origin_ns: int) -> None:
        """Sample from now on; times count from `origin_ns`."""
        if self._source is not None:
            self._thread = threading.Thread(target=self._sample, args=(self._source, origin_ns), daemon=True)
            self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        ):  # a worker tells of a full disk
            while not self._over.is_set():
                reading = source.read()
                now_ns = perf_counter_ns()
                if reading is not None:
                    cpu_share = max(0.0, (reading.cpu_s - last_cpu_s) / ((now_ns - last_ns) / 1e9))
                    spool.append(
                        now_ns - origin_ns,
                        reading.rss_bytes,
                        reading.uss_bytes,
                        reading.pss_bytes,
                        cpu_share,
                        reading.open_files,
                        reading.threads,
                        reading.processes,
                        reading.pid,
                        reading.started_s,
                    )
                    spool.flush()
                    last_ns, last_cpu_s = now_ns, reading.cpu_s
                due_ns += int(EVERY_S * 1e9)
                self._over.wait(max(0.0, (due_ns - perf_counter_ns()) / 1e9))
