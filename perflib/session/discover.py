"""Discovering a target: what a server says of itself."""

import json
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from perflib.load.request import looked_up, parsed
from perflib.spec import InputError
from perflib.spec.openapi import Discovered, discovered_in
from perflib.spec.target import base_url_of
from perflib.store.authorities import tls_context

_PATIENCE_S = 10.0
_LONGEST_S = 60.0
_MOST_BYTES = 100 * 2**20
_MOST_HOPS = 5
_YAML = re.compile(rb"\s*(%YAML|---|#|[\"']?(openapi|swagger)[\"']?\s*:)")


class _NoDocumentError(Exception):
    """Why there is no document."""


def discover(base_url: str) -> Discovered:
    """The target that a server's /openapi.json describes.

    Raises:
        InputError: where there is no such document.
    """
    base_url = base_url_of(base_url, "discover")
    url = f"{base_url}/openapi.json"
    try:
        found = _followed(url)
        document = _read(found.content)
    except (httpx.HTTPError, httpx.InvalidURL, _NoDocumentError, ValueError) as error:
        raise InputError(f"{url}: no OpenAPI document there ({error}); write a target file by hand") from None
    at, was = urlsplit(found.url), urlsplit(base_url)
    return discovered_in(document, f"{at.scheme}://{at.netloc}{was.path}")


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        yaml = _YAML.match(content) is not None
        raise _NoDocumentError("it is YAML; have the server offer it as JSON" if yaml else str(error)) from None


@dataclass(frozen=True)
class _Found:
    url: str
    content: bytes


def _followed(url: str) -> _Found:
    """What is found there, after redirects on the same host, from http to https say."""
    host = urlsplit(url).hostname
    for _ in range(_MOST_HOPS):
        with _asked(url) as answer:
            if not answer.has_redirect_location:
                return _Found(url, _whole(answer))
            url = urljoin(url, answer.headers["location"])
        if urlsplit(url).hostname != host or not url.startswith(("http://", "https://")):
            raise _NoDocumentError(f"it leads to another host, {urlsplit(url).hostname}; name that one if it is meant")
    raise _NoDocumentError(f"more than {_MOST_HOPS} redirects")


def _asked(url: str) -> AbstractContextManager[httpx.Response]:
    """The answer to a GET, by the rules of the load: no proxy, no .netrc, the same authorities."""
    at = parsed(url)
    verify = tls_context() if at.scheme == "https" else False
    return httpx.stream("GET", at.copy_with(host=looked_up(at)), trust_env=False, verify=verify, timeout=_PATIENCE_S)


def _whole(answer: httpx.Response) -> bytes:
    """The body of a success, as far as it is bearable."""
    if not answer.is_success:
        raise _NoDocumentError(f"it answers {answer.status_code} {answer.reason_phrase}")
    content, until_s = bytearray(), monotonic() + _LONGEST_S
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > _MOST_BYTES or monotonic() > until_s:
            raise _NoDocumentError(f"it is longer than {_MOST_BYTES >> 20} MB, or takes more than {_LONGEST_S:.0f} s")
    return bytes(content)
