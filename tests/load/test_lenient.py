"""The lenient parser: what curl, Go's net/http or browsers read is read, what nobody reads says why."""

from collections.abc import Sequence

import httptools
import pytest

from perflib.load import channel as reading
from perflib.load.channel import Channel
from perflib.load.exchange import Exchange
from perflib.load.lenient import LenientParser, RefusedError
from perflib.spec.undriven import HTTP_2, WEBSOCKET
from tests.load.test_wire import Silent, feed, outcome

J = b'{"data": 1}'
LENGTH = b"Content-Length: 11"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"b\r\n" + J + b"\r\n0\r\n\r\n"


def head(*fields: bytes, body: bytes = J, status: bytes = b"HTTP/1.1 200 OK", end: bytes = b"\r\n") -> bytes:
    return end.join([status, *fields, b"", b""]) + body


PECULIAR = {
    "bare LF": head(LENGTH, end=b"\n"),
    "bare LF in the status line alone": head(LENGTH).replace(b"OK\r\n", b"OK\n"),
    "bare LF at the end of the head alone": head(LENGTH).replace(b"11\r\n\r\n", b"11\n\n"),
    "bare LF in chunks": head(CHUNKED, body=CHUNKS.replace(b"\r\n", b"\n"), end=b"\n"),
    "bare LF in chunks, the head with CRLF": head(CHUNKED, body=CHUNKS.replace(b"\r\n", b"\n")),
    "the same length twice": head(LENGTH, LENGTH),
    "the same length as a list": head(b"Content-Length: 11, 11"),
    "the same length, spelled in two ways": head(LENGTH, b"content-length:011"),
    "a length with a plus": head(b"Content-Length: +11"),
    "a length and chunks": head(LENGTH, CHUNKED, body=CHUNKS),
    "chunks and another length": head(CHUNKED, b"Content-Length: 5", body=CHUNKS),
    "a coding named identity and a length": head(b"Transfer-Encoding: identity", LENGTH),
    "a folded field": head(b"X-A: 1", b"  2", LENGTH),
    "a field folded before its value": head(b"X-A:", b"\t2", LENGTH),
    "a folded length": head(b"Content-Length:", b" 11"),
    "a fold before the first field": head(b" X-A: 1", LENGTH),
    "white space before a colon": head(b"X-A : 1", LENGTH),
    "white space before the colon of a length": head(b"Content-Length : 11"),
    "a field without a name": head(b": 1", LENGTH),
    "a field without a colon": head(b"garbage", LENGTH),
    "a space in a name": head(b"X A: 1", LENGTH),
    "a name with an at sign": head(b"X@A: 1", LENGTH),
    "a name in UTF-8": head("X-Ü: 1".encode(), LENGTH),
    "a control character in a value": head(b"X-A: a\x01b", LENGTH),
    "a bare CR in a value": head(b"X-A: a\rb", LENGTH),
    "two spaces in the status line": head(LENGTH, status=b"HTTP/1.1  200 OK"),
    "a colon behind the status": head(LENGTH, status=b"HTTP/1.1 200: OK"),
    "a version of tomorrow": head(LENGTH, status=b"HTTP/1.2 200 OK"),
    "a version in lower case": head(LENGTH, status=b"http/1.1 200 OK"),
    "HTTP/2 by name": head(LENGTH, status=b"HTTP/2 200"),
    "an interim answer that says close": b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + head(LENGTH),
    "chunk extensions with spaces": head(CHUNKED, body=b'b ; a = "c d"\r\n' + J + b"\r\n0\r\n\r\n"),
    "spaces behind a chunk's size": head(CHUNKED, body=b"b   \r\n" + J + b"\r\n0 \r\n\r\n"),
}
USUAL = {
    "no reason phrase": head(LENGTH, status=b"HTTP/1.1 200"),
    "a reason phrase that is no ASCII": head(LENGTH, status="HTTP/1.1 200 Größe".encode()),
    "an empty line first": b"\r\n" + head(LENGTH),
    "white space around a value": head(b"Content-Length:  \t11 \t"),
    "an empty value": head(b"X-A:", LENGTH),
    "a value in Latin-1": head(b"X-A: M\xfcller", LENGTH),
    "trailers": head(CHUNKED, body=CHUNKS[:-2] + b"X-Sum: 1\r\n\r\n"),
    "leading zeros in a chunk's size": head(CHUNKED, body=b"000" + CHUNKS),
    "a list of connection options": head(b"Connection: foo, Keep-Alive", LENGTH),
    "interim answers": b"HTTP/1.1 102 Go\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + head(LENGTH),
    "two thousand fields": head(*[b"X-%d: 1" % number for number in range(2000)], LENGTH),
}


