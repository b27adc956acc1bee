"""A server of known latency: it delays every answer by a seeded draw, and keeps the delay that it really served.

    python tests/benchmarks/known_latency.py --port 0 --shape lognormal

Truth is by this server's own clock, from a request's last byte read to its answer handed to the kernel, so that
timers of 1 ms resolution do no harm. It does not see the moments that a request waited in the kernel while this
process answered another; keep its CPU share well below 1 (`cpu_s` and `wall_s` of `GET /truth`).
`GET /truth` answers the figures of the window since the last `GET /truth?reset=1`, which also begins the draws anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import random
import sys
from array import array
from time import perf_counter_ns, process_time
from typing import TYPE_CHECKING, cast

import numpy as np
import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._from_ns, self._cpu_from_s = perf_counter_ns(), process_time()

    def next_delay_s(self) -> float:
        return self._delay_s(self._draw)

    def served(self, read_ns: int, answered_ns: int) -> None:
        if read_ns >= self._from_ns:
            self._served_ns.append(answered_ns - read_ns)

    def as_json(self) -> dict[str, float | None]:
        """Percentiles by perflib's own rule (inverted_cdf), in milliseconds."""
        served = np.array(self._served_ns)
        cuts = np.percentile(served, [50, 95, 99], method="inverted_cdf") / 1e6 if len(served) else [None] * 3
        return {
            **dict(zip(("p50_ms", "p95_ms", "p99_ms"), cuts, strict=True)),
            "count": len(served),
            "cpu_s": process_time() - self._cpu_from_s,
            "wall_s": (perf_counter_ns() - self._from_ns) / 1e9,
        }


class Answering(asyncio.Protocol):
    """One connection; requests have no body."""

    def __init__(self, truth: Truth) -> None:
        self._truth, self._loop = truth, asyncio.get_running_loop()
        self._unread = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        read_ns = perf_counter_ns()
        *heads, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/truth"):
                self._tell(reset=b"reset=1" in path)
            else:
                self._loop.call_later(self._truth.next_delay_s(), self._answer, read_ns)

    def _answer(self, read_ns: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._truth.answer)
        self._truth.served(read_ns, perf_counter_ns())
        if self._truth.closes:
            self._transport.close()

    def _tell(self, *, reset: bool) -> None:
        body = json.dumps(self._truth.as_json()).encode()
        if reset:
            self._truth.reset()
        self._transport.write(_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def serve(port: int, truth: Truth) -> None:
    """Answer on 127.0.0.1 until ended; the first line on stdout names the address."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(truth), "127.0.0.1", port, backlog=1024)
    gc.freeze()
    print(f"serving on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


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
