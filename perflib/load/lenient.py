"""The lenient parser: answers that llhttp refuses, and curl, Go's net/http or browsers accept.

RFC 9112 lets a recipient accept most of them. llhttp reads everything first: only what it refuses comes here, and the
answers to HEAD, of which it cannot be told that they end with their head. It has llhttp's interface.
"""

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from httptools import HttpParserError

from perflib.spec.undriven import HTTP_2, protocol

_STATUS_LINE = re.compile(rb"(?i:HTTP/(\d)(?:\.(\d))?|ICY)[ \t]+(\d{3})(?:\D.*)?", re.DOTALL)
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]+)[ \t]*(?:;.*)?", re.DOTALL)
_OTHER_PROTOCOLS = {
    b"\x15\x03": "TLS; write https://",
    b"\x00\x00": HTTP_2,
    b"SSH-": "SSH",
}
_WITHOUT_BODY = (204, 304)
_SPACES = bytes.maketrans(b"\r\0", b"  ")


class RefusedError(HttpParserError):
    """No answer of HTTP/1; the text says what is odd."""


class Reader(Protocol):
    """Who reads an answer: it gets llhttp's callbacks."""

    def on_header(self, name: bytes, value: bytes, /) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, piece: bytes, /) -> None: ...
    def on_message_complete(self) -> None: ...


class LenientParser:
    """Reads one answer, interim ones before it left out. Header names come in lower case, repeated ones joined."""

    def __init__(self, reader: Reader, *, asks_head: bool) -> None:
        self._reader, self._asks_head = reader, asks_head
        self._data = bytearray()
        self._searched = 0
        self._lines: list[bytes] = []
        self._left = 0
        self._status, self._version = 0, b""
        self._keep = False
        self.ends_with_connection = False
        self._step: Callable[[], bool] = self._status_line
        """Takes the next piece of the answer; False where it has not come yet."""

    def feed_data(self, data: bytes) -> None:
        """Read on. Raises RefusedError."""
        self._data += data
        while self._step():
            pass

    def get_status_code(self) -> int:
        return self._status

    def should_keep_alive(self) -> bool:
        return self._keep

    def _line(self) -> bytes | None:
        """The next line; a bare LF ends one too (RFC 9112, 2.2)."""
        end = self._data.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._data)
            return None
        line = bytes(self._data[:end]).removesuffix(b"\r")
        del self._data[: end + 1]
        self._searched = 0
        return line

    def _status_line(self) -> bool:
        line = self._line()
        if not line:  # an empty one before it is skipped
            _refuse_other_protocols(self._data)
            return line is not None
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            _refuse_other_protocols(line)
            raise RefusedError("no status line of HTTP/1")
        self._version, self._status = (found[1] or b"1") + (found[2] or b"0"), int(found[3])
        self._step = self._head
        return True

    def _head(self) -> bool:
        line = self._line()
        if line:
            self._lines.append(line)
        elif line is not None:
            self._begin(_fields(self._lines))
            self._lines = []
        return line is not None

    def _begin(self, headers: Mapping[bytes, bytes]) -> None:
        if self._status == 101:
            other = protocol(headers.get(b"upgrade", b"").decode("latin-1"))
            raise RefusedError(f"the server switches to {other or 'another protocol'} (101)")
        if self._status < 200:
            self._step = self._status_line
            return
        for name, value in headers.items():
            self._reader.on_header(name, value)
        tokens = _listed(headers.get(b"connection", b""))
        self._keep = b"close" not in tokens and (self._version >= b"11" or b"keep-alive" in tokens)
        self._reader.on_headers_complete()
        self._step = self._body_of(headers)
        if self._step == self._end:
            self._finish()

    def _body_of(self, headers: Mapping[bytes, bytes]) -> Callable[[], bool]:
        """What reads the body: its length by RFC 9112, 6.3."""
        codings = [coding for coding in _listed(headers.get(b"transfer-encoding", b"")) if coding != b"identity"]
        told = _listed(headers.get(b"content-length", b""))
        if self._asks_head or self._status in _WITHOUT_BODY or (self._status == 205 and not (codings or told)):
            return self._end
        if codings and codings[-1] == b"chunked":
            return self._chunk_size
        if codings or not told:
            self.ends_with_connection, self._keep = True, False
            return self._until_closed
        self._left = _length(told)
        return self._until_length if self._left else self._end

    def _until_closed(self) -> bool:
        return self._take(len(self._data))

    def _until_length(self) -> bool:
        self._take(self._left)
        if not self._left:
            self._finish()
        return False

    def _take(self, most: int) -> bool:
        """Hand that much of the body on. Returns False."""
        if piece := bytes(self._data[:most]):
            del self._data[:most]
            self._left = max(0, self._left - len(piece))
            self._reader.on_body(piece)
        return False

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise RefusedError("a chunk without a size")
        self._left = int(size[1], 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        self._take(self._left)
        line = None if self._left else self._line()
        if line is None:
            return False
        if line:
            raise RefusedError("a chunk is longer than its stated size")
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line == b"":
            self._finish()
        return bool(line)

    def _end(self) -> bool:
        return False

    def _finish(self) -> None:
        self._step = self._end
        if surplus := len(self._data.strip(b"\r\n")):
            raise RefusedError(f"{surplus:,} bytes beyond the end of the answer")
        self._reader.on_message_complete()


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """The fields of a head (RFC 9112, 5): folded lines joined, white space before a colon and lines without one left
    out, CR and NUL in values replaced (RFC 9110, 5.5).
    """
    fields: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if fields:
                fields[-1][1] += b" " + line.strip(b" \t")
            continue
        name, colon, value = line.partition(b":")
        if colon and name.strip():
            fields.append([name.strip().lower(), value.strip(b" \t")])
    joined: dict[bytes, bytes] = {}
    for name, written in fields:
        value = written.translate(_SPACES).strip(b" \t")
        alone = name not in joined or name in (b"set-cookie", b"content-type")
        joined[name] = value if alone else joined[name] + b", " + value
    return joined


def _listed(value: bytes) -> list[bytes]:
    """The members of a list (RFC 9110, 5.6.1), in lower case."""
    return [member.strip().lower() for member in value.split(b",") if member.strip()]


def _length(told: list[bytes]) -> int:
    """The one length that all say (RFC 9110, 8.6)."""
    if not all(re.fullmatch(rb"\+?[0-9]{1,18}", one) for one in told):
        raise RefusedError("a Content-Length that is no number")
    if len(lengths := {int(one) for one in told}) > 1:
        raise RefusedError("several Content-Lengths that differ")
    return lengths.pop()


def _refuse_other_protocols(begun: bytes | bytearray) -> None:
    """Raise RefusedError for what does not begin as an answer of HTTP/1 does, even if its first line never ends."""
    begun = begun.lstrip(b"\r\n")
    for opening, other in _OTHER_PROTOCOLS.items():
        if begun.startswith(opening):
            raise RefusedError(f"no answer of HTTP/1: the server speaks {other}")
    begun = begun[:5].upper()
    if not any(begun.startswith(own[: len(begun)]) for own in (b"HTTP/", b"ICY ")):
        raise RefusedError("no answer of HTTP/1")
