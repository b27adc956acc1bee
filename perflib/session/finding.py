"""Finding a server's OpenAPI document: at its own URL, in a file, or at the places where frameworks serve it."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from perflib.load.request import looked_up, parsed
from perflib.spec import InputError
from perflib.spec.openapi_document import items_of, node_of
from perflib.spec.target import base_url_of
from perflib.spec.undriven import by_url
from perflib.spec.values import is_loopback
from perflib.store.authorities import tls_context
from perflib.store.documents import MOST_BYTES, load_document, read_document

PLACES = (
    *("/openapi.json", "/v3/api-docs", "/swagger/v1/swagger.json", "/swagger.json", "/api-json", "/api/schema/"),
    *("/openapi.yaml", "/openapi.yml", "/swagger.yaml", "/v3/api-docs.yaml", "/v2/api-docs", "/api-docs"),
    *("/api/openapi.json", "/api/swagger.json", "/api/spec.yaml", "/api/v1/openapi.json", "/docs/openapi.json"),
    *("/docs/json", "/documentation/json", "/swagger/doc.json", "/schema/", "/openapi", "/q/openapi"),
)
"""FastAPI, springdoc, Swashbuckle, flask-restx, NestJS, drf-spectacular, Fastify, swag, Quarkus and others."""
_PAGES = ("/docs", "/swagger-ui/index.html", "/swagger", "/redoc", "/api/docs", "/")
"""Pages that show a document and say where it is."""
_PATIENCE_S, _LONGEST_S, _MOST_HOPS, _MOST_LINKS = 10.0, 60.0, 5, 5
_LINK = re.compile(rb"""(?:url|href|src)["']?\s*[:=]\s*["']([^"'\s<>]{1,500})["']""", re.IGNORECASE)
_LOOKS_LIKE_ONE = re.compile(r"(openapi|swagger|api-docs|api-json|schema|spec)[^?]*(\.(json|ya?ml))?$|\.(json|ya?ml)$")
_IS_FILE = re.compile(r"\.(json|ya?ml)$", re.IGNORECASE)
_NOWHERE = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Found:
    """An OpenAPI document, and where its server is."""

    where: str
    document: Any
    base_url: str
    is_trusted: bool
    """Whether the user named this very server: a token goes to no other."""


class _NoDocumentError(Exception):
    """Why there is no document."""


def find(place: str, url: str, token_env: str, *, allow_plain_token: bool) -> Found:
    """The document at `place`, a URL or a file; `url` is the server's base URL, where the user knows it.

    Raises:
        InputError: where there is no such document.
    """
    if undriven := by_url(place):
        raise InputError(f"{place}: {undriven}")
    base_url = base_url_of(url, "--url") if url else ""
    if not re.match(r"https?:/", place):
        document = load_document(Path(place))
        return Found(place, document, base_url or _first_server(document), is_trusted=bool(base_url))
    named = base_url_of(place.partition("?")[0], "discover")
    search = _Search(named, os.environ.get(token_env, ""), allow_plain_token)
    try:
        at, document = search.document(place)
    except _PROBLEMS as error:
        raise InputError(f"{search.tried[0]}: no OpenAPI document there ({error}){search.others}") from None
    is_own = at == place or _IS_FILE.search(named) is not None
    here = base_url or f"{_origin(at)}{'' if is_own else urlsplit(named).path}"
    return Found(at, document, here, is_trusted=_origin(here) in (_origin(named), base_url and _origin(base_url)))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _first_server(document: Any) -> str:
    """The server that a file names."""
    root = node_of(document)
    urls = [node_of(server).get("url") for server in items_of(root.get("servers"))]
    if isinstance(root.get("host"), str):
        urls.append(f"{next(iter(items_of(root.get('schemes'))), 'https')}://{root['host']}")
    for url in urls:
        try:
            return base_url_of(_origin(url), "servers") if isinstance(url, str) else _NOWHERE
        except (InputError, ValueError):
            continue
    return _NOWHERE


_PROBLEMS = (httpx.HTTPError, httpx.InvalidURL, _NoDocumentError, ValueError)


