"""The setup: what makes two runs alike. One value, one hash, one account of the differences.

Runs of one setup measure the same thing: they share a baseline and a history. Outside of it, for they change no
latency by themselves: the seed, a loopback port, limits and expectations, consent, the workbook's own version.
"""

import hashlib
import json
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from pydantic import computed_field, model_validator

from perflib.spec.endpoint import Endpoint
from perflib.spec.scenario import Scenario
from perflib.spec.secret import Secret
from perflib.spec.target import Target
from perflib.spec.values import Spec, is_loopback
from perflib.spec.whole import Journey, Whole
from perflib.spec.workload import Open, Workload, shape_in_words

HERE = "this machine"
LOCAL = "processes"
"""The engine that drives a load from processes of this machine."""
_HASH_DIGITS = 16


class Machine(Spec):
    """The load generator's machine. `cores`: those that it may use, by its affinity and its cgroup's quota."""

    os: str
    arch: str
    cpu: str
    cores: int


class SentRequest(Spec):
    """A request as it is sent; a secret by the name of its variable."""

    name: str
    line: str
    """Method, path and query."""
    headers: dict[str, str]
    body: str
    weight: float
    cold: str
    """How a cold answer shows, which the judged percentiles leave out."""
    timeout: str = ""
    """Of its own, in place of the scenario's."""


class SentPage(Spec):
    """A page as it is loaded."""

    name: str
    loads: tuple[str, ...]
    weight: float


