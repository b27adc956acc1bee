"""The request: an endpoint as the bytes that are sent. HTTP/1.1 per RFC 9112."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import httpx

from perflib.spec import Endpoint, InputError, Target
from perflib.spec.auth import Outgoing
from perflib.spec.target import IDEMPOTENT

_HEADERS = {"User-Agent": f"perflib/{version('perflib')}", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}


@dataclass(frozen=True)
class WireRequest:
    """A request, ready to send."""

    data: bytes
    idempotent: bool
    asks_head: bool = False
    """Its answer ends with its head, whatever length that tells (RFC 9112, 6.3)."""


def encode(target: Target, endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> WireRequest:
    """The bytes of an endpoint's request, as httpx describes it; its secrets are read from `environment`."""
    outgoing = Outgoing(endpoint.headers_in(environment), endpoint.params_in(environment))
    if target.caller is not None:
        outgoing = target.caller.apply(outgoing, environment)
    headers = httpx.Headers(_HEADERS)
    try:
        headers.update(outgoing.headers)
    except UnicodeEncodeError:
        raise InputError(f"{endpoint.name}: a header is not plain ASCII; mend it in the target file") from None
    url, params = parsed(target.base_url, endpoint.path), outgoing.params
    request = httpx.Request(
        endpoint.method,
        url.copy_merge_params(params) if params else url,
        headers=headers,
        content=endpoint.body if isinstance(endpoint.body, str) else None,
        json=endpoint.body if isinstance(endpoint.body, dict) else None,
    )
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in request.headers.raw]
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise InputError(f"{endpoint.name}: a header or the token holds a line break; remove it")
    return WireRequest(b"\r\n".join([*lines, b"", request.read()]), endpoint.method in IDEMPOTENT)


def parsed(base_url: str, path: str = "") -> httpx.URL:
    """What httpx makes of it, which refuses some that look like a host's: http://999.1.1.1, say."""
    try:
        url = httpx.URL(base_url + path)
        url.host.encode()  # only this decodes a name in punycode, which may be none
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InputError(f"base_url {base_url}: {error}; mend it or use --url") from None
    return url
