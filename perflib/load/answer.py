"""The answer: is it a success? A 200 is none until its content type and its expected keys are right."""

import codecs
import json
import zlib
from contextlib import suppress
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

from perflib.load.wire import MAX_ANSWER_BYTES, Exchange
from perflib.spec import Endpoint
from perflib.spec.target import Scalar

_OBJECT = Decoder(dict[str, Raw])
_SCALAR = Decoder(str | bool | int | float | None)
_GZIP = (zlib.MAX_WBITS + 16,)
_DEFLATE = (zlib.MAX_WBITS, -zlib.MAX_WBITS)  # servers send it with zlib's header and without
_WINDOW_BITS = {b"identity": (), b"gzip": _GZIP, b"x-gzip": _GZIP, b"deflate": _DEFLATE}


class Judge:
    """Judges the answers of one endpoint, each by its whole body."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._expect = endpoint.expect
        self._content_types = tuple(_media_type(one.encode()) for one in endpoint.expect.content_types)
        self._keys = frozenset(endpoint.expect.keys)
        self._cold = endpoint.cold
        self._fitting: tuple[bytes, bytes] | None = None
        """The last body that fitted, as sent, and its encoding: the same bytes again need no second look."""

    def error_of(self, exchange: Exchange) -> str | None:
        """The kind of this answer's error; None for a success."""
        if exchange.error is not None:
            return exchange.error
        wanted = self._expect.status
        if exchange.status != wanted if wanted else not 200 <= exchange.status < 300:
            return "status"
        if self._content_types and not _is_of(exchange.header(b"content-type") or b"", self._content_types):
            return "content"
        if (self._keys or self._expect.forbid) and not self._content_fits(exchange):
            return "content"
        return None

    def is_cold(self, exchange: Exchange) -> bool:
        """True where the target file's `cold` header says so."""
        if self._cold is None:
            return False
        value = exchange.header(self._cold.header.lower().encode())
        return value is not None and value.decode("latin-1").lower() == self._cold.equals.lower()

    def _content_fits(self, exchange: Exchange) -> bool:
        """False for a body that is wrong or damaged; one in an encoding unknown here, br say, cannot be judged."""
        sent = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        encoding = (exchange.header(b"content-encoding") or b"identity").lower()
        if (sent, encoding) == self._fitting or encoding not in _WINDOW_BITS:
            return True
        body = _unpacked(sent, encoding)
        found = None if body is None else _object_of(body.removeprefix(codecs.BOM_UTF8))
        fits = found is not None and self._object_fits(found)
        self._fitting = (sent, encoding) if fits else self._fitting
        return fits

    def _object_fits(self, found: dict[str, Any]) -> bool:
        forbidden = self._expect.forbid.items()
        return self._keys <= found.keys() and not any(_same(found.get(key), value) for key, value in forbidden)


def _object_of(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body, its values mostly unread; None where the body is damaged or something else."""
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look at the bytes of a string it leaves unread
        return _OBJECT.decode(body)
    except ValidationError:
        return None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # json also reads NaN, lone surrogates and UTF-16, and as decimals integers of any length
        document = json.loads(body, parse_int=Decimal)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _same(found: object, value: Scalar) -> bool:
    """True for equal JSON scalars: unlike Python's, JSON's true is not 1."""
    try:
        found = _SCALAR.decode(found) if isinstance(found, Raw) else found
    except ValidationError:  # no scalar, or a number beyond any that a target file can forbid
        return False
    return found == value and isinstance(found, bool) == isinstance(value, bool)


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


@lru_cache(64)
def _is_of(content_type: bytes, ranges: tuple[bytes, ...]) -> bool:
    """Whether a content type is a member of one of the media ranges (RFC 9110, 12.5.1)."""
    given = _media_type(content_type)
    return any(wanted == b"*/*" or fnmatchcase(given, wanted) for wanted in ranges)


def _unpacked(body: bytes, encoding: bytes) -> bytes | None:
    """The body without its content encoding; None where that is damaged, cut short or beyond the cap."""
    for bits in _WINDOW_BITS[encoding]:
        inflater = zlib.decompressobj(bits)
        with suppress(zlib.error):
            whole = inflater.decompress(body, MAX_ANSWER_BYTES)
            if inflater.eof:
                return whole
    return None if _WINDOW_BITS[encoding] else body
