"""Processes of the tests: any Python source, and a server of several processes.

Of the server a master forks workers that share its socket, or listen each by itself.

`python -m tests.processes HOST PORT [--workers 3] [--each-listens] [--recycle REQUESTS] [--leak BYTES]` says its port.
"""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
kept: list[bytes] = []


def listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


def work(listener: socket.socket, asked: argparse.Namespace) -> None:
    """Answer until so many requests were answered, then end: what was kept is given back."""
    begun_s, count = time.time(), 0

    def metrics() -> bytes:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        return b"process_resident_memory_bytes %d\nprocess_start_time_seconds %.2f\n" % (pages * 4096, begun_s)

    async def head_of(reader: asyncio.StreamReader) -> bytes:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            return await reader.readuntil(b"\r\n\r\n")
        return b""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while head := await head_of(reader):
            kept.append(b"x" * asked.leak)
            count += 1
            body = metrics() if b" /metrics " in head else b'{"data": 1}'
            writer.write(_HEAD % (b"text/plain" if b" /metrics " in head else b"application/json", len(body), body))
            await writer.drain()
            if asked.recycle and count >= asked.recycle:
                os._exit(0)

    async def serve() -> None:
        async with await asyncio.start_server(answer, sock=listener) as server:
            await server.serve_forever()

    asyncio.run(serve())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for option, value in (("--workers", 3), ("--recycle", 0), ("--leak", 0)):
        parser.add_argument(option, type=int, default=value)
    parser.add_argument("--each-listens", action="store_true")
    asked = parser.parse_args()
    listener = listening(asked.host, asked.port)
    port = listener.getsockname()[1]
    own = asked.each_listens  # the master's socket only holds the port: it never listens
    if not own:
        listener.listen(128)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    alive = 0
    while True:
        while alive < asked.workers:
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                work(listening(asked.host, port) if own else listener, asked)
            alive += 1
        os.wait()
        alive -= 1


@dataclass(frozen=True)
class Preforking:
    """A running server of several processes."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def preforking(*options: str, host: str = "127.0.0.1", port: int = 0) -> Iterator[Preforking]:
    """The server in a process group of its own, which ends with the context."""
    command = [sys.executable, "-m", "tests.processes", host, str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as master:
        try:
            assert master.stdout is not None
            yield Preforking(master.pid, int(master.stdout.readline()))
        finally:
            os.killpg(master.pid, signal.SIGKILL)


@contextmanager
def process(source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process; ended by the end of its stdin, or killed."""
    command = [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def as_unknown_user(folder: Path, *command: str) -> list[str]:
    """The command as a user without a passwd entry, who may read and write all that this one may.

    Every folder above `folder` lets it pass: of its own rights alone `access` tells.

    Skipped where there is no way to be one, or a failure where CI is set.
    """
    folder.chmod(0o755)
    for above in (one for one in folder.parents if not one.stat().st_mode & 0o001):
        above.chmod(0o711)
    may = "+dac_override"  # this Python may lie below /root
    switched = ("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", f"--inh-caps={may}")
    ways = ((*switched, f"--ambient-caps={may}"), ("unshare", "--user", "--map-user=12345"))
    found = [prefix for prefix in ways if shutil.which(prefix[0]) and _works(*prefix, "true")]
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no other user can be had (setpriv, unshare)")
    return [*found[0], *command]


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def said(started: subprocess.Popen[str]) -> str:
    """The next line that it says."""
    assert started.stdout is not None
    return started.stdout.readline().strip()


if __name__ == "__main__":
    main()
