"""The wire: one connection per virtual user, answers read by llhttp.

HTTP/1.1 per RFC 9112. One clock reading as a request is sent, one as each piece of the answer arrives: the end of a
request is when its last byte was there, before any work of ours.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter_ns
from typing import Any, cast

import httptools

from perflib.load.request import WireRequest, looked_up, parsed
from perflib.spec import InputError
from perflib.store.authorities import tls_context

MAX_ANSWER_BYTES = 16 * 2**20
"""Of one answer: each virtual user may hold one, and all of them are to fit into memory."""
MAX_BESIDE_BODY_BYTES = 2**20
"""Of an answer's head, its trailer and the interim answers before it, in reads that bring no body."""


@dataclass(frozen=True)
class Address:
    """Where the target listens; `hosts` are tried in this order."""

    hosts: tuple[str, ...]
    port: int
    server_name: str | None
    tls: ssl.SSLContext | None


@dataclass(slots=True)
class Exchange:
    """A request and its answer. Times are `perf_counter_ns`; -1: never happened."""

    start_ns: int
    first_byte_ns: int = -1
    end_ns: int = -1
    connect_ns: int = 0
    status: int = 0
    error: str | None = None
    reason: str = ""
    """What was odd, in a few words, where the kind of error and the status do not say it."""
    retried: bool = False
    cold: bool = False
    received: int = 0
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)
    asks_head: bool = False

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, its name given in lower case."""
        key = _spelling(name, tuple(self.headers))
        return None if key is None else self.headers[key]


@lru_cache(256)
def _spelling(name: bytes, keys: tuple[bytes, ...]) -> bytes | None:
    """How a server spells a header, or that it sends none: looked for once, as it always sends the same ones."""
    return next((key for key in keys if key.lower() == name), None)


async def resolve(base_url: str) -> Address:
    """Look the target's host up, once per run.

    Raises:
        InputError: where it has no address.
    """
    url = parsed(base_url)
    host, secure = looked_up(url), url.scheme == "https"
    port = url.port or (443 if secure else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"base_url {base_url}: host {host!r} has no address ({error}); mend it or use --url") from None
    return Address(
        hosts=tuple(dict.fromkeys(str(entry[4][0]) for entry in found)),
        port=port,
        server_name=url.raw_host.decode().partition("%")[0].rstrip(".") if secure else None,
        tls=tls_context() if secure else None,
    )


class Connection:
    """A virtual user's connection: opened when needed, kept alive, opened again when the server closed it."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_ns = int(timeout_s * 1e9)
        self._channel: _Channel | None = None
        self._opening: asyncio.Timeout | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._request: WireRequest
        self._answered: Callable[[Exchange], None]
        self._exchange: Exchange | None = None
        self._abandoned = False

    def send(self, request: WireRequest, answered: Callable[[Exchange], None]) -> None:
        """Send a request, one at a time; its exchange goes to `answered` once it is over, never before this returns.

        A call, not a coroutine: waking a task would cost as much as all the rest. Failures are in the exchange. Its
        headers and body are good until the next request.
        """
        self._request, self._answered = request, answered
        exchange = self._exchange = Exchange(perf_counter_ns(), asks_head=request.asks_head)
        channel = self._channel
        if channel is None or channel.closed:
            self._attempt = asyncio.create_task(self._send_on_new(exchange))
        else:
            channel.send(request.data, exchange, self._over_or_again)

    def _over_or_again(self, exchange: Exchange) -> None:
        """Send an idempotent request once more if a kept connection ended without a byte of an answer.

        A server may close an idle connection just as the next request goes out (RFC 9112, 9.3.1).
        """
        if exchange.error == "reset" and exchange.first_byte_ns < 0 and self._request.idempotent:
            exchange.error, exchange.end_ns, exchange.retried = None, -1, True
            self._attempt = asyncio.create_task(self._send_on_new(exchange))
        else:
            self._over(exchange)

    def _over(self, exchange: Exchange) -> None:
        self._exchange = None
        self._answered(exchange)

    async def _send_on_new(self, exchange: Exchange) -> None:
        await self._open(exchange)
        if exchange.error is None and self._channel is not None:
            self._channel.send(self._request.data, exchange, self._over)
        else:
            self._over(exchange)

    async def _open(self, exchange: Exchange) -> None:
        if self._abandoned:
            exchange.error = "in_flight"
            return
        begun_ns = perf_counter_ns()
        left_s = (exchange.start_ns + self._timeout_ns - begun_ns) / 1e9
        try:
            async with asyncio.timeout(left_s) as self._opening:
                self._channel = await self._open_any()
        except TimeoutError:
            exchange.error = exchange.error or "connect"
        except OSError:
            exchange.error = "connect"
        finally:
            self._opening = None
        exchange.connect_ns += perf_counter_ns() - begun_ns
        if exchange.error == "connect":
            exchange.end_ns = perf_counter_ns()

    async def _open_any(self) -> "_Channel":
        problem: OSError | None = None
        at, loop = self._address, asyncio.get_running_loop()
        for host in at.hosts:
            try:
                opening = loop.create_connection(_Channel, host, at.port, ssl=at.tls, server_hostname=at.server_name)
                return (await opening)[1]
            except OSError as error:
                problem = error
        raise problem or OSError("no address")

    def expire(self, now_ns: int) -> None:
        """Give the request under way up if its time is over."""
        exchange = self._exchange
        if exchange is not None and now_ns - exchange.start_ns > self._timeout_ns and self._channel is not None:
            self._channel.fail("timeout")

    def abandon(self) -> None:
        """Give the request under way up because the run is over: it stays unanswered, and no other is sent."""
        self._abandoned = True
        if self._exchange is not None and self._opening is not None:
            self._exchange.error = "in_flight"
            if not self._opening.expired():
                self._opening.reschedule(0)
        elif self._channel is not None:
            self._channel.fail("in_flight")

    def close(self) -> None:
        """Hang up; what is under way is forgotten."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self._channel is not None:
            self._channel.close()


class _Channel(asyncio.Protocol):
    """One TCP or TLS connection and its parser."""

    def __init__(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        """The exchange under way."""
        self._over: Callable[[Exchange], None]
        self._head_complete = False
        self._answers = 0
        self._pieces = self._beside_body = 0
        self._keep = False
        self.closed = False

    def send(self, data: bytes, exchange: Exchange, over: Callable[[Exchange], None]) -> None:
        """Send a request; `over` is called with the exchange once it is complete or has failed."""
        self._headers.clear()
        self._body.clear()
        self._head_complete = False
        self._answers = 0
        exchange.headers, exchange.body = self._headers, self._body
        self._exchange, self._over = exchange, over
        if self.closed:
            self.fail("reset")
        else:
            self._transport.write(data)

    def fail(self, kind: str) -> None:
        """End the request under way as a failure, and the connection with it."""
        exchange = self._exchange
        self.close()
        if exchange is not None:
            exchange.error = kind
            exchange.end_ns = -1 if kind == "in_flight" else perf_counter_ns()
            self._body.clear()
            self._over(exchange)

    def close(self) -> None:
        """End the connection; what is under way is forgotten."""
        self._exchange = None
        self.closed = True
        self._parser = None  # it refers back to this channel: both would wait for the garbage collector
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        now_ns = perf_counter_ns()
        exchange = self._exchange
        if exchange is None:
            self.close()
            return
        if exchange.first_byte_ns < 0:
            exchange.first_byte_ns = now_ns
        exchange.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail("protocol")
            return
        if exchange.received > MAX_ANSWER_BYTES or self._answers > 1:
            self.fail("protocol")
        elif self._answers:
            self._complete(exchange, now_ns)
        elif self._beside_body_after(len(data), exchange) > MAX_BESIDE_BODY_BYTES:
            self.fail("protocol")

    def _beside_body_after(self, read_bytes: int, exchange: Exchange) -> int:
        """The bytes of an unfinished answer in reads without body: joining a header that never ends is quadratic."""
        if exchange.received == read_bytes:
            self._pieces = self._beside_body = 0
        if len(self._body) == self._pieces:
            self._beside_body += read_bytes
        self._pieces = len(self._body)
        return self._beside_body

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        exchange = self._exchange
        if exchange is None:
            return
        if exc is None and self._head_complete and _ends_with_connection(self._headers):
            self._complete(exchange, perf_counter_ns())
        else:
            self.fail("reset")

    def on_headers_complete(self) -> None:
        self._head_complete = True
        exchange = self._exchange
        if exchange is not None and exchange.asks_head and self._parser.get_status_code() >= 200:
            self._answers += 1
            said = (exchange.header(b"connection") or b"").lower()
            self._keep = b"close" not in said and (self._parser.get_http_version() == "1.1" or b"keep-alive" in said)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._headers.clear()
            self._head_complete = False
        elif self._exchange is None or not self._exchange.asks_head:
            self._answers += 1
            self._keep = self._parser.should_keep_alive()

    def _complete(self, exchange: Exchange, now_ns: int) -> None:
        exchange.status = self._parser.get_status_code()
        exchange.end_ns = now_ns
        self._exchange = None
        if not self._keep:
            self.close()
        elif exchange.asks_head:  # the parser waits for the body that a GET would have got
            self._parser = httptools.HttpResponseParser(self)
        self._over(exchange)


def _ends_with_connection(headers: Mapping[bytes, bytes]) -> bool:
    """True for an answer without a length of its own (RFC 9112, 6.3): the end of the connection is its end."""
    return not any(name.lower() in (b"content-length", b"transfer-encoding") for name in headers)