def is_read_as(whole: bytes, body: bytes = J) -> None:
    for pieces in ([whole], [whole[:20], whole[20:]], [bytes([byte]) for byte in whole]):
        exchange, closed = feed(pieces)
        assert (exchange.status, exchange.error, b"".join(exchange.body)) == (200, None, body), exchange.reason
        assert not closed


@pytest.mark.parametrize("whole", PECULIAR.values(), ids=PECULIAR)
def test_a_peculiar_answer_that_others_read_is_read(whole: bytes) -> None:
    is_read_as(whole)


@pytest.mark.parametrize("whole", USUAL.values(), ids=USUAL)
def test_a_usual_answer_is_read(whole: bytes) -> None:
    is_read_as(whole)


@pytest.mark.parametrize("whole", (PECULIAR | USUAL).values(), ids=PECULIAR | USUAL)
def test_both_parsers_agree_where_both_read(whole: bytes) -> None:
    """The lenient one is to be no second opinion."""

    class Kept:
        def __init__(self) -> None:
            self.headers: dict[bytes, bytes] = {}
            self.body = b""
            self.whole = False

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers[name.lower()] = value.strip()

        def on_headers_complete(self) -> None: ...

        def on_body(self, piece: bytes) -> None:
            self.body += piece

        def on_message_complete(self) -> None:
            self.whole = True

    lenient, strict = Kept(), Kept()
    parser = LenientParser(lenient, asks_head=False)
    parser.feed_data(whole)
    try:
        httptools.HttpResponseParser(strict).feed_data(whole)
    except httptools.HttpParserError:
        return
    assert (lenient.body, lenient.whole) == (strict.body, True)
    assert lenient.headers.items() <= strict.headers.items()


REFUSED = {
    "several Content-Lengths that differ": head(LENGTH, b"Content-Length: 12"),
    "a Content-Length that is no number": head(b"Content-Length: ten"),
    "a chunk without a size": head(CHUNKED, body=b"xyz\r\n"),
    "a chunk is longer than its stated size": head(CHUNKED, body=b"5\r\n" + J + b"\r\n"),
    "7 bytes beyond the end of the answer": head(LENGTH) + b"surplus",
    "15 bytes beyond the end of the answer": head(LENGTH, status=b"HTTP/1.1 204 No") + b"more",
    "the server switches to another protocol (101)": b"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n",
    f"the server switches to {WEBSOCKET} (101)": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "no status line of HTTP/1": head(LENGTH, status=b"HTTP/1.1 20 OK"),
    "no answer of HTTP/1": b"hello\r\n",
    "no answer of HTTP/1: the server speaks SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no answer of HTTP/1: the server speaks TLS; write https://": b"\x15\x03\x01\0\x02\x02\x50",
    f"no answer of HTTP/1: the server speaks {HTTP_2}": b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18,
}


