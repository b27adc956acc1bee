"""The request: an endpoint as the bytes that are sent. HTTP/1.1 per RFC 9112.

Path and query go out as the target file writes them: nothing is folded, decoded or encoded again. Only what is not
ASCII becomes percent-encoded UTF-8, as in a browser.
"""

import json
import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, urlencode, urlsplit

import httpx

from perflib.spec import Endpoint, InputError, Target
from perflib.spec.auth import Outgoing
from perflib.spec.target import IDEMPOTENT

_HEADERS = {"User-Agent": f"perflib/{version('perflib')}", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
_WITH_CONTENT = ("POST", "PUT", "PATCH")
"""Methods whose requests tell a length even of 0 (RFC 9110, 8.6)."""
_ZONE = re.compile(r"%.*\]")
"""Of an IPv6 address: it means nothing to the target (RFC 6874, 4)."""


@dataclass(frozen=True)
class WireRequest:
    """A request, ready to send."""

    data: bytes
    idempotent: bool
    asks_head: bool = False
    """Its answer ends with its head, whatever length that tells (RFC 9112, 6.3)."""
    timeout_ns: int = 0
    """0: the scenario's."""


def encode(target: Target, endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> WireRequest:
    """The bytes of an endpoint's request; its secrets are read from `environment`. Raises InputError."""
    outgoing = Outgoing(endpoint.headers_in(environment), endpoint.params_in(environment))
    if target.caller is not None:
        outgoing = target.caller.apply(outgoing, environment)
    content = _content(endpoint)
    own = {name.lower() for name in outgoing.headers}
    headers = {name: value for name, value in _headers(target, endpoint, content).items() if name.lower() not in own}
    lines = [f"{endpoint.method} {_written(target, endpoint, outgoing)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (headers | outgoing.headers).items()]
    _check(endpoint, lines)
    head = "\r\n".join([*lines, "", ""]).encode()
    return WireRequest(
        head + content, endpoint.method in IDEMPOTENT, endpoint.method == "HEAD", int(1e9 * (endpoint.timeout or 0))
    )


def _written(target: Target, endpoint: Endpoint, outgoing: Outgoing) -> str:
    """The path, and the query with the parameters appended to it."""
    written, query = urlsplit(target.base_url).path + endpoint.path, urlencode(outgoing.params, doseq=True)
    joint = "" if written.endswith(("?", "&")) else "&" if "?" in written else "?"
    return quote(written, safe=string.punctuation) + (joint + query if query else "")


def _content(endpoint: Endpoint) -> bytes:
    body = endpoint.body
    if body is None or isinstance(body, str):
        return (body or "").encode()
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _headers(target: Target, endpoint: Endpoint, content: bytes) -> dict[str, str]:
    """What is sent where the endpoint has no such header of its own."""
    host = _ZONE.sub("]", parsed(target.base_url).netloc.decode())
    headers = {"Host": host, **_HEADERS}
    if content or endpoint.method in _WITH_CONTENT:
        headers["Content-Length"] = str(len(content))
    if not isinstance(endpoint.body, str | None):
        headers["Content-Type"] = "application/json"
    return headers


def _check(endpoint: Endpoint, lines: list[str]) -> None:
    if not "".join(lines).isascii():
        raise InputError(f"{endpoint.name}: a header is not plain ASCII; mend it in the target file")
    if any(not line.replace("\t", " ").isprintable() for line in lines):
        raise InputError(f"{endpoint.name}: a header or the token holds a line break or another control character")


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
