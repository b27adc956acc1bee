"""An OpenAPI document as it is found, 3.x or Swagger 2: a node may be of any type, and what is odd counts as absent."""

import math
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from perflib.spec.endpoint import as_text
from perflib.spec.values import is_loopback

Node = dict[Any, Any]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_INDEX = re.compile(r"\d{1,6}")
_AS_WRITTEN = "".join(set(string.punctuation) - {"#", "?"})
_MOST_HOPS = 50
PLACE = re.compile(r"\{([^{}]*)\}")
"""A place for a value in a path or a server's URL."""


def node_of(value: object) -> Node:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


@dataclass(frozen=True)
class Operation:
    """A method of a path; `described` as the document has it, `item` what it says of all methods of the path."""

    path: str
    method: str
    item: Node
    described: object

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def node(self) -> Node:
        return node_of(self.described)


@dataclass(frozen=True)
class Document:
    """A document that was found under `base_url`."""

    root: Node
    base_url: str

    @property
    def operations(self) -> Iterator[Operation]:
        """All operations there are, in the document's order."""
        for path, item in node_of(self.root.get("paths")).items():
            node = self.resolved(item)
            yield from (Operation(str(path), method, node, node[method]) for method in _METHODS if method in node)

    @property
    def empty_paths(self) -> Iterator[str]:
        """The paths that describe nothing, or in a way that cannot be read."""
        for path, item in node_of(self.root.get("paths")).items():
            if not isinstance(item, dict) or (item and not self.resolved(item)):
                yield str(path)

    def resolved(self, value: object) -> Node:
        """What a local ``$ref`` leads to, or the node itself; empty where it leads nowhere, or in a circle."""
        for _ in range(_MOST_HOPS):
            node = node_of(value)
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            value = self._at(reference)
        return {}

    def _at(self, reference: str) -> object:
        """The value at a JSON pointer in a URL's fragment (RFC 6901, 6)."""
        found: Any = self.root if reference.startswith("#") else None
        for part in unquote(reference[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = next(iter(found[int(key) :]), None) if _INDEX.fullmatch(key) else None
            else:
                found = node_of(found).get(key)
        return found

    @property
    def root_path(self) -> str:
        """The path under which the document says that it is served, without a "/" at its end.

        A server is relative to the document or an absolute URL (OpenAPI 3.1, Server Object), of which only one of the
        same host counts; a Swagger 2 document has a basePath.
        """
        base = self.root.get("basePath")
        paths = self._paths_of(self.root) or ([self._under_base(base)] if isinstance(base, str) else [])
        if paths:
            return paths[0]
        base = self._base_path
        described = [str(path) for path in node_of(self.root.get("paths"))]
        return (
            "" if all(path.startswith(f"{base}/") for path in described) else base
        )  # django-ninja writes it into each

    def path_of(self, operation: Operation) -> str | None:
        """The path under which an operation is served: its own servers count first. None: by another host."""
        for holder in (operation.node, operation.item):
            if items_of(holder.get("servers")):
                return next(iter(self._paths_of(holder)), None)
        return self.root_path

    @property
    def is_of_another_host(self) -> bool:
        """Whether it names servers, and none of them is the host that it was asked from."""
        return bool(items_of(self.root.get("servers"))) and not self._paths_of(self.root)

    def _paths_of(self, holder: Node) -> list[str]:
        paths = [self._path_of(node_of(server)) for server in items_of(holder.get("servers"))]
        return [path for path in paths if path is not None]

    def _path_of(self, server: Node) -> str | None:
        url, variables = server.get("url"), node_of(server.get("variables"))
        if not isinstance(url, str):
            return None
        filled = PLACE.sub(lambda place: _default(node_of(variables.get(place[1])), place[0]), url)
        try:
            parts = urlsplit(urljoin(f"{self.base_url}/openapi.json", filled or "."))
            here = _same_host(parts.hostname, urlsplit(self.base_url).hostname)
        except ValueError:
            return None
        return self._under_base(parts.path) if here and "{" not in parts.path else None

    @property
    def _base_path(self) -> str:
        return urlsplit(self.base_url).path

    def _under_base(self, path: str) -> str:
        """A server behind a proxy may know of the base URL's own path, or not."""
        written, base = quote(f"/{path.strip('/')}".rstrip("/"), safe=_AS_WRITTEN), self._base_path
        return written if f"{written}/".startswith(f"{base}/") else base + written


def _default(variable: Node, otherwise: str) -> str:
    values = [variable.get("default"), *items_of(variable.get("enum"))]
    return next((as_text(value) for value in values if is_scalar(value)), otherwise)


def _same_host(one: str | None, other: str | None) -> bool:
    return one == other or all(is_loopback(host or "") or host in ("0.0.0.0", "::") for host in (one, other))


def is_scalar(value: object) -> bool:
    """Whether a URL can hold it: text that is not empty, a finite number, true or false."""
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str | int) and value != ""