@pytest.mark.parametrize(("reason", "whole"), REFUSED.items(), ids=REFUSED)
def test_an_answer_that_nobody_reads_says_what_is_odd(reason: str, whole: bytes) -> None:
    exchange, closed = feed([whole])
    assert (exchange.error, exchange.reason, closed) == ("protocol", reason, True)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ([b"HTTP/1.1 200 OK"], True),
        ([b"HTTP/1.1 200 OK", b"Connection: x, CLOSE"], False),
        ([b"HTTP/1.0 200 OK"], False),
        ([b"HTTP/1.0 200 OK", b"Connection: Keep-Alive"], True),
    ],
    ids=["1.1", "1.1, close in a list", "1.0", "1.0, keep-alive"],
)
def test_the_connection_is_kept_as_the_answer_says(fields: Sequence[bytes], kept: bool) -> None:
    _, closed = feed([head(*fields[1:], LENGTH, LENGTH, status=fields[0])])
    assert closed is not kept


def ended(*pieces: bytes, asks_head: bool = False) -> Exchange:
    """What becomes of an answer whose connection then ends."""
    channel, exchange, over = Channel(Silent()), Exchange(0), list[Exchange]()
    channel.send(b"", exchange, over.append, asks_head)
    for piece in pieces:
        channel.received(piece, 1, -1)
    channel.ended(None)
    assert over == [exchange]
    return exchange


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("field", [b"X-A: 1", b"Transfer-Encoding: identity", b"Content-Length:"])
def test_an_answer_without_a_length_ends_with_its_connection(field: bytes, end: bytes) -> None:
    exchange = ended(head(field, body=J[:4], end=end), J[4:])
    assert (exchange.status, exchange.error, b"".join(exchange.body)) == (200, None, J)


def test_chunks_that_do_not_end_do_not_end_with_their_connection() -> None:
    for end in (b"\r\n", b"\n"):
        exchange = ended(head(CHUNKED, body=CHUNKS[:-5], end=end))
        assert (exchange.error, exchange.reason) == ("reset", "closed after 11 bytes")


@pytest.mark.parametrize("field", [LENGTH, CHUNKED, b"X-A: 1"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_an_answer_to_head_ends_with_its_head(field: bytes, end: bytes) -> None:
    exchange = ended(head(field, body=b"", end=end), asks_head=True)
    assert (exchange.status, exchange.error, exchange.body) == (200, None, [])


@pytest.mark.parametrize("status", [b"204 No Content", b"205 Reset Content", b"304 Not Modified"])
def test_a_status_without_content_ends_with_its_head(status: bytes) -> None:
    for fields in ([], [b"X-A : 1"]):
        exchange, closed = feed([head(*fields, status=b"HTTP/1.1 " + status, body=b"")])
        assert (exchange.status, exchange.error, closed) == (int(status[:3]), None, False)


def test_after_a_peculiar_answer_the_next_one_is_read_as_ever() -> None:
    channel, over = Channel(Silent()), list[Exchange]()
    for whole in (head(LENGTH, LENGTH), head(LENGTH), head(LENGTH, end=b"\n"), head(CHUNKED, body=CHUNKS)):
        channel.send(b"", Exchange(0), over.append)
        channel.received(whole, 1, -1)
        assert (over[-1].error, b"".join(over[-1].body)) == (None, J)
    assert len(over) == 4
    assert not channel.closed


def test_a_head_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BESIDE_BODY_BYTES", 50_000)
    exchange, closed = feed([b"HTTP/1.1 200 OK\nX: 1\n", *[b"x" * 10_000] * 5])
    assert (exchange.error, exchange.reason[:19], closed) == ("protocol", "a head of more than", True)


def test_header_names_that_come_twice_are_one_list() -> None:
    exchange, _ = feed([head(b"Vary: a", b"X : 1", b"vary: b", b"Set-Cookie: a=1", b"Set-Cookie: b=2", LENGTH)])
    assert (exchange.header(b"vary"), exchange.header(b"set-cookie")) == (b"a, b", b"b=2")


def test_the_pieces_of_a_peculiar_answer_do_not_matter() -> None:
    for whole in PECULIAR.values():
        at_once = outcome(feed([whole]))
        assert all(outcome(feed([whole[:at], whole[at:]])) == at_once for at in range(1, len(whole)))


def test_a_refusal_is_an_error_of_the_parser() -> None:
    assert issubclass(RefusedError, httptools.HttpParserError)
