"""The target: the system under test, its endpoints and its pages, as a target file describes them."""

import math
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from perflib.show.numbers import limit
from perflib.show.table import Table, numbers, row, words
from perflib.spec.auth import Auth, AuthTable, Bearer
from perflib.spec.briefs import check_brief
from perflib.spec.scenario_table import ScenarioTable
from perflib.spec.secret import TOKEN, Header, Secret, Variable
from perflib.spec.tls import Tls, shown_file
from perflib.spec.undriven import by_header, by_url
from perflib.spec.values import InputError, PositiveDuration, Spec, Written, must

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2; the first four are also safe (9.2.1). Of other methods nothing is known."""
_METHODS = IDEMPOTENT | {"POST", "PATCH"}
_LENGTHS = ("content-length", "transfer-encoding")
_WITHOUT_CONTENT = (204, 205, 304)
"""Statuses whose answers have no body (RFC 9110, 15)."""
_TABLES = {"endpoint": "endpoints", "page": "pages", "scenario": "scenarios"}
_LONGEST_URL = 8000
_SCENARIO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
MEDIA_RANGE = re.compile(rf"\s*{TOKEN.pattern}/{TOKEN.pattern}\s*(;.*)?")
Scalar = str | bool | int | float


def _as_table(name: str) -> AliasChoices:
    """The field is also read by its table's name in a target file, which is then the name in what is refused."""
    return AliasChoices(name, _TABLES[name])


