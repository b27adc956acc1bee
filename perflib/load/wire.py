"""The wire: one connection per virtual user.

The end of a request is when its last byte had reached this machine, by the kernel's clock, however late it was read.
By the same clock a connection is open when the server accepted it: what it waits here, before it is begun and once it
is open, moves the start of its first request.
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns

from perflib.load.channel import Channel
from perflib.load.connecting import Fault, dial, dial_socket, fault_of, interleaved
from perflib.load.exchange import Exchange
from perflib.load.keep_alive import KeepAlive
from perflib.load.kernel_clock import KernelClock
from perflib.load.request import WireRequest, looked_up, parsed
from perflib.load.stream import Stream
from perflib.spec import InputError, Target
from perflib.store.authorities import tls_context
from perflib.store.named_files import socket_of

_JUST_NS = 50_000_000
"""A kept connection that ends so soon after a request, and two round trips, was ended before that request came."""


@dataclass
class Address:
    """Where the target listens, and what all connections to it share; `hosts` are tried in this order."""

    hosts: tuple[str, ...]
    port: int
    server_name: str | None
    tls: ssl.SSLContext | None
    keep_alive: KeepAlive = field(default_factory=KeepAlive)
    clock: KernelClock = field(default_factory=KernelClock)
    unix_socket: str = ""
    """Where it listens instead of all hosts."""
    reconnect_every: float = math.inf
    keeps_cookies: bool = False

    def prefer(self, host: str) -> None:
        """Try this one first from now on: no later connection waits for one that does not answer."""
        self.hosts = (host, *(other for other in self.hosts if other != host))


async def resolve(target: Target, clock: KernelClock | None = None) -> Address:
    """Look the target's host up, once per run.

    Raises:
        InputError: where it has no address, or a file of its TLS cannot be used.
    """
    url = parsed(target.base_url)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    own_name = url.raw_host.decode().partition("%")[0].rstrip(".")
    return Address(
        hosts=() if target.unix_socket else await _addresses(target.base_url, looked_up(url), port),
        port=port,
        server_name=target.tls.server_name or own_name if secure else None,
        tls=tls_context(target.tls, target.folder) if secure else None,
        clock=clock or KernelClock(),
        unix_socket=str(socket_of(target)) if target.unix_socket else "",
        reconnect_every=target.reconnect_every or math.inf,
    )


async def _addresses(base_url: str, host: str, port: int) -> tuple[str, ...]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"base_url {base_url}: host {host!r} has no address ({error}); mend it or use --url") from None
    return interleaved(list(dict.fromkeys(str(entry[4][0]) for entry in found)))


class Connection:
    """A virtual user's connection: opened when needed, kept alive, opened again when the server closed it."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_ns = self._usual_timeout_ns = int(timeout_s * 1e9)
        self._round_trip_ns = 0
        self._channel: Channel | None = None
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
        self._timeout_ns = request.timeout_ns or self._usual_timeout_ns
        exchange = self._exchange = Exchange(perf_counter_ns())
        channel = self._channel
        if channel is not None and not channel.closed and (request.idempotent or not self._gives_up(channel)):
            channel.send(request.data, exchange, self._over_or_again, request.asks_head)
            return
        if channel is not None and channel.ended_ns:
            self._address.keep_alive.ended(channel.ended_ns - channel.idle_since_ns, channel.answers)
        self._attempt = asyncio.create_task(self._send_on_new(exchange))

    def _gives_up(self, channel: Channel) -> bool:
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
        if not exchange.retried:
            exchange.start_ns = begun_ns
        late_from_ns = exchange.start_ns
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
        exchange.connect_ns += perf_counter_ns() - begun_ns - (exchange.start_ns - late_from_ns)
        if fault is not None and exchange.error is None:
            exchange.error, exchange.reason, exchange.end_ns = fault.kind, fault.reason, perf_counter_ns()

    async def _opened(self, exchange: Exchange) -> Channel:
        at = self._address
        begun_ns = perf_counter_ns()
        dialled = await (dial_socket(at.unix_socket) if at.unix_socket else dial(at.hosts, at.port))
        dialled_ns = perf_counter_ns()
        self._round_trip_ns = dialled.established_ns - begun_ns
        exchange.start_ns += dialled_ns - dialled.established_ns
        if dialled.host and dialled.host != at.hosts[0]:
            at.prefer(dialled.host)
        stream = Stream(dialled.socket, at.clock)
        if at.tls is not None:
            late_ns = await stream.shake_hands(at.tls, at.server_name)
            exchange.tls_ns += perf_counter_ns() - dialled_ns - late_ns
            exchange.start_ns += late_ns
        return Channel(stream, most_answers=at.reconnect_every, keeps_cookies=at.keeps_cookies)

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
