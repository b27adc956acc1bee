"""The endpoint: one request of the target, as a target file describes it."""

import math
import re
from datetime import date, time
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, PositiveFloat, model_validator

from perflib.spec.data import File
from perflib.spec.expect import WITHOUT_CONTENT, Expect, Scalar
from perflib.spec.pattern import Pattern, patterns_in
from perflib.spec.secret import TOKEN, Header, Secret
from perflib.spec.undriven import by_header
from perflib.spec.values import PositiveDuration, Share, Spec, Written, must

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2. Of other methods nothing is known."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, 9.2.1."""
_METHODS = IDEMPOTENT | {"POST", "PATCH"}
_LENGTHS = ("content-length", "transfer-encoding")
LONGEST_URL = 8000
UrlPath = Annotated[
    str,
    must(lambda path: path.startswith("/"), 'a path starts with "/"'),
    must(
        lambda path: path.isprintable() and not any(c.isspace() for c in path),
        "a path holds no spaces or invisible characters; write a space as %20, a tab as %09",
    ),
    must(lambda path: len(path) <= LONGEST_URL, f"a path holds at most {LONGEST_URL:,} characters"),
]
Method = Annotated[
    str,
    must(TOKEN.fullmatch, "not a method; write one word such as GET, HEAD or PURGE"),
    must(
        lambda method: method in _METHODS or method.upper() not in _METHODS,
        "the case of a method matters (RFC 9110, 9.1); write it in capitals",
    ),
    must(lambda method: method.upper() != "CONNECT", "opens a tunnel and asks for nothing; leave the endpoint out"),
]
Weight = Annotated[int | float, Field(ge=0, le=1e12)]
"""Of a scenario's mix; 0: only asked for as a part of a page."""


def _check_param(value: object) -> object:
    return tuple(map(_check_one, value)) if isinstance(value, list | tuple) else _check_one(value)


def _check_one(value: object) -> object:
    fits = isinstance(value, str | int | Secret) or (isinstance(value, dict) and "env" in value)
    if not fits and not (isinstance(value, float) and math.isfinite(value)):
        raise ValueError('no parameter; write text, a number, true, a list of these, or { env = "NAME" }')
    return value.text if isinstance(value, Written) else value


def check_body(value: object) -> object:
    if isinstance(value, date | time):
        raise ValueError(f'JSON has no dates; write it as text: "{value.isoformat()}"')
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'JSON has no {value}; write a number, or "{value}" as text')
    if isinstance(value, Written) and Decimal(value.text) != Decimal(repr(value)):
        raise ValueError(f"{value.text} has more digits than a number keeps; write the whole body as text")
    for inner in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        check_body(inner)
    return value


Param = Annotated[Scalar | Secret | tuple[Scalar | Secret, ...], BeforeValidator(_check_param)]
"""The value of a query parameter, or several, each sent with the name."""


_UPPER_CASE = re.compile(r"[A-Z_][A-Z0-9_]*")


def undriven(headers: dict[str, str | Secret]) -> str:
    """The first header that asks for something else than HTTP/1, and what it is; or empty."""
    asked = ((name, by_header(name, value)) for name, value in headers.items() if isinstance(value, str))
    return next((f"headers.{name}: {what}" for name, what in asked if what), "")


class Cold(Spec):
    """How a cold answer shows: this header has this value (both compared without regard to case)."""

    header: str
    equals: str


class FilePart(Spec):
    """A part of a multipart body: ``{ file = "photo.jpg", content_type = "image/jpeg" }``."""

    file: File
    content_type: str = "application/octet-stream"


