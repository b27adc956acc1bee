"""Authentication: what makes a request one of a known caller. A kind is a class here, with `Auth`'s two members.

No secret is a value: each is named by its environment variable, which only a worker reads.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from pydantic import Discriminator, Field, Tag

from perflib.spec.secret import Header, Secret, Variable
from perflib.spec.values import Spec, must

_ENV = re.compile(r"\{env:([^{}]*)\}")


@dataclass(frozen=True)
class Outgoing:
    """A request's own headers and query parameters, before or after authentication."""

    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def with_header(self, name: str, value: str) -> "Outgoing":
        """The same with one more header; one that the request has already stays."""
        has = any(one.lower() == name.lower() for one in self.headers)
        return self if has else Outgoing(self.headers | {name: value}, self.params)


class Auth(Protocol):
    """A kind of authentication."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its secrets are read from."""

    @property
    def in_words(self) -> str:
        """What is sent, without a secret; two targets whose words differ are asked by other callers."""

    def apply(self, request: Outgoing, environment: Mapping[str, str]) -> Outgoing:
        """The request as this caller sends it.

        Raises:
            InputError: for a variable that is not set.
        """


class Bearer(Spec):
    """``token_env = "NAME"``: Authorization: Bearer, and the variable's value."""

    token_env: Variable

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.token_env,)

    @property
    def in_words(self) -> str:
        return f"bearer ${self.token_env}"

    def apply(self, request: Outgoing, environment: Mapping[str, str]) -> Outgoing:
        token = Secret(env=self.token_env).value_in(environment)
        return request.with_header("Authorization", f"Bearer {token}")


class User(Spec):
    """A user name and the variable of its password."""

    user: str
    password: Secret


class Basic(Spec):
    """``auth = { basic = { user = "u", password = { env = "PW" } } }`` (RFC 7617)."""

    basic: User

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.basic.password.env,)

    @property
    def in_words(self) -> str:
        return f"basic {self.basic.user} ${self.basic.password.env}"

    def apply(self, request: Outgoing, environment: Mapping[str, str]) -> Outgoing:
        pair = f"{self.basic.user}:{self.basic.password.value_in(environment)}"
        return request.with_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")


class HeaderAuth(Spec):
    """``auth = { header = "Authorization", value = "token {env:TOKEN}" }``."""

    header: Header
    value: Annotated[
        str,
        must(lambda value: value.isascii() and value.isprintable(), "no header can hold it; only printable ASCII fits"),
        must(_ENV.search, 'holds no {env:NAME}; a secret is named by its variable, as in "token {env:TOKEN}"'),
    ]

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(_ENV.findall(self.value))

    @property
    def in_words(self) -> str:
        return f"{self.header}: {self.value}"

    def apply(self, request: Outgoing, environment: Mapping[str, str]) -> Outgoing:
        value = _ENV.sub(lambda found: Secret(env=found[1]).value_in(environment), self.value)
        return request.with_header(self.header, value)


class QueryAuth(Spec):
    """``auth = { query = "api_key", value = "{env:API_KEY}" }``."""

    query: Annotated[str, Field(min_length=1)]
    value: Annotated[
        str, must(_ENV.search, 'holds no {env:NAME}; a secret is named by its variable, as in "{env:API_KEY}"')
    ]

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(_ENV.findall(self.value))

    @property
    def in_words(self) -> str:
        return f"query {self.query}={self.value}"

    def apply(self, request: Outgoing, environment: Mapping[str, str]) -> Outgoing:
        value = _ENV.sub(lambda found: Secret(env=found[1]).value_in(environment), self.value)
        return Outgoing(request.headers, {self.query: (value,)} | request.params)


_WRITTEN = {"basic": "basic = { … }", "header": "header and value", "query": "query and value"}
"""How each kind is written, by the key that tells it."""


def _kind_of(table: Any) -> str | None:
    """Which kind a table is, by its keys."""
    keys = set(table) if isinstance(table, dict) else set(type(table).model_fields)
    return next((kind for kind in _WRITTEN if kind in keys), None)


AuthTable = Annotated[
    Annotated[Basic, Tag("basic")] | Annotated[HeaderAuth, Tag("header")] | Annotated[QueryAuth, Tag("query")],
    Discriminator(
        _kind_of,
        custom_error_type="auth_kind",
        custom_error_message=f"no kind of authentication; write {', or '.join(_WRITTEN.values())}",
    ),
]
"""What ``auth`` of a target file may be: one of the kinds above, told apart by its key."""
