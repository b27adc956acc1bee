"""A server that does nothing, to measure the instrument by. `python -m perflib.load.null_server` prints its URL.

It ends when its stdin does.
"""

import asyncio
import sys
from typing import cast

from perflib.load.event_loop import new_event_loop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class _Null(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._tail = (self._tail + data).split(b"\r\n\r\n")
        if requests:
            self._transport.write(_ANSWER * len(requests))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Null, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)  # noqa: T201 - tells the one who started it
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve())
