"""A server that misbehaves in every way, each under a path of its own. `python -m tests.faults` prints what becomes.

It lives in its own process, as a target does: the generator's times, memory and descriptors are the generator's alone.
"""

import asyncio
import contextlib
import multiprocessing
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, cycle
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import uvloop

from perflib.figures.summary import Accounting, summarize
from perflib.spec import Closed, Endpoint, Expect
from tests.load.test_worker import Driven, facts_of
from tests.servers import Action, Do, Turn, answer, chunked

USERS = 20
DURATION_S = 0.8
PATIENT_S = 5.0
"""A time-out that leaves any machine the time to reach a cap."""
SOUND_S = 0.05
"""How long the sound endpoint takes."""

OK = answer(b'{"data": 1}')
CLOSING = answer(b'{"data": 1}', "Connection: close")
MANY_HEADERS = [f"X-Filler-{number}: {'x' * 1000}" for number in range(1024)]
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TRAILER = b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: "
MUCH = b"x" * 65536


@dataclass(frozen=True)
class Fault:
    """What the server does when asked for it, and which kind of error that is; None where it is a fine answer."""

    name: str
    kind: str | None
    turn: Turn
    then_forever: Turn = ()
    timeout_s: float = 0.4

    @property
    def path(self) -> str:
        return "/" + self.name.replace(" ", "-").replace(",", "")

    def actions(self) -> Iterator[Action]:
        return chain(self.turn, cycle(self.then_forever))


SOUND = Fault("sound", None, (SOUND_S, OK))
HEALTHY = Fault("healthy", None, (OK,))
FLOOD = Fault("a flood of body", "protocol", (HEAD + b"\r\n",), (MUCH * 4,), PATIENT_S)
"""It keeps both sides from anything else: the times of other endpoints are not the generator's doing."""
FAULTS = (
    Fault("resets before the head", "reset", (Do.RESET,)),
    Fault("closes before the head", "reset", (Do.CLOSE,)),
    Fault("resets within the head", "reset", (OK[:20], 0.02, Do.RESET)),
    Fault("resets after the head", "reset", (OK[:-11], 0.02, Do.RESET)),
    Fault("resets after the answer", None, (OK, Do.RESET)),
    Fault("stalls before the head", "timeout", (30.0,)),
    Fault("stalls within the body", "timeout", (OK[:-3], 30.0)),
    Fault("drips a byte a second", "timeout", tuple(chain.from_iterable((bytes([byte]), 1.0) for byte in OK))),
    Fault("truncates the body", "reset", (OK[:-3], Do.CLOSE)),
    Fault("says more than it sends", "timeout", (OK.replace(b"Length: 11", b"Length: 99"),)),
    Fault("says less than it sends", "protocol", (OK.replace(b"Length: 11", b"Length: 9"),)),
    Fault("malformed chunks", "protocol", (chunked(b'{"data": 1}').replace(b"\r\nb\r\n", b"\r\nzz\r\n"),)),
    Fault("1 MB of headers", None, (answer(b'{"data": 1}', *MANY_HEADERS),)),
    Fault("endless headers", "protocol", (HEAD,), (b"X: " + MUCH + b"\r\n", 0.005), PATIENT_S),
    Fault("an endless header", "protocol", (HEAD + b"X: ",), (MUCH, 0.005), PATIENT_S),
    Fault("an endless trailer", "protocol", (HEAD + TRAILER,), (MUCH, 0.005), PATIENT_S),
    Fault("an endless body", "timeout", (HEAD + b"\r\n",), (MUCH, 0.02)),
    FLOOD,
    Fault("garbage", "protocol", (bytes(range(256)),)),
    Fault("interim answers first", None, (INTERIM, 0.01, OK)),
    Fault("endless interim answers", "timeout", (), (INTERIM, 0.02)),
    Fault("an answer of HTTP 0.9", "protocol", (b"<p>Welcome to 1991</p>", Do.CLOSE)),
    Fault("closes each connection, as it says", None, (CLOSING, Do.CLOSE)),
    Fault("closes each connection, unsaid", None, (OK, Do.CLOSE)),
    Fault("answers 500", "status", (answer(status="500 Internal Server Error"),)),
    Fault("answers 503 and closes", "status", (answer(b"", "Connection: close", status="503 Busy"), Do.CLOSE)),
    Fault("answers 429, retry after 1 s", "status", (answer(b"{}", "Retry-After: 1", status="429 Too Many Requests"),)),
    Fault("redirects to itself", "status", (answer(b"", "Location: redirects-to-itself", status="302 Found"),)),
)
_BY_PATH = {fault.path: fault for fault in (SOUND, HEALTHY, *FAULTS)}


