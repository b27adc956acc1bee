"""The answer: is it a success? A 200 is none until its content type and its expected keys are right."""

import codecs
import json
import re
from contextlib import suppress
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.connecting import CLIENT_CERTIFICATE
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange
from perflib.spec import Endpoint
from perflib.spec.target import Scalar
from perflib.spec.undriven import protocol

_OBJECT = Decoder(dict[str, Raw])
_SCALAR = Decoder(str | bool | int | float | None)
_CHARSET = re.compile(rb';\s*charset\s*=\s*"?([\w.:-]+)', re.IGNORECASE)
_SEARCHED_BYTES = 2_000
_HTTPS = "the server speaks TLS; write https://"
_OF_TLS = {
    b"no required ssl certificate was sent": CLIENT_CERTIFICATE,
    b"the ssl certificate error": "the server refuses the client certificate; mend tls.client_cert of the target file",
    b"plain http request was sent to https port": _HTTPS,
    b"speaking plain http to an ssl-enabled server": _HTTPS,
    b"sent an http request to an https server": _HTTPS,
}
"""What nginx, Apache and Go's net/http say in the body of a 400."""
_NAMED_KEYS = 5
_SHOWN = 40
"""So many characters of a name are shown."""


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
            exchange.reason = _why_so(exchange)
            return "status"
        given = exchange.header(b"content-type") if self._content_types else None
        if self._content_types and not _is_of(given or b"", self._content_types):
            named = _shown(_media_type(given or b"").decode("latin-1")) or "without a content type"
            exchange.reason = f"is {named}, not {b' or '.join(self._content_types).decode('latin-1')}"
            return "content"
        if (self._keys or self._expect.forbid) and (misfit := self._misfit_of(exchange)):
            exchange.reason = misfit
            return "content"
        return None

    def is_cold(self, exchange: Exchange) -> bool:
        """True where the target file's `cold` header says so."""
        if self._cold is None:
            return False
        value = exchange.header(self._cold.header.lower().encode())
        return value is not None and value.decode("latin-1").strip().lower() == self._cold.equals.lower()

    def _misfit_of(self, exchange: Exchange) -> str:
        """Why the content is wrong, empty where it is right. What cannot be unpacked here cannot be judged."""
        sent = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        encoding = exchange.header(b"content-encoding") or b""
        if (sent, encoding) == self._fitting:
            return ""
        try:
            body = decoded(sent, codings_of(encoding), MAX_ANSWER_BYTES) if encoding else sent
        except UncheckedError as unchecked:
            exchange.reason = f"content not checked ({unchecked})"
            return ""
        except DamagedError as damaged:
            return str(damaged)
        found = _object_of(body.removeprefix(codecs.BOM_UTF8), exchange.header(b"content-type") or b"")
        misfit = found if isinstance(found, str) else self._misfit_of_object(found)
        self._fitting = self._fitting if misfit else (sent, encoding)
        return misfit

    def _misfit_of_object(self, found: dict[str, Any]) -> str:
        if not self._keys <= found.keys():
            missing = next(key for key in self._expect.keys if key not in found)
            there = [repr(_shown(key)) for key in list(found)[:_NAMED_KEYS]]
            there += [f"{len(found) - _NAMED_KEYS:,} more"] if len(found) > _NAMED_KEYS else []
            return f"expected key {missing!r} is missing; there {_are(there)}"
        forbidden = self._expect.forbid.items()
        return next((f"{key} is {value!r}" for key, value in forbidden if _same(found.get(key), value)), "")


def _why_so(exchange: Exchange) -> str:
    """What a status says of a thing that perflib does not do, or of TLS; empty: what the status says."""
    if exchange.status in (101, 426):
        wanted = (exchange.header(b"upgrade") or b"").decode("latin-1")
        return f"the server wants {protocol(wanted) or _shown(wanted) or 'another protocol'}"
    if exchange.status == 407:
        return "a proxy asks who is there; perflib asks a server itself, by none"
    said = b"".join(exchange.body)[:_SEARCHED_BYTES].lower() if exchange.status == 400 else b""
    return next((meant for words, meant in _OF_TLS.items() if words in said), "")


def _are(some: list[str]) -> str:
    return f"{'is' if len(some) == 1 else 'are'} {', '.join(some) or 'none'}"


def _shown(name: str) -> str:
    """A name that a server sent, short and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name[:_SHOWN])


def _object_of(body: bytes, content_type: bytes) -> dict[str, Any] | str:
    """The JSON object of a body, its values mostly unread; where there is none, what the body is."""
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look at the bytes of a string it leaves unread
        return _OBJECT.decode(body)
    except ValidationError:
        return "is JSON, but no object"
    except (DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not body.strip():
        return "is empty"
    try:  # json also reads NaN, lone surrogates and UTF-16, and as decimals integers of any length
        document = json.loads(_text_of(body, content_type), parse_int=Decimal)
    except RecursionError:
        return "is JSON nested too deep to be read"
    except ValueError:
        return "is no JSON"
    return document if isinstance(document, dict) else "is JSON, but no object"


def _text_of(body: bytes, content_type: bytes) -> bytes | str:
    """The body by the charset that it tells; JSON needs none, but some servers send it in another."""
    told = _CHARSET.search(content_type)
    with suppress(LookupError, UnicodeDecodeError):
        return body.decode(told[1].decode()) if told else body
    return body


def _same(found: object, value: Scalar) -> bool:
    """True for equal JSON scalars: unlike Python's, JSON's true is not 1."""
    try:
        found = _SCALAR.decode(found) if isinstance(found, Raw) else found
    except ValidationError:  # no scalar, or a number beyond any that a target file can forbid
        return False
    return found == value and isinstance(found, bool) == isinstance(value, bool)


@lru_cache(64)
def _is_of(content_type: bytes, ranges: tuple[bytes, ...]) -> bool:
    """Whether a content type is a member of one of the media ranges (RFC 9110, 12.5.1).

    A suffix names what it is made of (RFC 6839): hal+json is JSON.
    """
    given = _media_type(content_type)
    kind, suffix = given.partition(b"/")[0], given.rpartition(b"+")[2]
    names = (given, kind + b"/" + suffix) if suffix in (b"json", b"xml") else (given,)
    return any(wanted == b"*/*" or fnmatchcase(name, wanted) for wanted in ranges for name in names)


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()
