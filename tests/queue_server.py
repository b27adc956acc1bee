"""A real server of known capacity: an M/M/c queue on loopback.

    python tests/queue_server.py PLACES SERVICE_PER_S [--broken-above PER_S]

When each request would leave the queue is computed as it arrives; it is answered then. So timers, which are late by up
to a millisecond, delay an answer and take nothing from the capacity.
"""

import argparse
import asyncio
import heapq
import random
from collections import deque

_HEAD = b"HTTP/1.1 %s\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


class Queue:
    """When who leaves."""

    def __init__(self, places: int, service_per_s: float, broken_above_per_s: float, seed: int) -> None:
        self._free_s, self._service_per_s = [0.0] * places, service_per_s
        self._broken_above_per_s, self._last_s = broken_above_per_s, deque[float]()
        self._draw = random.Random(seed)

    def leaves_s(self, now_s: float) -> float:
        """Of a request that arrives now."""
        left_s = max(now_s, heapq.heappop(self._free_s)) + self._draw.expovariate(self._service_per_s)
        heapq.heappush(self._free_s, left_s)
        return left_s

    def is_broken(self, now_s: float) -> bool:
        """Whether more requests than it bears came within the last second."""
        self._last_s.append(now_s)
        while self._last_s[0] < now_s - 1:
            self._last_s.popleft()
        return len(self._last_s) > self._broken_above_per_s


class Answering(asyncio.Protocol):
    """A connection."""

    def __init__(self, queue: Queue) -> None:
        self._queue, self._loop = queue, asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now_s = self._loop.time()
        if self._queue.is_broken(now_s):
            self._transport.write(_HEAD % b"503 Service Unavailable")
        else:
            self._loop.call_at(self._queue.leaves_s(now_s), self._transport.write, _HEAD % b"200 OK")


async def _serve(queue: Queue) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Answering(queue), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


def main() -> None:
    """Serve until ended; the first line on stdout is the URL."""
    parser = argparse.ArgumentParser()
    parser.add_argument("places", type=int)
    parser.add_argument("service_per_s", type=float)
    parser.add_argument("--broken-above", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(_serve(Queue(given.places, given.service_per_s, given.broken_above, given.seed)))


if __name__ == "__main__":
    main()
