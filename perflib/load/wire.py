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

from perflib.load.connecting import NOT_TLS, Closable, Fault, dial, fault_of, interleaved
from perflib.load.keep_alive import KeepAlive
from perflib.load.lenient import LenientParser, RefusedError
from perflib.load.request import WireRequest, looked_up, parsed
from perflib.spec import InputError
from perflib.store.authorities import tls_context

MAX_ANSWER_BYTES = 16 * 2**20
"""Of one answer: each virtual user may hold one, and all of them are to fit into memory."""
MAX_BESIDE_BODY_BYTES = 2**20
"""Of an answer's head, its trailer and the interim answers before it, in reads that bring no body."""
_JUST_NS = 50_000_000
"""A kept connection that ends so soon after a request, and two round trips, was ended before that request came."""


@dataclass
class Address:
    """Where the target listens, and what is learnt of it; `hosts` are tried in this order."""

    hosts: tuple[str, ...]
    port: int
    server_name: str | None
    tls: ssl.SSLContext | None
    keep_alive: KeepAlive = field(default_factory=KeepAlive)

    def prefer(self, host: str) -> None:
        """Try this one first from now on: no later connection waits for one that does not answer."""
        self.hosts = (host, *(other for other in self.hosts if other != host))


@dataclass(slots=True)
class Exchange:
    """A request and its answer. Times are `perf_counter_ns`; -1: never happened."""

    start_ns: int
    first_byte_ns: int = -1
    end_ns: int = -1
    connect_ns: int = 0
    """Of opening a connection, TLS included; 0: one was used again."""
    tls_ns: int = 0
    """Of it, the TLS handshake."""
    read_late_ns: int = -1
    """How long the last byte had been on this machine before it was read; -1: the kernel did not say."""
    send_ns: int = 0
    """Of handing the request to the kernel."""
    status: int = 0
    error: str | None = None
    reason: str = ""
    """What was odd, in a few words, where the kind of error and the status do not say it."""
    retried: bool = False
    cold: bool = False
    received: int = 0
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)

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
        hosts=interleaved(list(dict.fromkeys(str(entry[4][0]) for entry in found))),
        port=port,
        server_name=url.raw_host.decode().partition("%")[0].rstrip(".") if secure else None,
        tls=tls_context() if secure else None,
    )


class Connection:
    """A virtual user's connection: opened when needed, kept alive, opened again when the server closed it."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_ns = int(timeout_s * 1e9)
        self._round_trip_ns = 0
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
        exchange = self._exchange = Exchange(perf_counter_ns())
        channel = self._channel
        if channel is not None and not channel.closed and (request.idempotent or not self._gives_up(channel)):
            channel.send(request.data, exchange, self._over_or_again, request.asks_head)
            return
        if channel is not None and channel.ended_ns:
            self._address.keep_alive.ended(channel.ended_ns - channel.idle_since_ns, channel.answers)
        self._attempt = asyncio.create_task(self._send_on_new(exchange))

    def _gives_up(self, channel: "_Channel") -> bool:
        """Hang up what the server is about to end: this request must not be sent twice."""
        may_end = self._address.keep_alive.may_end(perf_counter_ns() - channel.idle_since_ns, channel.answers)
        if may_end:
            channel.close()
        return may_end

    def _over_or_again(self, exchange: Exchange) -> None:
        """Send an idempotent request once more if a kept connection ended without a byte of an answer.

        A server may close an idle connection just as the next request goes out (RFC 9112, 9.3.1).
        """
        channel = self._channel
        if exchange.error != "reset" or exchange.first_byte_ns >= 0 or channel is None:
            self._over(exchange)
            return
        self._address.keep_alive.ended(exchange.start_ns - channel.idle_since_ns, channel.answers)
        if self._request.idempotent:
            exchange.error, exchange.reason, exchange.end_ns, exchange.retried = None, "", -1, True
            self._attempt = asyncio.create_task(self._send_on_new(exchange))
            return
        if exchange.end_ns - exchange.start_ns < _JUST_NS + 2 * self._round_trip_ns:
            idle_s = (exchange.start_ns - channel.idle_since_ns) / 1e9
            exchange.error = "closed_idle"
            exchange.reason = f"the server ended the connection, idle for {idle_s:.1f} s, as this request went out"
        self._over(exchange)

    def _over(self, exchange: Exchange) -> None:
        self._exchange = None
        self._answered(exchange)

    async def _send_on_new(self, exchange: Exchange) -> None:
        await self._open(exchange)
        if exchange.error is None and self._channel is not None:
            self._channel.send(self._request.data, exchange, self._over, self._request.asks_head)
        else:
            self._over(exchange)

    async def _open(self, exchange: Exchange) -> None:
        if self._abandoned:
            exchange.error = "in_flight"
            return
        begun_ns = perf_counter_ns()
        left_s = (exchange.start_ns + self._timeout_ns - begun_ns) / 1e9
        fault = None
        try:
            async with asyncio.timeout(left_s) as self._opening:
                self._channel = await self._opened(exchange)
        except TimeoutError:
            fault = Fault("connect", f"no connection within {self._timeout_ns / 1e9:g} s")
        except OSError as error:
            fault = fault_of(error, "connect")
        finally:
            self._opening = None
        exchange.connect_ns += perf_counter_ns() - begun_ns
        if fault is not None and exchange.error is None:
            exchange.error, exchange.reason, exchange.end_ns = fault.kind, fault.reason, perf_counter_ns()

    async def _opened(self, exchange: Exchange) -> "_Channel":
        at = self._address
        begun_ns = perf_counter_ns()
        dialled = await dial(at.hosts, at.port, _Channel)
        dialled_ns = perf_counter_ns()
        self._round_trip_ns = dialled_ns - begun_ns
        if dialled.host != at.hosts[0]:
            at.prefer(dialled.host)
        if at.tls is not None:
            await dialled.channel.shake_hands(at.tls, at.server_name)
            exchange.tls_ns += perf_counter_ns() - dialled_ns
        return dialled.channel

    def expire(self, now_ns: int) -> None:
        """Give the request under way up if its time is over."""
        exchange = self._exchange
        if exchange is not None and now_ns - exchange.start_ns > self._timeout_ns and self._channel is not None:
            self._channel.give_up("timeout")

    def abandon(self) -> None:
        """Give the request under way up because the run is over: it stays unanswered, and no other is sent."""
        self._abandoned = True
        if self._exchange is not None and self._opening is not None:
            self._exchange.error = "in_flight"
            if not self._opening.expired():
                self._opening.reschedule(0)
        elif self._channel is not None:
            self._channel.give_up("in_flight")

    def close(self) -> None:
        """Hang up; what is under way is forgotten."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self._channel is not None:
            self._channel.close()