class Setup(Spec):
    """What makes two runs alike. None: not known of a run or baseline that was recorded before setups were."""

    target: str
    scenario: str
    items: tuple[str, ...]
    """The endpoints and pages that the scenario drives, by name."""
    isolated: bool
    workload: Workload
    duration_s: float
    machine: Machine
    host: str | None = None
    """"this machine" for a loopback address whatever its port, else scheme, host and port."""
    auth: str | None = None
    requests: tuple[SentRequest, ...] | None = None
    pages: tuple[SentPage, ...] | None = None
    warmup_s: float | None = None
    timeout_s: float | None = None
    enough_successes: int | None = None
    workers: int | None = None
    engine: str | None = None
    connections: int | None = None
    """The bound of an open workload; 0: none."""
    transport: str = ""
    """How connections are made, where the target file says more than its base URL."""

    @classmethod
    def of(cls, target: Target, scenario: Scenario, machine: Machine, workers: int = 1, engine: str = LOCAL) -> Self:
        """The setup of a run that drives `scenario` at `target`."""
        driven, workload = scenario.takes(target), scenario.workload
        pages = sorted((item for item in driven if isinstance(item, Whole)), key=lambda page: page.name)
        asked = {item.name for item in driven} | {load for page in pages for load in page.loads}
        endpoints = sorted((one for one in target.endpoints if one.name in asked), key=lambda one: one.name)
        return cls(
            target=target.name,
            scenario=scenario.name,
            items=tuple(sorted(item.name for item in driven)),
            isolated=scenario.isolated,
            workload=workload,
            duration_s=scenario.duration_s,
            machine=machine,
            host=_host_of(target.base_url),
            auth=target.auth_in_words,
            requests=tuple(_sent(one, target) for one in endpoints),
            pages=tuple(map(_page, pages)),
            warmup_s=scenario.warmup_s,
            timeout_s=scenario.timeout_s,
            enough_successes=scenario.enough_successes,
            workers=workers,
            engine=engine,
            connections=scenario.most_connections(workload) if isinstance(workload, Open) else 0,
            transport=target.transport_in_words,
        )

    @model_validator(mode="before")
    @classmethod
    def _without_its_hash(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if name != "hash"} if isinstance(data, dict) else data

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def hash(self) -> str:
        """The same for equal setups; 16 hexadecimal digits of SHA-256."""
        whole = json.dumps(self._said(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(whole.encode()).hexdigest()[:_HASH_DIGITS]

    def _said(self) -> dict[str, Any]:
        """The setup as JSON values, without what setups of before could not say and this one does not: their hash
        stays."""
        said = self.model_dump(mode="json", exclude={"hash"})
        for part in (said, *(said["requests"] or ())):
            for name in _LATER:
                if not part.get(name, True):
                    del part[name]
        return said

    @property
    def unknown(self) -> tuple[str, ...]:
        """What cannot be known of it, in words."""
        return tuple(words for name, words in _WORDS.items() if getattr(self, name) is None)


_LATER = ("transport", "timeout")
_WORDS = {
    "host": "the target's host",
    "auth": "authentication",
    "requests": "requests as sent and their weights",
    "pages": "pages",
    "warmup_s": "warm-up",
    "timeout_s": "time-out",
    "workers": "workers",
    "engine": "engine",
    "connections": "connections",
}
_PARTS = {
    "line": "{name} is sent as {now}, was {was}",
    "headers": "{name} is sent with other headers",
    "body": "{name} is sent with other content",
    "weight": "{name} is weighted {now}, was {was}",
    "cold": "{name} is cold by {now}, was {was}",
    "timeout": "{name} has a time-out of {now}, had {was}",
}
"""How a difference in a part of a request is said."""


def differences(now: Setup, was: Setup) -> tuple[str, ...]:
    """What differs between two setups, a phrase each; empty where they are alike as far as both are known.

    Of isolated scenarios, which measure each endpoint alone, only what both drive is compared.
    """
    kinds_alike = now.workload.kind == was.workload.kind
    before = _in_words(was, shaped=kinds_alike)
    named = [
        f"{what} is {here}, was {before[what]}"
        for what, here in _in_words(now, shaped=kinds_alike).items()
        if None not in (here, before[what]) and here != before[what]
    ]
    return (*named, *_items(now, was), *_requests(now, was), *_pages(now, was))


def _in_words(setup: Setup, *, shaped: bool) -> dict[str, object]:
    """What a setup says in one word each, by what a reader calls it; the load with its shape, or its kind alone."""
    load = {"load": shape_in_words(setup.workload)} if shaped else {"workload": setup.workload.kind}
    times = {"warm-up": setup.warmup_s, "time-out": setup.timeout_s, "duration": setup.duration_s}
    plain = ("auth", "enough_successes", "workers", "engine", "connections")
    return {
        **{name: getattr(setup, name) for name in ("target", "scenario", "host")},
        **dict(setup.machine),
        **load,
        **{name: None if value_s is None else f"{value_s:g} s" for name, value_s in times.items()},
        **{name.replace("_", " "): getattr(setup, name) for name in plain},
        "transport": setup.transport or "plain",
    }


def _items(now: Setup, was: Setup) -> tuple[str, ...]:
    if now.isolated and was.isolated:
        return ()
    others = sorted(set(now.items) ^ set(was.items))
    return (f"other endpoints are driven: {', '.join(others)}",) if others else ()


def _requests(now: Setup, was: Setup) -> tuple[str, ...]:
    before = {one.name: one for one in was.requests or ()}
    return tuple(
        words.format(name=here.name, now=_told(getattr(here, part)), was=_told(getattr(before[here.name], part)))
        for here in now.requests or ()
        if here.name in before
        for part, words in _PARTS.items()
        if getattr(here, part) != getattr(before[here.name], part)
    )


def _whole(page: SentPage) -> str:
    return page.name if page.name.startswith("journey ") else f"page {page.name}"


def _page(whole: Whole) -> SentPage:
    """A page or a journey, its pauses being a step of it."""
    pauses = whole.think_time if isinstance(whole, Journey) and any(whole.think_time) else ()
    between = ("pauses of {:g} to {:g} s".format(*pauses),) if pauses else ()
    named = f"journey {whole.name}" if isinstance(whole, Journey) else whole.name
    return SentPage(name=named, loads=(*whole.loads, *between), weight=whole.weight)


def _told(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value or "nothing"


def _pages(now: Setup, was: Setup) -> tuple[str, ...]:
    before = {page.name: page for page in was.pages or ()}
    return tuple(
        f"{_whole(page)} loads {', '.join(page.loads)} (weight {page.weight:g}), "
        f"was {', '.join(before[page.name].loads)} (weight {before[page.name].weight:g})"
        for page in now.pages or ()
        if page.name in before and page != before[page.name]
    )


def is_here(base_url: str) -> bool:
    """Whether it is a loopback address."""
    return is_loopback(urlsplit(base_url).hostname or "")


def _host_of(base_url: str) -> str:
    """Where the target is; a loopback address is this machine, whatever its port."""
    parts = urlsplit(base_url)
    return f"{HERE}{parts.path}" if is_here(base_url) else f"{parts.scheme}://{parts.netloc}{parts.path}"


def _sent(endpoint: Endpoint, target: Target) -> SentRequest:
    query = urlencode({name: _shown(value) for name, value in endpoint.params.items()}, doseq=True)
    headers = target.headers | endpoint.headers
    cold = endpoint.cold
    return SentRequest(
        name=endpoint.name,
        line=f"{endpoint.method} {endpoint.path}{'?' if query else ''}{query}",
        headers={name.lower(): str(_shown(value)) for name, value in sorted(headers.items())},
        body=_content_of(endpoint, target),
        weight=endpoint.weight,
        cold=f"{cold.header.lower()}: {cold.equals.lower()}" if cold else "",
        timeout=f"{endpoint.timeout:g} s" if endpoint.timeout else "",
    )


def _content_of(endpoint: Endpoint, target: Target) -> str:
    """What is sent as a body, and the data that its patterns take their values from."""
    body = endpoint.body if isinstance(endpoint.body, str | None) else json.dumps(endpoint.body, sort_keys=True)
    others = endpoint.model_dump(mode="json", include={"form", "file", "multipart"}, exclude_defaults=True)
    named = dict.fromkeys(one.source for one in endpoint.patterns(in_text=target.has_values))
    data = [f"[data.{name}] {target.data[name].in_words}" for name in named if name in target.data]
    said = [body or "", *([json.dumps(others, sort_keys=True)] if others else []), *data]
    return "\n".join(part for part in said if part)


def _shown(value: object) -> object:
    """A secret by its variable; true as "True", which it was in the setups of before, and their hashes."""
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    return f"${value.env}" if isinstance(value, Secret) else value
