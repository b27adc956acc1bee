"""The target as a process of this machine: found by the port it listens on, read with all its descendants."""

import socket
from contextlib import suppress
from typing import Any

import psutil

from perflib.watch.reading import Reading

_ADDED_UP = ("rss_bytes", "uss_bytes", "pss_bytes", "cpu_s", "open_files", "threads", "processes")


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
            with suppress(psutil.AccessDenied):  # of another user's process only the RSS is known
                full = process.memory_full_info()
                uss_bytes, pss_bytes = full.uss, getattr(full, "pss", -1)
                open_files = process.num_fds()
            cpu_s = times.user + times.system
            return Reading(used.rss, uss_bytes, pss_bytes, cpu_s, open_files, process.num_threads(), 1, process.pid)
    except psutil.Error:  # it ended just now
        return None


def _sum_of(some: list[Reading], root: psutil.Process) -> Reading:
    """All as one; what is not known of one of them is not known of the whole."""

    def total(name: str) -> Any:
        values = [getattr(one, name) for one in some]
        return -1 if min(values) < 0 else sum(values)

    return Reading(**{name: total(name) for name in _ADDED_UP}, pid=root.pid, started_s=root.create_time())


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


def is_this_machine(host: str) -> bool:
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    mine = {address.address for some in psutil.net_if_addrs().values() for address in some}
    return bool(addresses & (mine | {"127.0.0.1", "::1", "0.0.0.0"})) or host.startswith("127.")
