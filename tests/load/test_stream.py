"""The stream: what is sent arrives whole, however little the kernel takes at once; so does what is received."""

import asyncio
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from perflib.load.exchange import Exchange
from perflib.load.request import WireRequest
from perflib.load.wire import Connection, resolve
from tests.load.test_connecting import certificate
from tests.load.test_wire import body_of, exchange_over, target_of
from tests.servers import answer

BODY = b"0123456789abcdef" * 2**18
"""4 MiB: more than the kernel takes at once."""
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@contextmanager
def serving(talk: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that has one connection."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            plain = listening.accept()[0]
            with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://localhost:{listening.getsockname()[1]}"
    finally:
        listening.close()
        thread.join()


def read_slowly(connection: socket.socket) -> None:
    """Let the client wait, then tell what came."""
    time.sleep(0.2)
    came = b""
    while len(came) < len(POST):
        came += connection.recv(2**20)
    connection.sendall(answer(hashlib.sha256(came).hexdigest().encode()))


def refuse_in_pieces(connection: socket.socket) -> None:
    """Answer before the body was read, in pieces, and reset the connection."""
    connection.recv(1000)
    whole = answer(b"x" * 30_000, status="413 Content Too Large")
    connection.sendall(whole[:100])
    time.sleep(0.05)
    connection.sendall(whole[100:])


async def posted(url: str) -> Exchange:
    address = await resolve(target_of(url))
    address.hosts = ("127.0.0.1",)
    connection = Connection(address, 10)
    try:
        return await exchange_over(connection, WireRequest(POST, idempotent=False))
    finally:
        connection.close()


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_a_body_larger_than_the_kernel_takes_at_once_arrives_whole(
    loop: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secured: bool
) -> None:
    tls = certificate(tmp_path) if secured else None
    if secured:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with serving(read_slowly, tls) as url:
        exchange = loop.run(posted(url))
    assert (exchange.error, body_of(exchange)) == (None, hashlib.sha256(POST).hexdigest().encode())
    assert exchange.send_ns < exchange.end_ns - exchange.start_ns


def test_an_answer_before_a_reset_is_read_to_its_end(loop: asyncio.Runner) -> None:
    with serving(refuse_in_pieces) as url:
        exchange = loop.run(posted(url))
    assert (exchange.error, exchange.status, len(body_of(exchange))) == (None, 413, 30_000)