@dataclass
class _Search:
    base_url: str
    token: str
    allow_plain_token: bool

    def __post_init__(self) -> None:
        self.tried: list[str] = []

    @property
    def others(self) -> str:
        """What to say of the places after the first."""
        more = f", nor at {len(self.tried) - 1} other places" if len(self.tried) > 1 else ""
        return f"{more}; name its URL or file, or write a target file by hand"

    def document(self, url: str) -> tuple[str, Any]:
        """The first document there is, and its URL. Raises what tells best why there is none."""
        problem: Exception | None = None
        for candidate in self._candidates(url):
            self.tried.append(candidate)
            try:
                return self._read(candidate)
            except httpx.TransportError:
                raise
            except _PROBLEMS as error:
                problem = problem if problem and "404" not in str(problem) else error
        raise problem or _NoDocumentError("no place to look at")

    def _candidates(self, url: str) -> Iterator[str]:
        if "?" in url or urlsplit(url).path.strip("/"):
            yield url
        if _IS_FILE.search(urlsplit(url).path):
            return
        bases = dict.fromkeys((self.base_url, _origin(self.base_url)))
        yield from (base + place for place in PLACES for base in bases)
        yield from (base + page for page in _PAGES for base in bases)

    def _read(self, url: str) -> tuple[str, Any]:
        """A document at this URL, or at one that the page there links to."""
        at, content = self._followed(url)
        with_links = re.match(rb"\s*(<!doctype html|<html|<\?xml|<!--)", content[:200], re.IGNORECASE)
        if not with_links:
            return at, _document(content)
        for link in _links(content, at):
            try:
                found, content = self._followed(link)
                return found, _document(content)
            except _PROBLEMS:
                continue
        raise _NoDocumentError("it is a page, and links to no document")

    def _followed(self, url: str) -> tuple[str, bytes]:
        """What is found there, after redirects on the same host, from http to https say."""
        host = urlsplit(url).hostname
        for _ in range(_MOST_HOPS):
            with self._asked(url) as answer:
                if not answer.has_redirect_location:
                    return url, _whole(answer)
                url = urljoin(url, answer.headers["location"])
            if urlsplit(url).hostname != host or not url.startswith(("http://", "https://")):
                raise _NoDocumentError(
                    f"it leads to another host, {urlsplit(url).hostname}; name that one if it is meant"
                )
        raise _NoDocumentError(f"more than {_MOST_HOPS} redirects")

    def _asked(self, url: str) -> AbstractContextManager[httpx.Response]:
        """The answer to a GET, by the rules of the load: no proxy, no .netrc, the same authorities."""
        try:
            at = parsed(url)
        except InputError as error:
            raise _NoDocumentError(str(error)) from None
        verify = tls_context() if at.scheme == "https" else False
        headers = {"Authorization": f"Bearer {self.token}"} if self._may_have_token(url) else {}
        at = at.copy_with(host=looked_up(at))
        return httpx.stream("GET", at, headers=headers, trust_env=False, verify=verify, timeout=_PATIENCE_S)

    def _may_have_token(self, url: str) -> bool:
        fits = self.token.isascii() and self.token.isprintable() and bool(self.token)
        is_safe = url.startswith("https:") or is_loopback(urlsplit(url).hostname or "") or self.allow_plain_token
        return fits and is_safe and _origin(url) == _origin(self.base_url)


def _links(page: bytes, url: str) -> Iterator[str]:
    """Where a page's documents may be, on the same host."""
    seen: list[str] = []
    for found in _LINK.finditer(page[: 2**20]):
        try:
            link = urljoin(url, found[1].decode("latin-1").replace("&amp;", "&"))
            is_here = urlsplit(link).hostname == urlsplit(url).hostname
        except ValueError:
            continue
        if is_here and _LOOKS_LIKE_ONE.search(urlsplit(link).path) and link not in seen and len(seen) < _MOST_LINKS:
            seen.append(link)
            yield link


def _document(content: bytes) -> Any:
    try:
        document = read_document(content)
    except ValueError as error:
        raise _NoDocumentError(str(error)) from None
    if not isinstance(node_of(document).get("paths"), dict) and not {"openapi", "swagger"} & node_of(document).keys():
        raise _NoDocumentError("it is no OpenAPI document")
    return document


def _whole(answer: httpx.Response) -> bytes:
    """The body of a success, as far as it is bearable."""
    if not answer.is_success:
        mend = "; export the variable of its token" if answer.status_code in (401, 403) else ""
        raise _NoDocumentError(f"it answers {answer.status_code} {answer.reason_phrase}{mend}")
    content, until_s = bytearray(), monotonic() + _LONGEST_S
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > MOST_BYTES or monotonic() > until_s:
            raise _NoDocumentError(f"it is longer than {MOST_BYTES >> 20} MB, or takes more than {_LONGEST_S:.0f} s")
    return bytes(content)
