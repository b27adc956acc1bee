"""The target: the system under test, its endpoints and its pages, as a target file describes them."""

import math
import re
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
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
from perflib.spec.data import Data, File
from perflib.spec.expect import WITHOUT_CONTENT, Expect, Scalar, Statuses
from perflib.spec.pattern import NAME, RESERVED, Pattern, listed, patterns_in
from perflib.spec.revision import Revision
from perflib.spec.scenario_table import ScenarioTable
from perflib.spec.secret import TOKEN, Header, Secret, Variable
from perflib.spec.tls import Tls, shown_file
from perflib.spec.undriven import by_header, by_url
from perflib.spec.values import InputError, NonNegativeDuration, PositiveDuration, Share, Spec, Written, must

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2; the first four are also safe (9.2.1). Of other methods nothing is known."""
_METHODS = IDEMPOTENT | {"POST", "PATCH"}
_LENGTHS = ("content-length", "transfer-encoding")
_TABLES = {"endpoint": "endpoints", "page": "pages", "journey": "journeys", "data": "data", "scenario": "scenarios"}
_LONGEST_URL = 8000
_SCENARIO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


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


def _undriven(headers: dict[str, str | Secret]) -> str:
    """The first header that asks for something else than HTTP/1, and what it is; or empty."""
    asked = ((name, by_header(name, value)) for name, value in headers.items() if isinstance(value, str))
    return next((f"headers.{name}: {what}" for name, what in asked if what), "")


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


def _check_data_names(tables: dict[str, Data]) -> dict[str, Data]:
    for name in tables:
        if not NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"{name!r} names no data; write letters, digits and _, none of {', '.join(sorted(RESERVED))}"
            )
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


_UPPER_CASE = re.compile(r"[A-Z_][A-Z0-9_]*")


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
    body: Annotated[JsonValue, BeforeValidator(_check_body)] = None
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
        if other := _undriven(self.headers):
            return other
        if len(self.contents) > 1:
            return f"{self.contents[1]}: {self.contents[0]} is given too; keep one of them"
        if "#" in self.path:
            return 'path: "#" and what follows is never sent; write it as %23'
        if length is not None:
            return f"headers.{length}: perflib tells the length of the body itself; remove it"
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


SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, 9.2.1."""
Pointer = Annotated[str, must(lambda text: text.startswith("/"), 'no JSON pointer (RFC 6901); write "/access_token"')]


class Csrf(Spec):
    """A token that the target gives in a cookie, and wants back in a header of each request that changes data."""

    cookie: Annotated[str, Field(min_length=1)]
    header: Header
    page: UrlPath | None = None
    """Asked for first, as it sets the cookie; None: the login's own path."""


class Login(Spec):
    """What makes virtual users known to the target, before they are measured.

    >>> Login(path="/login", form={"user": "u"}, cookies=True).endpoint.name
    'login POST /login'
    """

    path: UrlPath
    method: Method = "POST"
    headers: dict[Header, str | Secret] = Field(default_factory=dict)
    body: Annotated[JsonValue, BeforeValidator(_check_body)] = None
    form: dict[str, Param] = Field(default_factory=dict)
    expect: Expect | None = None
    """What its answer must be; None: a status from 200 to 399."""
    token: Pointer | None = None
    """Where the answer has the token that is sent as a bearer token from then on."""
    expires_in: Pointer | None = None
    """Where the answer has the seconds after which another login is due."""
    cookies: bool = False
    """Whether each user keeps and sends the target's cookies."""
    csrf: Csrf | None = None
    per: Literal["run", "user"] = "run"
    """Whether all users are one for the target, or each logs in by itself."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if not (self.token or self.cookies):
            raise ValueError('nothing of its answer is used; write token = "/access_token", or cookies = true')
        if self.csrf and not self.cookies:
            raise ValueError("csrf: its token comes in a cookie; write cookies = true beside it")
        return self

    @property
    def endpoint(self) -> Endpoint:
        """The request, as an endpoint has it."""
        said = self.model_dump(include={"path", "method", "headers", "body", "form"})
        return Endpoint.model_validate(said | {"name": f"login {self.method} {self.path}"})

    @property
    def in_words(self) -> str:
        """What is done, without a secret."""
        return f"login {self.method} {self.path}, once a {self.per}"


PAGE_CONNECTIONS = 6
"""So many parts of a page are on their way at a time, as in a browser."""


class Page(Spec):
    """Endpoints fetched in parallel, as a browser would; its time is the last answer's."""

    name: Annotated[str, Field(min_length=1)]
    loads: Annotated[tuple[str, ...], Field(min_length=1)]
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
    target_p99_ms: PositiveFloat | None = None
    max_errors: Share | None = None
    hot: bool = False


