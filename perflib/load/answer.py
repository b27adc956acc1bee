"""The answer: is it a success? A 200 is none until its content type and its expected keys are right."""

from __future__ import annotations

import json
import re
import zlib
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from perflib.load.wire import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from perflib.load.wire import Exchange
    from perflib.model import Endpoint

_PARSE_EVERY_NS = 1_000_000_000
_PREFIX_BYTES = 4096
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
        self._keys = [re.compile(re.escape(json.dumps(key).encode()) + rb"\s*:") for key in self._expect.keys]
        self._forbidden = [
            (literal, re.compile(re.escape(json.dumps(key).encode()) + rb"\s*:\s*" + re.escape(literal)))
            for key, value in self._expect.forbid.items()
            for literal in [json.dumps(value).encode()]
        ]
        self._sampler = sampler
        self._seen = False

    def error_of(self, exchange: Exchange) -> str | None:
        """The kind of this answer's error; None for a success."""
        if exchange.error is not None:
            return exchange.error
        wanted = self._expect.status
        if exchange.status != wanted if wanted else not 200 <= exchange.status < 300:
            return "status"
        if self._content_type and _media_type(exchange) != self._content_type:
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
        try:
            body = _decoded(exchange)
        except zlib.error:
            return False
        self._sampler.checked += 1
        if self._seen and not self._sampler.due() and not self._is_suspect(body):
            return True
        self._seen = True
        self._sampler.parsed += 1
        return self._parsed_fits(body)

    def _is_suspect(self, body: bytes) -> bool:
        """True where a search of the bytes cannot say that the content fits. False is certain, but for escaped keys."""
        for key in self._keys:
            found = key.search(body)
            if found is None or not _at_top_level(body, found.start()):
                return True
        return any(literal in body and pattern.search(body) for literal, pattern in self._forbidden)

    def _parsed_fits(self, body: bytes) -> bool:
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError):
            return False
        if not isinstance(document, dict):
            return False
        missing = any(key not in document for key in self._expect.keys)
        return not missing and not any(document.get(key) == value for key, value in self._expect.forbid.items())


def _at_top_level(body: bytes, position: int) -> bool:
    """True if this place is certain to be a key of the outermost object: one bracket is open before it."""
    if position > _PREFIX_BYTES:
        return False
    prefix = _STRING.sub(b"", body[:position])
    opened = prefix.count(b"{") + prefix.count(b"[")
    return b'"' not in prefix and opened - prefix.count(b"}") - prefix.count(b"]") == 1


def _media_type(exchange: Exchange) -> bytes:
    return (exchange.header(b"content-type") or b"").partition(b";")[0].strip().lower()


def _decoded(exchange: Exchange) -> bytes:
    body = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
    encoding = (exchange.header(b"content-encoding") or b"identity").strip().lower()
    if encoding in (b"gzip", b"x-gzip", b"deflate"):
        return zlib.decompressobj(wbits=47).decompress(body, MAX_ANSWER_BYTES)
    return body
