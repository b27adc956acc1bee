"""The target: the system under test, its endpoints and its pages, as a target file describes them."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    PositiveInt,
    model_validator,
)

from perflib.show.numbers import limit
from perflib.show.table import Table, numbers, row, words
from perflib.spec.auth import Auth, AuthTable, Bearer
from perflib.spec.briefs import check_brief
from perflib.spec.data import Data
from perflib.spec.endpoint import LONGEST_URL, Endpoint, undriven
from perflib.spec.expect import Statuses
from perflib.spec.login import Login
from perflib.spec.pattern import NAME, RESERVED, Pattern, listed
from perflib.spec.revision import Revision
from perflib.spec.scenario_table import ScenarioTable
from perflib.spec.secret import Header, Secret, Variable
from perflib.spec.tls import Tls, shown_file
from perflib.spec.undriven import by_url
from perflib.spec.values import InputError, Spec, must
from perflib.spec.whole import Item, Journey, Page, Whole

_TABLES = {"endpoint": "endpoints", "page": "pages", "journey": "journeys", "data": "data", "scenario": "scenarios"}
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
    return fits and "@" not in parts.netloc and url.isprintable() and " " not in url and len(url) <= LONGEST_URL


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


def _named(whole: Whole) -> str:
    return f"{'page' if isinstance(whole, Page) else 'journey'} {whole.name!r}"


def _misfit(document: dict[str, Any]) -> str:
    """Why this is no target file, with the mend; or empty."""
    head = document.get("target")
    if not isinstance(head, dict):
        return "target: missing; start the file with a [target] table (name, base_url)"
    if "folder" in head:
        return "target.folder: unknown key; remove it or mend its spelling"
    unknown = next((key for key in document if key not in ("target", *_TABLES)), None)
    if unknown is not None:
        tables = "[target], [[endpoint]], [[page]], [[journey]], [data.NAME], [scenario.NAME]"
        return f"{unknown}: unknown key; the tables are {tables}"
    if not document.get("endpoint"):
        return 'endpoint: missing; add a table [[endpoint]] with path = "/…", or fill in a comment'
    return ""


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
    """Whether a run goes on after five seconds in which every request failed."""
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
            if unknown is not None:
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
        if misfit := _misfit(document):
            raise InputError(f"{where}: {misfit}")
        head = document["target"]
        target = cls.parse(head | {key: document[key] for key in _TABLES if key in document}, where)
        if flaw := next(target._flaws(has_tls="tls" in head), ""):
            raise InputError(f"{where}: {flaw}")
        return target

    def _flaws(self, *, has_tls: bool) -> Iterator[str]:
        """What cannot work, though each value by itself could be: key, reason, mend. Stored runs may have some."""
        if has_tls and urlsplit(self.base_url).scheme == "http":
            yield "target.tls: base_url is http, which has none; write https:// or remove it"
        if other := undriven(self.headers):
            yield f"target.{other}"
        for number, endpoint in enumerate(self.endpoints, 1):
            if flaw := self.with_defaults(endpoint).flaw or self.unknown_pattern(endpoint):
                yield f"endpoint[{number}].{flaw}"
        if self.login and (flaw := self.login.endpoint.flaw or self.unknown_pattern(self.login.endpoint)):
            yield f"login.{flaw}"
        yield from filter(None, (self._tight(), self._unsaved()))

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