def _check_think_time(value: object) -> object:
    """ "1s" or "1s-3s" as seconds, from and to."""
    ends = [part.strip() for part in value.split("-")] if isinstance(value, str) else value
    if not isinstance(ends, list | tuple):
        ends = [ends]
    if len(ends) not in (1, 2):
        raise ValueError('not a time or a range of times; write "2s" or "1s-3s"')
    return ends[0], ends[-1]


class Journey(Spec):
    """Endpoints asked one after the other by one user; its time is that of its steps together, without the pauses."""

    name: Annotated[str, Field(min_length=1)]
    steps: Annotated[tuple[str, ...], Field(min_length=1)]
    think_time: Annotated[tuple[NonNegativeDuration, NonNegativeDuration], BeforeValidator(_check_think_time)] = (0, 0)
    """Between two steps, in seconds: from and to; each pause is drawn evenly between them."""
    weight: Weight = 1
    target_ms: PositiveFloat | None = None
    target_p99_ms: PositiveFloat | None = None
    max_errors: Share | None = None
    hot: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.think_time[0] > self.think_time[1]:
            raise ValueError("think_time: the range ends before it begins; write the shorter time first")
        return self

    @property
    def loads(self) -> tuple[str, ...]:
        """Its endpoints, as a page has them."""
        return self.steps


Whole = Page | Journey
"""What consists of endpoints."""
Item = Endpoint | Page | Journey
"""What a scenario drives."""


