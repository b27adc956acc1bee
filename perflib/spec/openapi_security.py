"""Security schemes of an OpenAPI document as a target file says them: headers and parameters with variables."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from perflib.spec.openapi_document import Document, Node, Operation, items_of, node_of
from perflib.spec.secret import TOKEN

_WORD = re.compile(r"[A-Za-z0-9]+")
_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9]|(?<=[a-z])(?=[A-Z])")


def variable(name: str) -> str:
    """The environment variable of a secret.

    >>> variable("X-Api-Key"), variable("accessToken")
    ('API_KEY', 'ACCESS_TOKEN')
    """
    words = [word.upper() for word in _BETWEEN_WORDS.split(name) if _WORD.fullmatch(word)]
    kept = words[1:] if words[:1] == ["X"] and len(words) > 1 else words
    return "_".join(kept) if kept and not kept[0][0].isdigit() else "_".join(("API", *kept))


@dataclass(frozen=True)
class Scheme:
    """A way to say who asks."""

    target: Node
    """Keys of ``[target]``; empty: it can only be said of an endpoint."""
    endpoint: Node
    """Keys of ``[[endpoint]]``; empty: it can only be said of the target."""
    rank: int
    """The less a user has to fill in, the lower."""


def scheme_of(node: Node, token_env: str) -> Scheme | None:
    """What a security scheme comes to; None where a target file cannot say it."""
    kind, how, name = (str(node.get(key, "")) for key in ("type", "scheme", "name"))
    if kind in ("oauth2", "openIdConnect") or how.lower() == "bearer":
        return Scheme({"token_env": token_env}, {}, 0)
    if kind == "basic" or how.lower() == "basic":
        return Scheme({"auth": {"basic": {"user": "user", "password": {"env": "API_PASSWORD"}}}}, {}, 3)
    if kind != "apiKey" or not name or not name.isprintable():
        return None
    key = variable(name)
    if node.get("in") == "query":
        return Scheme({}, {"params": {name: {"env": key}}}, 2)
    if not TOKEN.fullmatch(name):
        return None
    if node.get("in") == "cookie":
        return Scheme({"auth": {"header": "Cookie", "value": f"{name}={{env:{key}}}"}}, {}, 1)
    if name.lower() == "authorization":
        says_bearer = "bearer" in str(node.get("description")).lower()
        auth: Node = {"auth": {"header": name, "value": f"{{env:{key}}}"}}
        return Scheme({"token_env": token_env} if says_bearer else auth, {}, 1)
    return Scheme({"auth": {"header": name, "value": f"{{env:{key}}}"}}, {"headers": {name: {"env": key}}}, 1)


@dataclass(frozen=True)
class Security:
    """The schemes of a document, one of them that of the whole target."""

    document: Document
    token_env: str
    has_token: bool = False
    """Whether there is a token, which a server may take though its document says nothing of it."""

    @cached_property
    def schemes(self) -> dict[str, Scheme]:
        root = self.document.root
        nodes = node_of(node_of(root.get("components")).get("securitySchemes")) | node_of(
            root.get("securityDefinitions")
        )
        found = {str(name): scheme_of(self.document.resolved(node), self.token_env) for name, node in nodes.items()}
        return {name: scheme for name, scheme in found.items() if scheme is not None}

    @cached_property
    def of_target(self) -> str | None:
        """The scheme that most operations ask for, of those that are said of a target."""
        asked = Counter(name for one in self.document.operations for name in self._asked(one))
        fit = [name for name, scheme in self.schemes.items() if scheme.target]
        return max(fit, key=lambda name: (asked[name], -self.schemes[name].rank), default=None)

    @property
    def target(self) -> Node:
        """The keys of ``[target]``."""
        if self.of_target is None:
            return {"token_env": self.token_env} if self.has_token and not self.schemes else {}
        return self.schemes[self.of_target].target

    def endpoint(self, operation: Operation) -> Node:
        """The keys of an operation's ``[[endpoint]]``: what it asks for beside the target's scheme."""
        keys = [self.schemes[name].endpoint for name in self._asked(operation) if name != self.of_target]
        places = {place for key in keys for place in key}
        return {place: {name: value for key in keys for name, value in key.get(place, {}).items()} for place in places}

    def _asked(self, operation: Operation) -> list[str]:
        """The schemes of the alternative that leaves least to fill in."""
        said = operation.node.get("security", self.document.root.get("security"))
        if said is None:  # they are described, and nowhere asked for
            return [] if not self.schemes else [min(self.schemes, key=lambda name: self.schemes[name].rank)]
        return min(self._alternatives(said), key=self._rank, default=[])

    def _alternatives(self, said: object) -> Iterator[list[str]]:
        for one in items_of(said):
            names = [str(name) for name in node_of(one)]
            if names and all(name in self.schemes for name in names):
                yield names

    def _rank(self, names: list[str]) -> int:
        return max(self.schemes[name].rank for name in names)
