"""The channel: one request after the other over a connection, answers read by llhttp.

HTTP/1.1 per RFC 9112.
"""

import math
import ssl
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

import httptools

from perflib.load.connecting import Fault, fault_of
from perflib.load.cookies import LINES
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange
from perflib.load.lenient import LenientParser, RefusedError
from perflib.load.stream import Stream
from perflib.spec.undriven import STREAMS

MAX_BESIDE_BODY_BYTES = 2**20
"""Of an answer's head, its trailer and the interim answers before it, in reads that bring no body."""


class Channel:
    """A connection and its parser."""

    def __init__(self, stream: Stream, *, most_answers: float = math.inf, keeps_cookies: bool = False) -> None:
        self._stream, self._most_answers = stream, most_answers
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self.on_header = self._keep_header if keeps_cookies else self._headers.__setitem__
        self.on_body = self._body.append
        self._parser: Any = httptools.HttpResponseParser(self)
        self._lenient: LenientParser | None = None
        """The same, for an answer that llhttp cannot read."""
        self._exchange: Exchange | None = None
        """The exchange under way."""
        self._over: Callable[[Exchange], None]
        self._head_complete = False
        self._whole = 0
        """Answers to the request under way."""
        self._early: list[bytes] = []
        """The reads of an unfinished answer before the first that brought some of its body."""
        self._pieces = self._beside_body = 0
        self._keep = False
        self.answers = 0
        """So many came over this connection, the last one at `idle_since_ns`."""
        self.idle_since_ns = self.ended_ns = 0
        """`ended_ns`: when the server ended it without a request under way; 0: it did not."""
        self.closed = False
        stream.read_into(self)

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
        exchange.send_ns = self._stream.send(data)

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
            self.fail(kind, f"{self._endless}given up {self._progress(self._exchange)}")

    @property
    def _endless(self) -> str:
        """What the answer under way is, where it may be one that never ends; empty: it should."""
        told = self._exchange.header(b"content-type") if self._exchange and self._head_complete else None
        media_type = (told or b"").partition(b";")[0].strip().lower().decode("latin-1")
        return f"never ends: {media_type}, " if media_type in STREAMS else ""

    def close(self) -> None:
        """End the connection; what is under way is forgotten."""
        self._exchange = None
        self.closed = True
        self._parser = self._lenient = None  # it refers back to this channel: both would wait for the garbage collector
        self._stream.close()

    def received(self, data: bytes, now_ns: int, arrived_ns: int) -> bool:
        """A piece of an answer, read at `now_ns`; `arrived_ns` -1: when it arrived is not known.

        Returns:
            Whether the answer lacks more.
        """
        exchange = self._exchange
        if exchange is None:
            self.close()
            return False
        late_ns = now_ns - arrived_ns if arrived_ns >= exchange.start_ns else -1
        if exchange.first_byte_ns < 0:
            exchange.first_byte_ns = now_ns - max(late_ns, 0)
        exchange.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as refused:
            if not self._read_leniently(data, exchange, str(refused)):
                return False
        if exchange.received > MAX_ANSWER_BYTES:
            self.fail("protocol", f"{self._endless}an answer of more than {MAX_ANSWER_BYTES / 2**20:g} MiB")
        elif self._whole == 1:
            self._complete(exchange, now_ns, late_ns)
        elif self._whole:
            self.fail("protocol", "a second answer to one request")
        elif self._beside_body_after(data, exchange) > MAX_BESIDE_BODY_BYTES:
            self.fail("protocol", f"a head of more than {MAX_BESIDE_BODY_BYTES / 2**20:g} MiB")
        elif self._is_without_content() and self._read_leniently(b"", exchange, ""):
            self._complete(exchange, now_ns, late_ns)
        return self._exchange is exchange

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

    def ended(self, problem: OSError | None) -> None:
        """The server ended the connection, or this went wrong."""
        exchange = self._exchange
        if exchange is None:
            self.ended_ns = perf_counter_ns() if self.answers else 0
            self.close()
        elif problem is None and self._head_complete and self._ends_with_connection():
            self._complete(exchange, perf_counter_ns(), -1)
        else:
            fault = Fault("reset", "closed") if problem is None else fault_of(problem, "reset")
            if isinstance(problem, ssl.SSLError) and not self.answers and exchange.first_byte_ns < 0:
                self.fail("connect", fault.reason)  # by TLS 1.3 a server refuses a client once its handshake is over
            else:
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

    def _keep_header(self, name: bytes, value: bytes) -> None:
        """Each Set-Cookie counts: no other header may stand on several lines that cannot be joined (RFC 9110, 5.3)."""
        if name.lower() == b"set-cookie":
            name, earlier = b"set-cookie", self._headers.get(b"set-cookie")
            value = value if earlier is None else earlier + LINES + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._head_complete = True

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._headers.clear()
            self._head_complete = False
        else:
            self._whole += 1
            self._keep = self._parser.should_keep_alive()

    def _complete(self, exchange: Exchange, now_ns: int, late_ns: int) -> None:
        exchange.status = self._parser.get_status_code()
        exchange.read_late_ns = late_ns
        exchange.end_ns = self.idle_since_ns = now_ns - max(late_ns, 0)
        self.answers += 1
        self._exchange = None
        if not self._keep or self.answers >= self._most_answers:
            self.close()
        self._over(exchange)


def _ends_with_connection(headers: Mapping[bytes, bytes]) -> bool:
    """True for an answer without a length of its own (RFC 9112, 6.3): the end of the connection is its end."""
    own = {name.lower(): value.lower() for name, value in headers.items()}
    return not own.get(b"transfer-encoding", b"").endswith(b"chunked") and (
        b"transfer-encoding" in own or b"content-length" not in own
    )
