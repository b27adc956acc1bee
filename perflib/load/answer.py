"""The answer: is it a success? A 200 is none until its content type and its expected keys are right."""

from fnmatch import fnmatchcase
from functools import lru_cache

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.connecting import CLIENT_CERTIFICATE
from perflib.load.document import NOWHERE, document_of, instead, kind_of, opened, shown, text_of, value_at
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange
from perflib.spec import Endpoint
from perflib.spec.expect import Scalar
from perflib.spec.pointer import steps_of
from perflib.spec.undriven import protocol

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


class Judge:
    """Judges the answers of one endpoint, each by its whole body."""

    def __init__(self, endpoint: Endpoint) -> None:
        expect = self._expect = endpoint.expect
        self._statuses, self._judged_statuses = expect.statuses, expect.judged_statuses
        self._content_types = tuple(_media_type(one.encode()) for one in expect.content_types)
        self._of_body = bool(expect.of_body)
        self._places = (*expect.keys, *expect.absent, *expect.forbid)
        self._takes_a_list = all(steps_of(place)[0].isdecimal() for place in self._places)
        self._cold = endpoint.cold
        self._fitting: tuple[bytes, bytes] | None = None
        """The last body that fitted, as sent, and its encoding: the same bytes again need no second look."""

    def error_of(self, exchange: Exchange) -> str | None:
        """The kind of this answer's error; None for a success."""
        if exchange.error is not None:
            return exchange.error
        if exchange.status not in self._statuses:
            exchange.reason = _why_so(exchange)
            return "status"
        if exchange.status not in self._judged_statuses:
            return None
        given = exchange.header(b"content-type") if self._content_types else None
        if self._content_types and not _is_of(given or b"", self._content_types):
            named = shown(_media_type(given or b"").decode("latin-1")) or "without a content type"
            exchange.reason = f"is {named}, not {b' or '.join(self._content_types).decode('latin-1')}"
            return "content"
        if self._of_body and (misfit := self._misfit_of(exchange)):
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
        sent = exchange.content
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
        misfit = self._misfit_of_body(body, exchange.header(b"content-type") or b"")
        self._fitting = self._fitting if misfit else (sent, encoding)
        return misfit

    def _misfit_of_body(self, body: bytes, content_type: bytes) -> str:
        least, most, text = self._expect.min_bytes or 0, self._expect.max_bytes, self._expect.contains
        if len(body) < least:
            return f"has {len(body):,} bytes, not {least:,} or more"
        if most is not None and len(body) > most:
            return f"has {len(body):,} bytes, not {most:,} or less"
        if text is not None and text not in text_of(body, content_type):
            return f"does not contain {shown(text)!r}"
        return self._misfit_of_json(body, content_type) if self._places else ""

    def _misfit_of_json(self, body: bytes, content_type: bytes) -> str:
        found = document_of(body, content_type)
        if isinstance(found, str):
            return found
        if isinstance(found, list) and not self._takes_a_list:
            return "is JSON, but no object"
        for key in self._expect.keys:
            if value_at(found, key) is NOWHERE:
                return f"expected key {key!r} is missing; {instead(found, key)}"
        for key in self._expect.absent:
            if not _is_nothing(value := opened(value_at(found, key))):
                return f"{key!r} is {kind_of(value)}, and should be absent"
        for key, forbidden in self._expect.forbid.items():
            if _same(opened(value_at(found, key)), forbidden):
                return f"{key} is {forbidden!r}"
        return ""


def _is_nothing(value: object) -> bool:
    """True for what is missing, null, or an empty list or object."""
    return value is NOWHERE or value is None or value in ([], {})


def _why_so(exchange: Exchange) -> str:
    """What a status says of a thing that perflib does not do, or of TLS; empty: what the status says."""
    if exchange.status in (101, 426):
        wanted = (exchange.header(b"upgrade") or b"").decode("latin-1")
        return f"the server wants {protocol(wanted) or shown(wanted) or 'another protocol'}"
    if exchange.status == 407:
        return "a proxy asks who is there; perflib asks a server itself, by none"
    said = b"".join(exchange.body)[:_SEARCHED_BYTES].lower() if exchange.status == 400 else b""
    return next((meant for words, meant in _OF_TLS.items() if words in said), "")


def _same(found: object, value: Scalar) -> bool:
    """True for equal JSON scalars: unlike Python's, JSON's true is not 1."""
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