class _Channel(asyncio.Protocol, Closable):
    """One TCP or TLS connection and its parser."""

    def __init__(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self.on_header = self._headers.__setitem__
        self.on_body = self._body.append
        self._parser: Any = httptools.HttpResponseParser(self)
        self._lenient: LenientParser | None = None
        """The same, for an answer that llhttp cannot read."""
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        """The exchange under way."""
        self._over: Callable[[Exchange], None]
        self._head_complete = False
        self._whole = 0
        """Answers to the request under way."""
        self._early: list[bytes] = []
        """The reads of an unfinished answer before the first that brought some of its body."""
        self._pieces = self._beside_body = 0
        self._keep = self._spoke_unasked = False
        self.answers = 0
        """So many came over this connection, the last one at `idle_since_ns`."""
        self.idle_since_ns = self.ended_ns = 0
        """`ended_ns`: when the server ended it without a request under way; 0: it did not."""
        self.closed = False

    def send(self, data: bytes, exchange: Exchange, over: Callable[[Exchange], None], asks_head: bool = False) -> None:
        """Send a request; `over` is called with the exchange once it is complete or has failed."""
        self._headers.clear()
        self._body.clear()
        self._head_complete = False
        self._whole = 0
        exchange.headers, exchange.body = self._headers, self._body
        self._exchange, self._over = exchange, over
        if self.closed:
            self.fail("reset", "closed before the request")
            return
        if asks_head or self._lenient is not None:
            self._lenient = LenientParser(self, asks_head=True) if asks_head else None
            self._parser = self._lenient or httptools.HttpResponseParser(self)
        self._transport.write(data)

    def fail(self, kind: str, reason: str = "") -> None:
        """End the request under way as a failure, and the connection with it."""
        exchange = self._exchange
        self.close()
        if exchange is not None:
            exchange.error, exchange.reason = kind, reason
            exchange.end_ns = -1 if kind == "in_flight" else perf_counter_ns()
            self._body.clear()
            self._over(exchange)

    def give_up(self, kind: str) -> None:
        """Wait no longer for the answer under way."""
        if self._exchange is not None:
            self.fail(kind, f"given up {self._progress(self._exchange)}")

    def close(self) -> None:
        """End the connection; what is under way is forgotten."""
        self._exchange = None
        self.closed = True
        self._parser = self._lenient = None  # it refers back to this channel: both would wait for the garbage collector
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def shake_hands(self, tls: ssl.SSLContext, server_name: str | None) -> None:
        """Go on in TLS. Raises OSError."""
        loop, plain = asyncio.get_running_loop(), self._transport
        if self._spoke_unasked:  # a server of TLS waits for the client
            raise OSError(NOT_TLS, "")
        try:
            if self.closed:
                raise ConnectionResetError
            secured = await loop.start_tls(plain, self, tls, server_hostname=server_name)
        except BaseException as problem:
            plain.abort()
            raise (ConnectionResetError() if isinstance(problem, ConnectionError) else problem) from None
        if secured is None:
            raise ConnectionResetError
        self._transport = secured

    def data_received(self, data: bytes) -> None:
        now_ns = perf_counter_ns()
        exchange = self._exchange
        if exchange is None:
            self._spoke_unasked = True
            self.close()
            return
        if exchange.first_byte_ns < 0:
            exchange.first_byte_ns = now_ns
        exchange.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as refused:
            if not self._read_leniently(data, exchange, str(refused)):
                return
        if exchange.received > MAX_ANSWER_BYTES:
            self.fail("protocol", f"an answer of more than {MAX_ANSWER_BYTES / 2**20:g} MiB")
        elif self._whole == 1:
            self._complete(exchange, now_ns)
        elif self._whole:
            self.fail("protocol", "a second answer to one request")
        elif self._beside_body_after(data, exchange) > MAX_BESIDE_BODY_BYTES:
            self.fail("protocol", f"a head of more than {MAX_BESIDE_BODY_BYTES / 2**20:g} MiB")
        elif self._is_without_content() and self._read_leniently(b"", exchange, ""):
            self._complete(exchange, now_ns)

    def _beside_body_after(self, data: bytes, exchange: Exchange) -> int:
        """The bytes of an unfinished answer in reads without body: joining a header that never ends is quadratic."""
        if exchange.received == len(data):
            self._early.clear()
            self._pieces = self._beside_body = 0
        if not self._body:
            self._early.append(data)
        if len(self._body) == self._pieces:
            self._beside_body += len(data)
        self._pieces = len(self._body)
        return self._beside_body

    def _is_without_content(self) -> bool:
        """Whether this is a Reset Content without a length, of which llhttp awaits more (RFC 9110, 15.3.6)."""
        reset = self._lenient is None and self._head_complete and self._parser.get_status_code() == 205
        return reset and _ends_with_connection(self._headers)

    def _read_leniently(self, data: bytes, exchange: Exchange, why: str) -> bool:
        """Read an answer again that llhttp cannot read; where that fails too, or its begin is gone, it has failed."""
        early = [] if exchange.received == len(data) else self._early
        begin = b"".join([*early, data])
        try:
            if self._lenient is not None or len(begin) < exchange.received:
                raise RefusedError(why)
            self._headers.clear()
            self._body.clear()
            self._head_complete, self._whole = False, 0
            self._parser = self._lenient = LenientParser(self, asks_head=False)
            self._lenient.feed_data(begin)
        except RefusedError as refused:
            self.fail("protocol", str(refused))
            return False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        exchange = self._exchange
        if exchange is None:
            self.ended_ns = perf_counter_ns() if self.answers else 0
        elif exc is None and self._head_complete and self._ends_with_connection():
            self._complete(exchange, perf_counter_ns())
        else:
            fault = fault_of(exc, "reset") if isinstance(exc, OSError) else Fault("reset", "closed")
            self.fail(fault.kind, f"{fault.reason} {self._progress(exchange)}")

    def _ends_with_connection(self) -> bool:
        lenient = self._lenient
        return _ends_with_connection(self._headers) if lenient is None else lenient.ends_with_connection

    def _progress(self, exchange: Exchange) -> str:
        """How far the answer has come."""
        if exchange.first_byte_ns < 0:
            return "before an answer"
        if not self._head_complete:
            return "within the head of the answer"
        told = exchange.header(b"content-length")
        of = f" of {int(told):,}" if told is not None and told.isdigit() else ""
        return f"after {sum(map(len, self._body)):,}{of} bytes"

    def on_headers_complete(self) -> None:
        self._head_complete = True

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._headers.clear()
            self._head_complete = False
        else:
            self._whole += 1
            self._keep = self._parser.should_keep_alive()

    def _complete(self, exchange: Exchange, now_ns: int) -> None:
        exchange.status = self._parser.get_status_code()
        exchange.end_ns = self.idle_since_ns = now_ns
        self.answers += 1
        self._exchange = None
        if not self._keep:
            self.close()
        self._over(exchange)


def _ends_with_connection(headers: Mapping[bytes, bytes]) -> bool:
    """True for an answer without a length of its own (RFC 9112, 6.3): the end of the connection is its end."""
    own = {name.lower(): value.lower() for name, value in headers.items()}
    return not own.get(b"transfer-encoding", b"").endswith(b"chunked") and (
        b"transfer-encoding" in own or b"content-length" not in own
    )