class FaultServer:
    """The server's process, and what may be asked of it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.url: str = self._pipe.recv()

    def take_counts(self) -> Counter[str]:
        """Of each path the requests since the last call."""
        self._pipe.send("counts")
        counts: Counter[str] = self._pipe.recv()
        return counts

    def die(self) -> None:
        """Hang up everywhere, and refuse connections until `come_back`."""
        self._pipe.send("die")
        self._pipe.recv()

    def come_back(self) -> None:
        self._pipe.send("come back")
        self._pipe.recv()

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()


@contextmanager
def misbehaving() -> Iterator[FaultServer]:
    server = FaultServer()
    try:
        yield server
    finally:
        server.end()


def _serve(pipe: Connection) -> None:
    with contextlib.suppress(EOFError):
        uvloop.run(_Misbehaviour().obey(pipe))


class _Misbehaviour:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._open: set[asyncio.StreamWriter] = set()

    async def obey(self, pipe: Connection) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1000)
        port = server.sockets[0].getsockname()[1]
        pipe.send(f"http://127.0.0.1:{port}")
        while True:
            command = await asyncio.to_thread(pipe.recv)
            if command == "die":
                server.close()
                for writer in self._open:
                    writer.transport.abort()
            elif command == "come back":
                server = await asyncio.start_server(self._answer, "127.0.0.1", port, backlog=1000)
            pipe.send(self._counts)
            self._counts.clear()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            keep = True
            while keep:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
                self._counts[path] += 1
                keep = await _play(_BY_PATH[path], writer)
        self._open.remove(writer)
        writer.close()


async def _play(fault: Fault, writer: asyncio.StreamWriter) -> bool:
    """Play a fault; True if the connection stays open."""
    for action in fault.actions():
        if writer.is_closing():
            return False
        if isinstance(action, bytes):
            writer.write(action)
            await writer.drain()
            await asyncio.sleep(0)
        elif isinstance(action, float):
            await asyncio.sleep(action)
        elif action is Do.RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if action in (Do.CLOSE, Do.RESET):
            return False
    return True


@dataclass(frozen=True)
class Outcome:
    """What became of a run in which every user asks for the sound endpoint and for a fault in turns."""

    took_s: float
    accounts: Accounting
    fault_kinds: Counter[str]
    sound_kinds: Counter[str]
    sound_p50_ms: float
    retries: int
    seen: Counter[str]
    """Of each path the requests that reached the server."""
    most_bytes: int
    """Of one answer."""
    growth_bytes: int
    """Of this process at its largest."""
    left_open: int
    """Descriptors."""


def outcome_of(fault: Fault, server: FaultServer, folder: Path) -> Outcome:
    """Drive a run from this process. The first one also pays for what Python loads late: it is no measure."""
    expect = Expect(content_type="application/json", keys=("data",))
    sound, faulty = (Endpoint(path=some.path, expect=expect) for some in (SOUND, fault))
    workload, timeout_s = Closed(users=USERS), fault.timeout_s
    facts = facts_of(server.url, (sound, faulty), workload=workload, timeout_s=timeout_s, duration_s=DURATION_S)
    server.take_counts()
    descriptors, resident_bytes = _descriptors(), _fresh_peak_bytes()
    begun_s = time.monotonic()
    driven = Driven(folder, facts)
    took_s, grown_bytes = time.monotonic() - begun_s, _peak_bytes() - resident_bytes
    summary, rows = summarize(driven.folder.load()), driven.requests
    return Outcome(
        took_s=took_s,
        accounts=summary.requests,
        fault_kinds=kinds_of(rows[rows["endpoint"] == faulty.name]),
        sound_kinds=kinds_of(rows[rows["endpoint"] == sound.name]),
        sound_p50_ms=summary.endpoints[0].p50_ms or float("inf"),
        retries=driven.outcome.generator.retries,
        seen=server.take_counts(),
        most_bytes=int(rows["bytes"].max()),
        growth_bytes=grown_bytes,
        left_open=_descriptors() - descriptors,
    )


def kinds_of(rows: pd.DataFrame) -> Counter[str]:
    """The kinds of errors, "fine" for the successes."""
    return Counter(rows["error"].astype(object).fillna("fine"))


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _fresh_peak_bytes() -> int:
    """Forget the largest resident size so far: it starts again from the present one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _peak_bytes()


def _peak_bytes() -> int:
    [line] = [
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def main() -> None:
    """A table: faults and outcomes."""
    say = sys.stdout.write
    say("| fault | outcomes | /sound | p50 ms | retried | ended after s | memory +MB | left open |\n")
    say("|---|---|---|--:|--:|--:|--:|--:|\n")
    with tempfile.TemporaryDirectory() as folder, misbehaving() as server:
        for number, fault in enumerate((HEALTHY, HEALTHY, *FAULTS)):
            of = outcome_of(fault, server, Path(folder, str(number)))
            if number:
                kinds, growth_mb = _in_words(of.fault_kinds), of.growth_bytes / 2**20
                say(
                    f"| {fault.name} | {kinds} | {_in_words(of.sound_kinds)} | {of.sound_p50_ms:.1f}"
                    f" | {of.retries} | {of.took_s:.2f} | {growth_mb:.0f} | {of.left_open} |\n"
                )
                sys.stdout.flush()


def _in_words(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


if __name__ == "__main__":
    main()
