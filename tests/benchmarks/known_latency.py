"""A server of known latency: it delays every answer by a seeded draw, and keeps the delay that it really served.

    python tests/benchmarks/known_latency.py --port 0 --shape lognormal

Truth is by this machine's kernel, from the arrival of a request's last byte to its answer handed over, so that timers
of 1 ms resolution do no harm, and what a request waited while this process answered another counts as served.
`GET /truth` answers the figures of the window since the last `GET /truth?reset=1`, which also begins the draws anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import random
import socket
import struct
import sys
from array import array
from time import process_time, time_ns
from typing import TYPE_CHECKING

import numpy as np
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

_SO_TIMESTAMPNS = 35
"""Of Linux's asm-generic/socket.h; the socket module does not name it."""

_BODY = b'{"status":"ok","data":[1,2,3]}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_LENGTH = b"Content-Length: %d\r\n" % len(_BODY)

DELAYS_S: dict[str, Callable[[random.Random], float]] = {
    "lognormal": lambda draw: draw.lognormvariate(math.log(0.020), 0.5),
    "bimodal": lambda draw: (0.120 if draw.random() < 0.10 else 0.008) * draw.lognormvariate(0, 0.05),
    "heavy": lambda draw: min(2.0, 0.005 * draw.paretovariate(1.5)),
}
"""Shapes of delay. `bimodal`: nine in ten around 8 ms, the others around 120. `heavy`: Pareto from 5 ms to 2 s."""

ANSWERS = {
    "length": _HEAD + _LENGTH + b"\r\n" + _BODY,
    "chunked": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY),
    "close": _HEAD + _LENGTH + b"Connection: close\r\n\r\n" + _BODY,
}
"""How an answer is framed; `close` ends the connection after each."""


class Truth:
    """The delays served since the last reset."""

    def __init__(self, shape: str, framing: str, seed: int) -> None:
        self._delay_s, self._seed = DELAYS_S[shape], seed
        self.answer, self.closes = ANSWERS[framing], framing == "close"
        self.reset()

    def reset(self) -> None:
        self._draw = random.Random(self._seed)
        self._served_ns = array("q")
        self._from_ns, self._cpu_from_s = time_ns(), process_time()

    def next_delay_s(self) -> float:
        return self._delay_s(self._draw)

    def served(self, arrived_ns: int, answered_ns: int) -> None:
        if arrived_ns >= self._from_ns:
            self._served_ns.append(answered_ns - arrived_ns)

    def as_json(self) -> dict[str, float | None]:
        """Percentiles by perflib's own rule (inverted_cdf), in milliseconds."""
        served = np.array(self._served_ns)
        cuts = np.percentile(served, [50, 95, 99], method="inverted_cdf") / 1e6 if len(served) else [None] * 3
        return {
            **dict(zip(("p50_ms", "p95_ms", "p99_ms"), cuts, strict=True)),
            "count": len(served),
            "cpu_s": process_time() - self._cpu_from_s,
            "wall_s": (time_ns() - self._from_ns) / 1e9,
        }


class Answering:
    """One connection; requests have no body."""

    def __init__(self, sock: socket.socket, truth: Truth) -> None:
        self._socket, self._truth, self._loop = sock, truth, asyncio.get_running_loop()
        self._unread = b""
        self._loop.add_reader(sock, self._read)

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(65_536, 64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        seconds, rest_ns = struct.unpack("qq", ancillary[0][2])
        *heads, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/truth"):
                self._tell(reset=b"reset=1" in path)
            else:
                self._loop.call_later(self._truth.next_delay_s(), self._answer, seconds * 1_000_000_000 + rest_ns)

    def _answer(self, arrived_ns: int) -> None:
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.sendall(self._truth.answer)
        except OSError:
            self._close()
            return
        self._truth.served(arrived_ns, time_ns())
        if self._truth.closes:
            self._close()

    def _tell(self, *, reset: bool) -> None:
        body = json.dumps(self._truth.as_json()).encode()
        if reset:
            self._truth.reset()
        self._socket.sendall(_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def _close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


async def serve(port: int, truth: Truth) -> None:
    """Answer on 127.0.0.1 until ended; the first line on stdout names the address."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)  # connections inherit it
    listener.setblocking(False)
    gc.freeze()
    print(f"serving on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Answering(connection, truth)


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A server of known latency.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--shape", choices=DELAYS_S, default="lognormal")
    parser.add_argument("--framing", choices=ANSWERS, default="length")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        uvloop.run(serve(given.port, Truth(given.shape, given.framing, given.seed)))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
