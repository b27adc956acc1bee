"""The request: an endpoint as the bytes that are sent, with places for values. HTTP/1.1 per RFC 9112.

Path and query go out as the target file writes them: nothing is folded, decoded or encoded again. Only what is not
ASCII becomes percent-encoded UTF-8, as in a browser. A value in the place of a pattern is escaped as its place asks:
percent-encoded in a path, a query or a form, as JSON in a JSON body.
"""

import json
import os
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import httpx

from perflib.load.arrivals import WHOLE
from perflib.load.caller import Caller, Coding, Fill, Turn
from perflib.load.values import Values
from perflib.spec import Endpoint, InputError, Target
from perflib.spec.auth import Outgoing
from perflib.spec.endpoint import IDEMPOTENT, SAFE, FilePart, Param, as_text, each, secret_variable
from perflib.spec.pattern import Pattern, pieces_of
from perflib.spec.secret import Secret
from perflib.store.rows import bytes_of

_HEADERS = {"User-Agent": f"perflib/{version('perflib')}", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
_WITH_CONTENT = ("POST", "PUT", "PATCH")
"""Methods whose requests tell a length even of 0 (RFC 9110, 8.6)."""
_ZONE = re.compile(r"%.*\]")
"""Of an IPv6 address: it means nothing to the target (RFC 6874, 4)."""
_BOUNDARY = "perflib-c2b8f1d07a5e4937"
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
Piece = bytes | Fill
"""Bytes that stay, or what stands in the place of a pattern."""


@dataclass(slots=True)
class WireRequest:
    """A request, ready to send. Made for each one that holds values: not frozen, which would take as long again."""

    data: bytes
    idempotent: bool
    asks_head: bool = False
    """Its answer ends with its head, whatever length that tells (RFC 9112, 6.3)."""
    timeout_ns: int = 0
    """0: the scenario's."""


class Recipe:
    """How the requests of an endpoint are written.

    Args:
        head: with the empty line at its end, but for the line that tells the content's length.
        content: what follows it; None: there is none, and no length is told.
        data: whose rows it is asked with, by number; the first one's row is kept.
        timeout_s: None: the scenario's.
    """

    def __init__(
        self,
        method: str,
        head: Iterable[Piece],
        content: Iterable[Piece] | None,
        data: tuple[int, ...] = (),
        timeout_s: float | None = None,
    ) -> None:
        self._pieces, body = _merged(head), _merged(content or ())
        self._length_at = -1
        if content is not None:
            self._length_at = len(self._pieces)
            self._pieces += (_length_line(body), *body)
        if all(isinstance(piece, bytes) for piece in body):
            self._pieces, self._length_at = _merged(self._pieces), -1
        self._pieces = self._pieces if content is not None else _merged((*self._pieces, b"\r\n"))
        self._fills = [(at, piece) for at, piece in enumerate(self._pieces) if not isinstance(piece, bytes)]
        self._idempotent, self._asks_head, self.data = method in IDEMPOTENT, method == "HEAD", data
        self._timeout_ns = int(1e9 * (timeout_s or 0))

    @property
    def is_fixed(self) -> bool:
        """Whether all its requests are the same bytes."""
        return not self._fills

    def written(self, caller: Caller) -> WireRequest:
        """The request of this caller, now."""
        parts: list[Any] = list(self._pieces)
        for at, fill in self._fills:
            parts[at] = fill(caller)
        if self._length_at >= 0:
            parts[self._length_at] = _length_line(parts[self._length_at + 1 :])
        return WireRequest(b"".join(parts), self._idempotent, self._asks_head, self._timeout_ns)


def _length_line(content: Iterable[Any]) -> bytes:
    whole = sum(len(piece) for piece in content if isinstance(piece, bytes))
    return b"Content-Length: %d\r\n\r\n" % whole


def encode(target: Target, endpoint: Endpoint, environment: Mapping[str, str] | None = None) -> WireRequest:
    """The bytes of an endpoint whose requests are all alike. Raises InputError, as `recipe`."""
    known = os.environ if environment is None else environment
    values = Values(target, 0, WHOLE, known)
    return recipe(target, endpoint, values, known).written(values.caller(0, Turn(0, 1)))


def recipe(
    target: Target,
    endpoint: Endpoint,
    values: Values,
    environment: Mapping[str, str] = os.environ,
    *,
    sends_token: bool = True,
) -> Recipe:
    """How an endpoint's requests are written.

    Args:
        values: what stands in the places of patterns.
        environment: what secrets are read from.
        sends_token: whether the token of a login goes with it.

    Raises:
        InputError: naming the endpoint, and the variable, file or column that is missing.
    """
    return _Writing(target, endpoint, values, environment, sends_token).recipe()


@dataclass(frozen=True)
class _Content:
    """A body, and its media type; empty: not told."""

    pieces: tuple[Piece, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class _Writing:
    """What an endpoint's requests are written from."""

    target: Target
    endpoint: Endpoint
    values: Values
    environment: Mapping[str, str]
    sends_token: bool

    def recipe(self) -> Recipe:
        endpoint, content = self.endpoint, self._content()
        given = {**self.target.headers, **endpoint.headers}
        said = {name.lower() for name in endpoint.headers}
        own = {name: value for name, value in given.items() if name in endpoint.headers or name.lower() not in said}
        outgoing = self._authenticated(own)
        patterns = endpoint.patterns(in_text=self.target.has_values)
        tells_length = any(content.pieces) or endpoint.method in _WITH_CONTENT
        known_by = self._session({name.lower() for name in outgoing.headers})
        head = (*self._request_line(outgoing), *self._headers(own, outgoing, content), *known_by)
        body = content.pieces if tells_length else None
        return Recipe(endpoint.method, head, body, self.values.data_in(patterns), endpoint.timeout)

    def _authenticated(self, own: Mapping[str, str | Secret]) -> Outgoing:
        """What authentication adds to the endpoint's own headers and parameters."""
        outgoing = Outgoing(dict.fromkeys(own, ""), dict.fromkeys(self.endpoint.params, ()))
        return self.target.caller.apply(outgoing, self.environment) if self.target.caller else outgoing

    def _request_line(self, outgoing: Outgoing) -> Iterator[Piece]:
        path, as_written = self.endpoint.path, partial(quote, safe=string.punctuation)
        yield f"{self.endpoint.method} {as_written(urlsplit(self.target.base_url).path)}".encode()
        yield from self._pieces(path, as_written, _percent)
        query = list(self._query(self.endpoint.params, outgoing.params))
        if query:
            yield b"" if path.endswith(("?", "&")) else b"&" if "?" in path else b"?"
        yield from query
        yield b" HTTP/1.1\r\n"

    def _query(self, params: Mapping[str, Param], added: Mapping[str, tuple[str, ...]] = {}) -> Iterator[Piece]:
        """Names and values, as in a form."""
        joint = b""
        pairs = [(name, value) for name, values in params.items() for value in each(values)]
        own = [(name, value) for name, values in added.items() if name not in params for value in values]
        for name, value in [*pairs, *own]:
            yield joint
            yield from self._pieces(name, quote_plus, _plus)
            yield b"="
            if isinstance(value, str) and (name, value) not in own:
                yield from self._pieces(value, quote_plus, _plus)
            else:
                yield quote_plus(as_text(self._revealed(value))).encode()
            joint = b"&"

    def _headers(self, own: Mapping[str, str | Secret], outgoing: Outgoing, content: _Content) -> Iterator[Piece]:
        host = _ZONE.sub("]", parsed(self.target.base_url).netloc.decode())
        usual = {"Host": host, **_HEADERS} | ({"Content-Type": content.kind} if content.kind else {})
        said = {name.lower() for name in outgoing.headers}
        for name, told in usual.items():
            if name.lower() not in said:
                yield self._line(f"{name}: {told}")
        for name, value in own.items():
            yield f"{name}: ".encode()
            if isinstance(value, str):
                yield from self._pieces(value, self._checked, self._header)
            else:
                yield self._checked(str(self._revealed(value))).encode()
            yield b"\r\n"
        for name, told in outgoing.headers.items():
            if name not in own:
                yield self._line(f"{name}: {told}")

    def _session(self, said: set[str]) -> Iterator[Piece]:
        """The lines by which the target knows a user, where the endpoint has none of its own."""
        target, path = self.target, self.target.cookie_path(self.endpoint.path)
        if target.keeps_cookies and "cookie" not in said:
            yield lambda caller: caller.jar.line(path)
        if target.login is None:
            return
        if target.login.token and self.sends_token and "authorization" not in said:
            yield lambda caller: caller.identity.line
        csrf = target.login.csrf
        if csrf and self.endpoint.method not in SAFE and csrf.header.lower() not in said:
            header, cookie = csrf.header, csrf.cookie
            yield lambda caller: caller.jar.header_of(header, cookie)
            if "referer" not in said:
                yield self._line(f"Referer: {target.base_url}{csrf.page or target.login.path}")

    def _line(self, line: str) -> bytes:
        return f"{self._checked(line)}\r\n".encode()

    def _checked(self, text: str) -> str:
        if not text.isascii():
            raise InputError(f"{self.endpoint.name}: a header is not plain ASCII; mend it in the target file")
        if not text.replace("\t", " ").isprintable():
            raise InputError(
                f"{self.endpoint.name}: a header or the token holds a line break or another control character"
            )
        return text

    def _header(self, value: Any) -> bytes:
        return self._checked(as_text(value)).encode()

    def _content(self) -> _Content:
        endpoint = self.endpoint
        if endpoint.form:
            return _Content(tuple(self._query(endpoint.form)), "application/x-www-form-urlencoded")
        if endpoint.file is not None:
            return _Content((self._file(endpoint.file, "file"),), "application/octet-stream")
        if endpoint.multipart:
            return _Content(tuple(self._multipart()), f"multipart/form-data; boundary={_BOUNDARY}")
        if isinstance(endpoint.body, str):
            has_patterns = self.target.has_values or endpoint.template
            fixed: tuple[Piece, ...] = (endpoint.body.encode(),)
            return _Content(tuple(self._pieces(endpoint.body, str, _utf8)) if has_patterns else fixed)
        if endpoint.body is None:
            return _Content()
        return _Content(tuple(self._json(endpoint.body)), "application/json")

    def _file(self, name: str, key: str) -> bytes:
        return bytes_of(self.target.folder, name, f"{self.endpoint.name}: {key}")

    def _multipart(self) -> Iterator[Piece]:
        for name, part in self.endpoint.multipart.items():
            told = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{quote(name, safe=" []")}"'
            if isinstance(part, FilePart):
                content = self._file(part.file, f"multipart.{name}")
                shown = quote(part.file.rpartition("/")[2], safe=" ")
                yield f'{told}; filename="{shown}"\r\nContent-Type: {part.content_type}\r\n\r\n'.encode() + content
            else:
                yield f"{told}\r\n\r\n".encode()
                yield from self._pieces(part, str, _utf8) if isinstance(part, str) else [_utf8(self._revealed(part))]
            yield b"\r\n"
        yield f"--{_BOUNDARY}--\r\n".encode()

    def _json(self, value: Any) -> Iterator[Piece]:
        """A JSON value; a text that is one pattern alone becomes the value itself, a number stays one."""
        if (variable := secret_variable(value)) is not None:
            yield _json_bytes(self._revealed(Secret(env=variable)))
        elif isinstance(value, dict):
            yield from self._joined(
                b"{", ((*self._json_text(name), b":", *self._json(one)) for name, one in value.items())
            )
            yield b"}"
        elif isinstance(value, list):
            yield from self._joined(b"[", (self._json(one) for one in value))
            yield b"]"
        elif isinstance(value, str):
            yield from self._json_text(value, alone=_json_bytes)
        else:
            yield _json_bytes(value)

    def _json_text(self, text: str, alone: Coding | None = None) -> Iterator[Piece]:
        pieces = pieces_of(text)
        if alone is not None and len(pieces) == 1 and isinstance(pieces[0], Pattern):
            yield self.values.fill(pieces[0], alone, self.endpoint.name)
            return
        yield b'"'
        yield from self._pieces(text, lambda part: _in_quotes(part).decode(), _in_quotes)
        yield b'"'

    def _joined(self, opening: bytes, parts: Iterable[Iterable[Piece]]) -> Iterator[Piece]:
        joint = opening
        for part in parts:
            yield joint
            yield from part
            joint = b","
        if joint is opening:
            yield opening

    def _pieces(self, text: str, constant: Callable[[str], str], coding: Coding) -> Iterator[Piece]:
        """A text as bytes and places for values, each written as it must be there."""
        for piece in pieces_of(text):
            if isinstance(piece, Pattern):
                yield self.values.fill(piece, coding, self.endpoint.name)
            else:
                yield constant(piece).encode()

    def _revealed(self, value: Any) -> Any:
        if not isinstance(value, Secret):
            return value
        try:
            return value.value_in(self.environment)
        except InputError as error:
            raise InputError(f"{self.endpoint.name}: {error}") from None


def _merged(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The same, bytes beside each other joined."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if isinstance(piece, bytes) and isinstance(last, bytes):
            found[-1] = last + piece
        elif piece:
            found.append(piece)
    return tuple(found)


def _percent(value: Any) -> bytes:
    return quote(as_text(value), safe="").encode()


def _plus(value: Any) -> bytes:
    return quote_plus(as_text(value)).encode()


def _utf8(value: Any) -> bytes:
    return as_text(value).encode()


def _json_bytes(value: Any) -> bytes:
    return _JSON.encode(value).encode()


def _in_quotes(value: Any) -> bytes:
    return _json_bytes(as_text(value))[1:-1]


def parsed(base_url: str) -> httpx.URL:
    """What httpx makes of it, which refuses some that look like a host's: http://999.1.1.1, say."""
    try:
        url = httpx.URL(base_url)
        url.host.encode()  # only this decodes a name in punycode, which may be none
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InputError(f"base_url {base_url}: {error}; mend it or use --url") from None
    return url


def looked_up(url: httpx.URL) -> str:
    """The host as a look-up takes it: a zone without its escape (RFC 6874), and all of localhost (RFC 6761, 6.3)."""
    host = url.raw_host.decode()
    if f".{host}".rstrip(".").endswith(".localhost"):
        return "localhost"
    return host.replace("%25", "%") if ":" in host else host