class Endpoint(Spec):
    """One request of the target.

    >>> Endpoint(path="/clients", target_ms=200).name
    'GET /clients'
    """

    path: UrlPath
    name: str = ""
    method: Method = "GET"
    params: dict[str, Param] = Field(default_factory=dict)
    """Appended to the path's own query, in this order."""
    headers: dict[Header, str | Secret] = Field(default_factory=dict)
    """A value that is a secret is named by its variable: ``params = { key = { env = "API_KEY" } }``."""
    body: Annotated[JsonValue, BeforeValidator(check_body)] = None
    """Text sent as it is, or any other value sent as JSON; ``{ env = "NAME" }`` in it is a secret."""
    form: dict[str, Param] = Field(default_factory=dict)
    """Sent as a form (application/x-www-form-urlencoded)."""
    file: File | None = None
    """Its bytes are the body."""
    multipart: dict[str, str | Secret | FilePart] = Field(default_factory=dict)
    """Sent as multipart/form-data (RFC 7578)."""
    template: bool = False
    """Whether a body of text holds patterns; it does anyway where the target file has data or saves a value."""
    save: dict[str, str] = Field(default_factory=dict)
    """Values of the answer, each at a JSON pointer (RFC 6901), for the later steps of a journey."""
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
    target_p99_ms: PositiveFloat | None = None
    max_errors: Share | None = None
    hot: bool = False
    cold: Cold | None = None
    expect: Expect = Expect()
    timeout: PositiveDuration | None = None
    """How long a request may take, in place of the scenario's time-out."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("name") and "path" in data:
            return data | {"name": f"{data.get('method', 'GET')} {data['path']}"}
        return data

    @property
    def flaw(self) -> str:
        """Why it is not sent as written, or never succeeds: key, reason, mend; or empty. Stored runs may have one."""
        expect = self.expect
        length = next((name for name in self.headers if name.lower() in _LENGTHS), None)
        if other := undriven(self.headers):
            return other
        if len(self.contents) > 1:
            return f"{self.contents[1]}: {self.contents[0]} is given too; keep one of them"
        if "#" in self.path:
            return 'path: "#" and what follows is never sent; write it as %23'
        if length is not None:
            return f"headers.{length}: perflib sends the length of the body itself; remove it"
        if expect.of_body and (self.method == "HEAD" or expect.judged_statuses <= WITHOUT_CONTENT):
            return f"expect: such an answer has no body; remove {', '.join(expect.of_body)}"
        return expect.flaw

    @property
    def contents(self) -> tuple[str, ...]:
        """The keys that say its content; one at the most fits."""
        return tuple(key for key in ("body", "form", "file", "multipart") if getattr(self, key) not in (None, {}))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its secrets are read from."""
        lists = (*self.params.values(), *self.form.values())
        values = (*(value for values in lists for value in each(values)), *self.headers.values())
        said = (*values, *self.multipart.values())
        return (*(value.env for value in said if isinstance(value, Secret)), *_secrets_in(self.body))

    @property
    def files(self) -> tuple[str, ...]:
        """The files whose content it sends."""
        parts = (part.file for part in self.multipart.values() if isinstance(part, FilePart))
        return (*((self.file,) if self.file else ()), *parts)

    def patterns(self, *, in_text: bool) -> tuple[Pattern, ...]:
        """The places for values; `in_text`: those of a body of text too."""
        body = "" if isinstance(self.body, str) and not (in_text or self.template) else self.body
        said = (self.path, self.params, self.headers, self.form, self.multipart, body)
        return tuple(one for part in said for one in patterns_in(part))


def _secrets_in(body: Any) -> tuple[str, ...]:
    """The variables that a JSON value names: a table whose only key is ``env`` and whose value is in capitals."""
    if (variable := secret_variable(body)) is not None:
        return (variable,)
    parts = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return tuple(name for part in parts for name in _secrets_in(part))


def secret_variable(value: Any) -> str | None:
    """The variable that a table in a JSON body names as its secret's; None for any other value.

    >>> secret_variable({"env": "PW"}), secret_variable({"env": "staging"})
    ('PW', None)
    """
    found = value["env"] if isinstance(value, dict) and set(value) == {"env"} else None
    return found if isinstance(found, str) and _UPPER_CASE.fullmatch(found) else None


def each(values: Param) -> tuple[Scalar | Secret, ...]:
    """The values of a parameter."""
    return values if isinstance(values, tuple) else (values,)


def as_text(value: Scalar) -> str:
    """A scalar as TOML and JSON write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
