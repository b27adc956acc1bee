"""The answer: is it a success? A 200 is none until its content type and its expected keys are right."""

from __future__ import annotations

import json
import re
import zlib
from functools import lru_cache
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from perflib.load.wire import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from perflib.load.wire import Exchange
    from perflib.spec import Endpoint
    from perflib.spec.target import Scalar

_PARSE_EVERY_NS = 1_000_000_000
_EDGE_BYTES = 4096
_GZIP = zlib.MAX_WBITS + 16
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Sampler:
    """Says when a body may be parsed in full: a parse may take milliseconds, so at most one a second in a run."""

    def __init__(self) -> None:
        self.checked = 0
        self.parsed = 0
        self._next_ns = 0

    def due(self) -> bool:
        now_ns = perf_counter_ns()
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + _PARSE_EVERY_NS
        return True


class Judge:
    """Judges the answers of one endpoint."""

    def __init__(self, endpoint: Endpoint, sampler: Sampler) -> None:
        self._expect = endpoint.expect
        self._content_type = (endpoint.expect.content_type or "").lower().encode()
        self._cold = endpoint.cold
        self._keys = [re.compile(_any_of(_spellings(key)) + rb"\s*:") for key in self._expect.keys]
        self._forbidden = [
            (literal, re.compile(_any_of(_spellings(key)) + rb"\s*:\s*" + re.escape(literal)))
            for key, value in self._expect.forbid.items()
            for literal in _spellings(value)
        ]
        self._sampler = sampler
        self._fitting: tuple[bytes, bytes] | None = None
        """The last body that fitted, as sent, and its encoding: the same bytes again need no second look."""

    def error_of(self, exchange: Exchange) -> str | None:
        """The kind of this answer's error; None for a success."""
        if exchange.error is not None:
            return exchange.error
        wanted = self._expect.status
        if exchange.status != wanted if wanted else not 200 <= exchange.status < 300:
            return "status"
        if self._content_type and _media_type(exchange.header(b"content-type") or b"") != self._content_type:
            return "content"
        if (self._keys or self._forbidden) and not self._content_fits(exchange):
            return "content"
        return None

    def is_cold(self, exchange: Exchange) -> bool:
        """True where the target file's `cold` header says so."""
        if self._cold is None:
            return False
        value = exchange.header(self._cold.header.lower().encode())
        return value is not None and value.decode("latin-1").lower() == self._cold.equals.lower()

    def _content_fits(self, exchange: Exchange) -> bool:
        sent = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        answer = (sent, exchange.header(b"content-encoding") or b"identity")
        self._sampler.checked += 1
        must_parse = self._fitting is None or self._sampler.due()
        if not must_parse and answer == self._fitting:
            return True
        body = _decoded(*answer)
        fits = body is not None and (self._parsed_fits(body) if must_parse or self._is_suspect(body) else True)
        self._fitting = answer if fits else self._fitting
        return fits

    def _is_suspect(self, body: bytes) -> bool:
        """True where a search of the bytes cannot say that the content fits.

        False is certain in JSON that spells its keys and forbidden values as usual (not 1 as 1.0, nor d as \\u0064).
        """
        if not all(_at_top_level(body, key) for key in self._keys):
            return True
        return any(literal in body and pattern.search(body) for literal, pattern in self._forbidden)

    def _parsed_fits(self, body: bytes) -> bool:
        self._sampler.parsed += 1
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError):
            return False
        if not isinstance(document, dict):
            return False
        missing = any(key not in document for key in self._expect.keys)
        return not missing and not any(_same(document.get(key), value) for key, value in self._expect.forbid.items())


def _spellings(value: Scalar) -> list[bytes]:
    """A JSON scalar as encoders write it: what is not ASCII escaped or not, and "/" too."""
    plain = dict.fromkeys(json.dumps(value, ensure_ascii=escape).encode() for escape in (True, False))
    return list(plain | dict.fromkeys(text.replace(b"/", rb"\/") for text in plain))


def _any_of(literals: list[bytes]) -> bytes:
    """A pattern; a single literal stays one, for the sake of a fast search."""
    return b"(?:" + b"|".join(map(re.escape, literals)) + b")" if len(literals) > 1 else re.escape(literals[0])


def _same(found: object, value: Scalar) -> bool:
    """True for equal JSON scalars: unlike Python's, JSON's true is not 1."""
    return found == value and isinstance(found, bool) == isinstance(value, bool)


def _at_top_level(body: bytes, key: re.Pattern[bytes]) -> bool:
    """True if the outermost object is certain to have this key: one bracket is open before it, or closed after it."""
    found = key.search(body, 0, _EDGE_BYTES)
    if found is not None and _depth(body[: found.start()]) == 1:
        return True
    tail = body[-_EDGE_BYTES:]
    last = max((found.start() for found in key.finditer(tail)), default=-1)
    return last >= 0 and _depth(tail[last:]) == -1


def _depth(text: bytes) -> int | None:
    """Brackets opened less brackets closed in a stretch of JSON; None where it ends inside a string."""
    plain = _STRING.sub(b"", text)
    if b'"' in plain:
        return None
    return plain.count(b"{") + plain.count(b"[") - plain.count(b"}") - plain.count(b"]")


@lru_cache(64)
def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


def _decoded(body: bytes, encoding: bytes) -> bytes | None:
    """The body without its content encoding; None where that is damaged or cut short."""
    encoding = encoding.strip().lower()
    if encoding in (b"gzip", b"x-gzip"):
        return _inflated(body, _GZIP)
    if encoding == b"deflate":
        whole = _inflated(body, zlib.MAX_WBITS)
        return _inflated(body, -zlib.MAX_WBITS) if whole is None else whole
    return body


def _inflated(body: bytes, window_bits: int) -> bytes | None:
    inflater = zlib.decompressobj(window_bits)
    try:
        whole = inflater.decompress(body, MAX_ANSWER_BYTES)
    except zlib.error:
        return None
    return whole if inflater.eof else None
