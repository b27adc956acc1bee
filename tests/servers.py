"""Servers of the tests, on real sockets: one follows a script to the byte, one answers fast and counts."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

import uvloop


class Do(Enum):
    """What a script does to its connection besides sending."""

    SPEAK_FIRST = "do not wait for the request of this turn"
    CLOSE = "say goodbye (FIN)"
    RESET = "hang up (RST)"


Action = bytes | float | Do
"""Bytes are sent, a number is a pause in seconds."""
Turn = Sequence[Action]
"""What answers one request."""


def answer(body: bytes = b'{"data": 1}', *headers: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """An answer that tells its length, as JSON unless a header says otherwise."""
    lines = [f"{version} {status}", f"Content-Length: {len(body)}", *headers]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, headers: Sequence[str] = ("Content-Type: application/json",)) -> bytes:
    """An answer in chunks."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]).encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@dataclass
class Served:
    """A running server, and what it has seen so far."""

    url: str
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    """Of each request its bytes."""
    waiting: int = 0
    most_at_once: int = 0
    """The largest number of delayed answers that were due together."""


@contextmanager
def scripted(
    *connections: Sequence[Turn],
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    nagle: bool = False,
) -> Iterator[Served]:
    """A server that plays one script a connection, the last one again for all later connections.

    When a script is over, its connection stays open until the client closes it. `nagle`: without TCP_NODELAY.
    """
    listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    served = Served(_url(host, listener.getsockname()[1], "https" if tls else "http"))
    ending = threading.Event()
    threads = [threading.Thread(target=_accept, args=(listener, served, connections, tls, nagle, ending), daemon=True)]
    threads[0].start()
    try:
        yield served
    finally:
        ending.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        threads[0].join(5)
        listener.close()


def _accept(
    listener: socket.socket,
    served: Served,
    scripts: Sequence[Sequence[Turn]],
    tls: ssl.SSLContext | None,
    nagle: bool,
    ending: threading.Event,
) -> None:
    players = []
    with contextlib.suppress(OSError):
        while not ending.is_set():
            plain, _ = listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not nagle)
            script = scripts[min(served.connections, len(scripts) - 1)]
            served.connections += 1
            player = threading.Thread(target=_serve_one, args=(plain, tls, script, served, ending), daemon=True)
            player.start()
            players.append(player)
    for player in players:
        player.join(5)


def _serve_one(
    plain: socket.socket, tls: ssl.SSLContext | None, script: Sequence[Turn], served: Served, ending: threading.Event
) -> None:
    with plain, contextlib.suppress(OSError):
        plain.settimeout(10)
        with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            connection.settimeout(10)
            if _play(connection, script, served, ending):
                while connection.recv(65536):
                    pass


def _play(connection: socket.socket, script: Sequence[Turn], served: Served, ending: threading.Event) -> bool:
    """Play a script; True if the connection stays open."""
    for turn in script:
        if Do.SPEAK_FIRST not in turn:
            served.requests.append(_read_request(connection))
        for action in turn:
            if isinstance(action, bytes):
                connection.sendall(action)
            elif isinstance(action, float):
                ending.wait(action)
            elif action is Do.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if action in (Do.CLOSE, Do.RESET):
                return False
    return True


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request or len(request) < _length_of(request):
        more = connection.recv(65536)
        if not more:
            raise ConnectionResetError("the client has gone")
        request += more
    return request


def _length_of(request: bytes) -> int:
    head, _, _ = request.partition(b"\r\n\r\n")
    said = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + 4 + (int(said[0]) if said else 0)


Answers = bytes | Callable[[str], bytes | tuple[float, bytes]]
"""The answer to everything, or to a path; a delay in seconds may come with it."""


@contextmanager
def answering(answers: Answers) -> Iterator[Served]:
    """A fast keep-alive server; `requests` holds of each request its path."""
    loop = uvloop.new_event_loop()
    open_transports: set[asyncio.Transport] = set()
    server = loop.run_until_complete(
        loop.create_server(lambda: _Answerer(answers, served, loop, open_transports), "127.0.0.1", 0)
    )
    served = Served(_url("127.0.0.1", server.sockets[0].getsockname()[1]))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        server.close()
        for transport in list(open_transports):
            transport.abort()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


class _Answerer(asyncio.Protocol):
    def __init__(
        self, answers: Answers, served: Served, loop: asyncio.AbstractEventLoop, transports: set[asyncio.Transport]
    ) -> None:
        self._answers, self._served, self._loop, self._transports = answers, served, loop, transports
        served.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        path = data.split(b" ", 2)[1].decode()
        self._served.requests.append(path)
        said = self._answers(path) if callable(self._answers) else self._answers
        delay_s, content = said if isinstance(said, tuple) else (0.0, said)
        if not delay_s:
            self._transport.write(content)
            return
        self._served.waiting += 1
        self._served.most_at_once = max(self._served.most_at_once, self._served.waiting)
        self._loop.call_later(delay_s, self._late, content)

    def _late(self, content: bytes) -> None:
        self._served.waiting -= 1
        if not self._transport.is_closing():
            self._transport.write(content)


@contextmanager
def full_backlog(port: int = 0) -> Iterator[Served]:
    """A server that never accepts, its queue full: a connection attempt gets no reply."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield Served(_url("127.0.0.1", listener.getsockname()[1]))


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return _url("127.0.0.1", listener.getsockname()[1])


def _url(host: str, port: int, scheme: str = "http") -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