def _named(whole: Whole) -> str:
    return f"{'page' if isinstance(whole, Page) else 'journey'} {whole.name!r}"


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
    headers: dict[Header, str | Secret] = Field(default_factory=dict)
    """Sent with every request that has no such header of its own."""
    login: Login | None = None
    cookies: bool = False
    """Whether each user keeps and sends the target's cookies, also without a login."""
    allowed_status: Statuses = "2xx"
    """Of successes, where an endpoint's `expect` says no status."""
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
    revision: Revision | None = None
    """Where a run learns which version of the target it measured."""
    validation: Annotated[str, AfterValidator(check_brief)] = ""
    """The brief whose criteria a report of this target opens with; empty: none."""
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, validation_alias=_as_table("endpoint"))]
    pages: Annotated[tuple[Page, ...], Field(validation_alias=_as_table("page"))] = ()
    journeys: Annotated[tuple[Journey, ...], Field(validation_alias=_as_table("journey"))] = ()
    data: Annotated[dict[str, Data], AfterValidator(_check_data_names)] = Field(default_factory=dict)
    """Rows of values that patterns name: ``{client.id}`` is the column id of the data client."""
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
        if self.login and self.login.token and self.caller:
            raise ValueError("login.token: token_env or auth is given too; keep one of them")
        names = [item.name for item in self.items]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two entries are named {twice!r}; give one of them another name")
        known = {endpoint.name for endpoint in self.endpoints}
        for whole in self.wholes:
            unknown = next((load for load in whole.loads if load not in known), None)
            if unknown:
                raise ValueError(
                    f"{_named(whole)} loads {unknown!r}, which is no endpoint here; add it or mend the name"
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
                f"{where}: {unknown}: unknown key; the tables are [target], [[endpoint]], [[page]], [[journey]], "
                "[data.NAME], [scenario.NAME]"
            )
        target = cls.parse(head | {key: document[key] for key in _TABLES if key in document}, where)
        if "tls" in head and urlsplit(target.base_url).scheme == "http":
            raise InputError(f"{where}: target.tls: base_url is http, which has none; write https:// or remove it")
        if other := _undriven(target.headers):
            raise InputError(f"{where}: target.{other}")
        for number, endpoint in enumerate(target.endpoints, 1):
            if flaw := target.with_defaults(endpoint).flaw or target.unknown_pattern(endpoint):
                raise InputError(f"{where}: endpoint[{number}].{flaw}")
        if target.login and (flaw := target.login.endpoint.flaw or target.unknown_pattern(target.login.endpoint)):
            raise InputError(f"{where}: login.{flaw}")
        if flaw := target._tight() or target._unsaved():
            raise InputError(f"{where}: {flaw}")
        return target

    def at(self, url: str, where: str) -> Self:
        """The same at another URL, which is asked there and by no socket. Raises InputError for a bad URL."""
        return self.parse(dict(self) | {"base_url": url, "unix_socket": ""}, where)

    def _tight(self) -> str:
        """What has a limit of p99 below that of p95; or empty."""
        names = (one.name for one in self.items if (one.target_p99_ms or math.inf) < (one.target_ms or 0))
        told = "target_p99_ms is less than target_ms, but p99 is never less than p95; raise it"
        return next((f"{name!r}: {told}" for name in names), "")

    def _unsaved(self) -> str:
        """Where a page or a journey asks with a value that nothing saved before; or empty."""
        by_name = {endpoint.name: endpoint for endpoint in self.endpoints}
        for whole in self.wholes:
            there: set[str] = set()
            for load in whole.loads:
                missing = [name for name in self.saves_in(by_name[load]) if name not in there]
                if missing:
                    return f"{_named(whole)}: {load!r} needs {{{missing[0]}}}, which no step before it saves"
                there |= set(by_name[load].save) if isinstance(whole, Journey) else set()
        return ""

    def saves_in(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The saved values that an endpoint asks with: only a journey has them."""
        saves = self.saves
        return tuple(one.text for one in endpoint.patterns(in_text=self.has_values) if one.text in saves)

    def with_defaults(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint with what the target says for those that do not say it."""
        status = endpoint.expect.status or self.allowed_status
        return endpoint.model_copy(update={"expect": endpoint.expect.model_copy(update={"status": status})})

    def unknown_pattern(self, endpoint: Endpoint) -> str:
        """Why a place for a value of an endpoint can never get one, with the mend; or empty."""
        for one in endpoint.patterns(in_text=self.has_values):
            if not self._gives(one):
                known = listed((*(name for each in self.data for name in self._names(each)), *self.saves))
                return f"{{{one.text}}} names no data and no saved value; there are {known}; for braces write {{{{ }}}}"
        return ""

    def _gives(self, one: Pattern) -> bool:
        data = self.data.get(one.source)
        if data is None:
            return one.is_built_in or one.text in self.saves
        return data.columns is None or one.column in data.columns

    def _names(self, data: str) -> list[str]:
        """What patterns of a data can name."""
        return [f"{data}.{column}" if column else data for column in self.data[data].columns or ("COLUMN",)]

    def to_document(self) -> dict[str, Any]:
        """The inverse of `from_document`, defaults left out."""
        whole = self.model_dump(mode="json", exclude_defaults=True)
        tables = {key: whole.pop(field) for key, field in _TABLES.items() if field in whole}
        return {"target": whole} | tables

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its token and its endpoints' secrets are read from."""
        of_auth = self.caller.secrets if self.caller else ()
        of_headers = (value.env for value in self.headers.values() if isinstance(value, Secret))
        of_data = (name for one in self.data.values() for name in one.secrets)
        asked = (*self.endpoints, *([self.login.endpoint] if self.login else []))
        of_endpoints = (name for one in asked for name in one.secrets)
        return tuple(dict.fromkeys((*of_auth, *of_headers, *of_data, *of_endpoints)))

    @property
    def saves(self) -> tuple[str, ...]:
        """The names of all values that answers give."""
        return tuple(dict.fromkeys(name for one in self.endpoints for name in one.save))

    @property
    def has_values(self) -> bool:
        """Whether there are data or saved values: bodies of text hold patterns then."""
        return bool(self.data or self.saves)

    @property
    def given(self) -> tuple[str, ...]:
        """The variables and files of which the target gets what they hold; of a key it gets a proof alone."""
        files = (*(one.file for one in self.data.values()), *(name for one in self.endpoints for name in one.files))
        shown = shown_file(self.tls.client_cert) if self.tls.client_cert else None
        return tuple(dict.fromkeys((*self.secrets, *(file for file in (*files, shown) if file))))

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
        ways = [*([self.caller.in_words] if self.caller else []), *([self.login.in_words] if self.login else [])]
        return ", ".join(ways) or "none"

    def cookie_path(self, path: str) -> str:
        """What the paths of cookies are compared with: what stands before the first place for a value, or the query."""
        return urlsplit(self.base_url).path + path.partition("?")[0].partition("{")[0]

    @property
    def keeps_cookies(self) -> bool:
        """Whether each user keeps and sends the target's cookies."""
        return self.cookies or (self.login is not None and self.login.cookies)

    @property
    def items(self) -> tuple[Item, ...]:
        """Endpoints, then pages, then journeys: all that a scenario may drive, in the file's order."""
        return *self.endpoints, *self.pages, *self.journeys

    @property
    def wholes(self) -> tuple[Whole, ...]:
        """The items that consist of endpoints."""
        return *self.pages, *self.journeys

    @property
    def first_journey(self) -> int:
        """The place of the first journey among the items."""
        return len(self.endpoints) + len(self.pages)

    def __repr__(self) -> str:
        return f"<Target {self.name} at {self.base_url}: {len(self.endpoints)} endpoints, {len(self.pages)} pages>"

    def _repr_html_(self) -> str:
        endpoints = [row(one.name, one.method, one.path, limit(one)) for one in self.endpoints]
        pages = [row(page.name, "page", ", ".join(page.loads), limit(page)) for page in self.pages]
        pages += [row(one.name, "journey", ", ".join(one.steps), limit(one)) for one in self.journeys]
        columns = (*words("Name", "Method", "Path"), *numbers("Limit, ms"))
        return Table(columns, (*endpoints, *pages), f"Target {self.name} at {self.base_url}").html()