def _is_url(url: str) -> bool:
    """Whether this is a server's URL without a user or password. What urlsplit says against it may quote them.

    A look-up takes a host in its IDNA form, which some have not: "a..b", say.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool((parts.hostname or "").encode("idna")) and parts.port != 0
    except ValueError:
        return False
    return fits and "@" not in parts.netloc and url.isprintable() and " " not in url and len(url) <= _LONGEST_URL


def _check_base_url(url: str) -> str:
    if undriven := by_url(url):
        raise ValueError(undriven)
    if not _is_url(url) or "?" in url or "#" in url:
        raise ValueError("not a base URL; write http://host:port or https://host/path, without a password")
    return url.rstrip("/")


def base_url_of(url: str, where: str) -> str:
    """The base URL that a user gave at `where`. Raises InputError, without the URL, which may hold a password."""
    try:
        return _check_base_url(url)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _check_socket(path: str) -> str:
    if not path.isprintable() or "://" in path:
        raise ValueError("not the path of a socket; write /run/api.sock")
    return path


def _check_host(host: str) -> str:
    if not host or any(c.isspace() or c in "/*@[]" for c in host) or host.count(":") == 1:
        raise ValueError("not a host; write its name or address alone, such as staging.example")
    return host.lower()


def _check_scenario_names(tables: dict[str, ScenarioTable]) -> dict[str, ScenarioTable]:
    """A name becomes part of a run's folder and of a notebook's code."""
    for name in tables:
        if not _SCENARIO.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a scenario; write letters, digits, - and _, as in checkout")
    return tables


BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
Host = Annotated[str, AfterValidator(_check_host)]
MetricsUrl = Annotated[str, must(_is_url, "not the URL of metrics; write http://host:port/metrics, without a password")]
UrlPath = Annotated[
    str,
    must(lambda path: path.startswith("/"), 'a path starts with "/"'),
    must(
        lambda path: path.isprintable() and not any(c.isspace() for c in path),
        "a path holds no spaces or invisible characters; write a space as %20, a tab as %09",
    ),
    must(lambda path: len(path) <= _LONGEST_URL, f"a path holds at most {_LONGEST_URL:,} characters"),
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


def _check_body(value: object) -> object:
    if isinstance(value, date | time):
        raise ValueError(f'JSON has no dates; write it as text: "{value.isoformat()}"')
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'JSON has no {value}; write a number, or "{value}" as text')
    if isinstance(value, Written) and Decimal(value.text) != Decimal(repr(value)):
        raise ValueError(f"{value.text} has more digits than a number keeps; write the whole body as text")
    for inner in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        _check_body(inner)
    return value


Param = Annotated[Scalar | Secret | tuple[Scalar | Secret, ...], BeforeValidator(_check_param)]
"""The value of a query parameter, or several, each sent with the name."""


class Expect(Spec):
    """What an answer must be to count as a success. Without it: any 2xx, any content."""

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    content_type: str | tuple[str, ...] | None = None
    """A media type or range, such as ``text/*``, or several; parameters and case do not matter."""
    keys: tuple[str, ...] = ()
    """Keys that the JSON object of the body must have at its top level."""
    forbid: dict[str, Scalar] = Field(default_factory=dict)
    """Top-level values that make a 200 a failure, such as ``{"status": "error"}``."""

    @property
    def content_types(self) -> tuple[str, ...]:
        """The media ranges, one of which an answer must have; none: any will do."""
        said = self.content_type or ()
        return (said,) if isinstance(said, str) else said


class Cold(Spec):
    """How a cold answer shows: this header has this value (both compared without regard to case)."""

    header: str
    equals: str


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
    body: Annotated[JsonValue, BeforeValidator(_check_body)] = None
    """Text sent as it is, or any other value sent as JSON."""
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
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
        odd = next((one for one in expect.content_types if not MEDIA_RANGE.fullmatch(one)), None)
        length = next((name for name in self.headers if name.lower() in _LENGTHS), None)
        asked = ((name, by_header(name, value)) for name, value in self.headers.items() if isinstance(value, str))
        if other := next((f"headers.{name}: {what}" for name, what in asked if what), ""):
            return other
        if "#" in self.path:
            return 'path: "#" and what follows is never sent; write it as %23'
        if length is not None:
            return f"headers.{length}: perflib tells the length of the body itself; remove it"
        if odd is not None:
            return f"expect.content_type: {odd!r} is no media type; write one such as application/json, or a list"
        if (expect.keys or expect.forbid) and (self.method == "HEAD" or expect.status in _WITHOUT_CONTENT):
            return "expect: such an answer has no body; remove keys and forbid"
        return ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its secrets are read from."""
        values = (*(value for values in self.params.values() for value in _each(values)), *self.headers.values())
        return tuple(value.env for value in values if isinstance(value, Secret))

    def params_in(self, environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """The query parameters as text, secrets among them. Raises InputError for a variable that is not set."""
        return {
            name: tuple(as_text(self._revealed(value, environment)) for value in _each(values))
            for name, values in self.params.items()
        }

    def headers_in(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The headers to be sent, secrets among them. Raises InputError for a variable that is not set."""
        return {name: str(self._revealed(value, environment)) for name, value in self.headers.items()}

    def _revealed(self, value: Scalar | Secret, environment: Mapping[str, str]) -> Scalar:
        if not isinstance(value, Secret):
            return value
        try:
            return value.value_in(environment)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None


def _each(values: Param) -> tuple[Scalar | Secret, ...]:
    return values if isinstance(values, tuple) else (values,)


def as_text(value: Scalar) -> str:
    """A scalar as TOML and JSON write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


PAGE_CONNECTIONS = 6
"""So many parts of a page are on their way at a time, as in a browser."""


class Page(Spec):
    """Endpoints fetched in parallel, as a browser would; its time is the last answer's."""

    name: Annotated[str, Field(min_length=1)]
    loads: Annotated[tuple[str, ...], Field(min_length=1)]
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
    hot: bool = False


class Target(Spec):
    """The system under test, and what it may be sent. Holds the name of its token's variable, never the token."""

    name: Annotated[str, Field(min_length=1)]
    base_url: BaseUrl
    token_env: Variable | None = None
    """Sent as a bearer token."""
    auth: AuthTable | None = None
    """Another kind of authentication: see `perflib.spec.auth`."""
    tls: Tls = Tls()
    unix_socket: Annotated[str, AfterValidator(_check_socket)] = ""
    """Where connections go in place of the base URL's host and port: a path, from the target file's folder."""
    reconnect_every: PositiveInt | None = None
    """So many requests are sent over a connection before it is closed and opened anew. None: any number."""
    allow_hosts: tuple[Host, ...] = ()
    """Hosts besides this machine that may get load; only ever those named, without wildcards."""
    allow_plain_token: bool = False
    """Whether a token or another secret may go to another host over http, where all on the way can read it."""
    max_requests: PositiveInt | None = None
    """Sent in a run at most. None: 1,000,000 to another host, any number to this machine."""
    keep_going: bool = False
    """Whether a run goes on after five seconds of nothing but errors."""
    samples: bool = True
    """Whether a run keeps samples of failed answers, which hold what the target said."""
    metrics_url: MetricsUrl | None = None
    """Prometheus text with process_resident_memory_bytes, asked once per second for the target's memory."""
    validation: Annotated[str, AfterValidator(check_brief)] = ""
    """The brief whose criteria a report of this target opens with; empty: none."""
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, validation_alias=_as_table("endpoint"))]
    pages: Annotated[tuple[Page, ...], Field(validation_alias=_as_table("page"))] = ()
    scenarios: Annotated[
        dict[str, ScenarioTable],
        AfterValidator(_check_scenario_names),
        Field(default_factory=dict, validation_alias=_as_table("scenario")),
    ]
    folder: Annotated[Path, Field(exclude=True, repr=False)] = Path()
    """Where the target file lies, and the files that it names: stored nowhere."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.token_env and self.auth:
            raise ValueError("auth: token_env is given too; keep one of them")
        names = [item.name for item in self.items]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two entries are named {twice!r}; give one of them another name")
        known = {endpoint.name for endpoint in self.endpoints}
        for page in self.pages:
            unknown = next((load for load in page.loads if load not in known), None)
            if unknown:
                raise ValueError(
                    f"page {page.name!r} loads {unknown!r}, which is no endpoint here; add it or mend the name"
                )
        return self

    @classmethod
    def from_document(cls, document: dict[str, Any], where: str) -> Self:
        """A target from a parsed target file (``[target]``, ``[[endpoint]]``, ``[[page]]``).

        Raises:
            InputError: naming `where`, the key and the mend.
        """
        head = document.get("target")
        if not isinstance(head, dict):
            raise InputError(f"{where}: target: missing; start the file with a [target] table (name, base_url)")
        if "folder" in head:
            raise InputError(f"{where}: target.folder: unknown key; remove it or mend its spelling")
        unknown = next((key for key in document if key not in ("target", *_TABLES)), None)
        if unknown:
            raise InputError(
                f"{where}: {unknown}: unknown key; the tables are [target], [[endpoint]], [[page]], [scenario.NAME]"
            )
        target = cls.parse(head | {key: document[key] for key in _TABLES if key in document}, where)
        if "tls" in head and urlsplit(target.base_url).scheme == "http":
            raise InputError(f"{where}: target.tls: base_url is http, which has none; write https:// or remove it")
        for number, endpoint in enumerate(target.endpoints, 1):
            if endpoint.flaw:
                raise InputError(f"{where}: endpoint[{number}].{endpoint.flaw}")
        return target

    def at(self, url: str, where: str) -> Self:
        """The same at another URL, which is asked there and by no socket. Raises InputError for a bad URL."""
        return self.parse(dict(self) | {"base_url": url, "unix_socket": ""}, where)

    def to_document(self) -> dict[str, Any]:
        """The inverse of `from_document`, defaults left out."""
        whole = self.model_dump(mode="json", exclude_defaults=True)
        tables = {key: whole.pop(field) for key, field in _TABLES.items() if field in whole}
        return {"target": whole} | tables

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its token and its endpoints' secrets are read from."""
        of_auth = self.caller.secrets if self.caller else ()
        return tuple(dict.fromkeys((*of_auth, *(name for one in self.endpoints for name in one.secrets))))

    @property
    def given(self) -> tuple[str, ...]:
        """The variables and files of which the target gets what they hold; of a key it gets a proof alone."""
        shown = self.tls.client_cert
        return (*self.secrets, *((shown_file(shown),) if shown else ()))

    @property
    def transport_in_words(self) -> str:
        """What of its connections changes what is measured; empty: nothing was asked for."""
        said = ("a Unix socket" if self.unix_socket else "", self.tls.in_words)
        anew = f"opened anew every {self.reconnect_every:,} requests" if self.reconnect_every else ""
        return ", ".join(filter(None, (*said, anew)))

    @property
    def is_unverified(self) -> bool:
        """Whether nobody checks that it is who it says."""
        return not self.tls.verify and urlsplit(self.base_url).scheme == "https"

    @property
    def caller(self) -> Auth | None:
        """Who asks: what authenticates every request."""
        return Bearer(token_env=self.token_env) if self.token_env else self.auth

    @property
    def auth_in_words(self) -> str:
        """How requests are authenticated, without a secret."""
        return self.caller.in_words if self.caller else "none"

    @property
    def items(self) -> tuple[Endpoint | Page, ...]:
        """Endpoints, then pages: all that a scenario may drive, in the file's order."""
        return *self.endpoints, *self.pages

    def __repr__(self) -> str:
        return f"<Target {self.name} at {self.base_url}: {len(self.endpoints)} endpoints, {len(self.pages)} pages>"

    def _repr_html_(self) -> str:
        endpoints = [row(one.name, one.method, one.path, limit(one.target_ms)) for one in self.endpoints]
        pages = [row(page.name, "page", ", ".join(page.loads), limit(page.target_ms)) for page in self.pages]
        columns = (*words("Name", "Method", "Path"), *numbers("Limit, ms"))
        return Table(columns, (*endpoints, *pages), f"Target {self.name} at {self.base_url}").html()
