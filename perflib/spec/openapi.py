"""The operations of an OpenAPI document as a target file has them: places to be filled, values, expectations. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from perflib.spec.discovered import (
    CANNOT_BE_ASKED,
    CHANGES_DATA,
    ELSEWHERE,
    MAY_CHANGE_DATA,
    NEEDS_A_VALUE,
    NEVER_ENDS,
    Discovered,
    Entry,
    names,
)
from perflib.spec.endpoint import as_text
from perflib.spec.expect import MEDIA_RANGE
from perflib.spec.openapi_document import PLACE, Document, Node, Operation, items_of, node_of
from perflib.spec.openapi_security import Security, variable
from perflib.spec.openapi_values import Values, as_query, fits_url, is_small
from perflib.spec.target import Target
from perflib.spec.undriven import STREAMS
from perflib.spec.values import InputError

_JSON = re.compile(r"application/json|[^/]+/[^/]+\+json", re.IGNORECASE)
_WRITES = ("put", "post", "delete", "patch")
_CHANGING_WORD = re.compile(r"\b(re)?send|\bdelete|\breset|log ?o(ut|ff)|sign ?out")
_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_SECRET_WORD = re.compile(r"api.?key|token|secret|password|\bauth", re.IGNORECASE)
_DESCRIBED_ELSEWHERE = ("accept", "content-type", "authorization")
"""Headers that are no parameters (OpenAPI 3.1, Parameter Object)."""
_PLACES = {"query": "params", "header": "headers", "path": "path", "cookie": "cookie"}
"""The keys of an endpoint that hold values, by where these are sent."""
_SENT = ("query", "header", "cookie", "body", "formData")

Key = tuple[str, str]
"""Where a place is, and its name."""
Filled = Mapping[Key, Any]


@dataclass(frozen=True)
class Place:
    """Where an operation needs a value."""

    where: str
    """path, query, header or cookie."""
    name: str
    parameter: Node
    stated: tuple[Any, ...]
    """The values that the document gives, the best first."""
    guess: Any
    """One made from the schema; None: none can be."""
    closed: bool
    """No other values than those stated are allowed."""

    @property
    def key(self) -> Key:
        return self.where, self.name


@dataclass(frozen=True)
class Documented:
    """An answer as the document describes it."""

    kinds: tuple[str, ...]
    """Media types and ranges."""
    keys: tuple[str, ...]
    """Those that every answer has."""
    known: tuple[str, ...]
    """All those that an answer may have."""

    @property
    def streams(self) -> bool:
        return bool(self.kinds) and set(self.kinds) <= set(STREAMS)


@dataclass(frozen=True)
class Described:
    """An operation, ready to be filled with values."""

    operation: Operation
    path: str
    """Under the base path, with its places."""
    places: tuple[Place, ...] = ()
    rest: Node = field(default_factory=dict)
    """What its ``[[endpoint]]`` has beside: method, secrets, a body."""
    lacks: tuple[str, ...] = ()
    """What no value can be found for."""
    answers: Mapping[str, Documented] = field(default_factory=dict)
    """By status, as the document writes it."""
    unfit: tuple[str, str] = ("", "")
    """Why it cannot be asked: the reason, and more of this one."""

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def may_change_data(self) -> bool:
        """Whether its path or operationId says so."""
        said = f"{self.operation.path} {self.operation.node.get('operationId')}"
        return _CHANGING_WORD.search(" ".join(_BETWEEN_WORDS.split(said)).lower()) is not None

    def documented(self, status: int) -> Documented | None:
        """How an answer of this status is described."""
        ways = (str(status), f"{status // 100}XX", f"{status // 100}xx", "default")
        return next((self.answers[way] for way in ways if way in self.answers), None)

    def table(self, filled: Filled) -> Node:
        """Its ``[[endpoint]]``; a place without a value stays a place."""

        def value(place: Place) -> Any:
            return filled.get(place.key, f"{{{place.name}}}")

        queries = [as_query(place.parameter, value(place)) for place in self.places if place.where == "query"]
        params = {name: one for query in queries for name, one in query.items()} | self.rest.get("params", {})
        headers = {place.name: _joined(value(place)) for place in self.places if place.where == "header"}
        cookies = [f"{place.name}={_joined(value(place))}" for place in self.places if place.where == "cookie"]
        headers |= {"Cookie": "; ".join(cookies)} if cookies else {}
        headers |= self.rest.get("headers", {})
        known = {"name": self.name, "path": self._path(filled)} | self.rest
        return known | ({"params": params} if params else {}) | ({"headers": headers} if headers else {})

    def _path(self, filled: Filled) -> str:
        def text(place: re.Match[str]) -> str:
            value = filled.get(("path", place[1]))
            return place[0] if value is None else quote(_joined(value), safe="")

        return PLACE.sub(text, self.path)

    def needed(self, filled: Filled) -> tuple[str, ...]:
        """What lacks a value."""
        return *self.lacks, *(place.name for place in self.places if place.key not in filled)

    def unseen(self, *notes: str) -> Entry:
        """The entry as the document alone has it."""
        stated = {place.key: place.stated[0] for place in self.places if place.stated}
        guessed = {place.key: place.guess for place in self.places if not place.stated and place.guess is not None}
        filled = stated | guessed
        needed = self.needed(filled)
        said = (*notes, *([_guesses(guessed)] if guessed else []))
        table = self.table(filled) | ({"expect": expect} if (expect := self.expected_unseen()) else {})
        return self.entry(table, NEEDS_A_VALUE if needed else "", names(needed), said)

    def entry(self, table: Node, why: str = "", detail: str = "", notes: tuple[str, ...] = ()) -> Entry:
        """An entry that is sure to be read again; what cannot be is left out."""
        if not why and (flaw := flaw_of(table)):
            why, detail = CANNOT_BE_ASKED, flaw
        return Entry(self.name, table, why, detail, notes)

    def left_out(self) -> Entry | None:
        """The entry where this is not even to be tried; None where it may be."""
        why, detail = self.unfit
        streams = any(answer.streams for status, answer in self.answers.items() if status.startswith("2"))
        if why:
            return Entry(self.name, {}, why, detail)
        if self.may_change_data:
            return replaced(self.unseen(), MAY_CHANGE_DATA, "its path or operationId says so")
        return replaced(self.unseen(), NEVER_ENDS, "a stream, as the document says") if streams else None

    def expected_unseen(self) -> Node:
        """What every answer has in common, as far as the document says it."""
        good = [status for status in self.answers if status.startswith("2")]
        if good != ["200"]:
            return {}
        answer, expect = self.answers["200"], Node(status=200)
        if answer.kinds and "*/*" not in answer.kinds and all(map(MEDIA_RANGE.fullmatch, answer.kinds)):
            expect["content_type"] = answer.kinds[0] if len(answer.kinds) == 1 else list(answer.kinds)
        if answer.keys and answer.kinds and all(map(_JSON.fullmatch, answer.kinds)):
            expect["keys"] = list(answer.keys)
        return expect


def _joined(value: Any) -> str:
    return ",".join(map(as_text, value)) if isinstance(value, list) else as_text(value)


def _guesses(guessed: Filled) -> str:
    return f"guessed: {', '.join(f'{name} = {as_text(value)}' for (_, name), value in guessed.items())}"


def replaced(entry: Entry, why: str, detail: str) -> Entry:
    """The same, left out for this reason."""
    return Entry(entry.name, entry.table, why, detail, entry.notes)


_ANY = {"name": "any", "base_url": "http://127.0.0.1"}


def flaw_of(table: Node) -> str:
    """Why a target file would refuse it; empty where it would not."""
    try:
        Target.from_document({"target": _ANY, "endpoint": [table]}, "")
    except InputError as error:
        return str(error).removeprefix(": endpoint[1].").partition(" (given")[0]
    return ""


@dataclass(frozen=True)
class Description:
    """What an OpenAPI document says of its server."""

    head: Node
    """Keys of ``[target]``."""
    operations: tuple[Described, ...]
    notes: tuple[str, ...]
    is_of_another_host: bool
    """Whether it names servers, and none of them is the one that is asked."""

    @property
    def to_try(self) -> list[Described]:
        """The GETs that may be asked."""
        return [one for one in self.operations if one.operation.method == "get" and one.left_out() is None]

    def discovered(self, where: str, tried: Mapping[str, Entry], *hints: str, with_writes: bool = False) -> Discovered:
        """All that is known of the target; `tried` by name."""
        entries = [tried.get(one.name) or _untried(one, with_writes=with_writes) for one in self.operations]
        return Discovered(where, self.head, tuple(entries), (*self.notes, *hints))


def _untried(one: Described, *, with_writes: bool) -> Entry:
    is_write = one.operation.method in _WRITES
    if is_write and not with_writes:
        return Entry(one.name, {}, CHANGES_DATA)
    if is_write and not one.unfit[0]:
        return one.unseen("changes data; was not tried")
    return one.left_out() or one.unseen()


def described_in(document: Any, base_url: str, where: str, token_env: str, *, has_token: bool = False) -> Description:
    """What an OpenAPI document says of the server at `base_url`; `has_token`: whether the user has one for it.

    Raises:
        InputError: where it is no such document, or describes no operation.
    """
    if not isinstance(node_of(document).get("paths"), dict):
        raise InputError(f"{where}: not an OpenAPI document (no paths); name another, or write a target file by hand")
    reading = Document(document, base_url)
    security = Security(reading, token_env, has_token)
    reader = _Reader(reading, Values(reading), security)
    served = [(one, reading.path_of(one)) for one in reading.operations]
    if not served:
        raise InputError(f"{where}: describes no operation; name another document, or write a target file by hand")
    if all(under is None for _, under in served):  # who names a base URL means it
        served = [(one, reading.root_path) for one, _ in served]
    root = reading.root_path if {under for _, under in served if under is not None} == {reading.root_path} else ""
    parts = urlsplit(base_url)
    head = {"name": _title(reading), "base_url": f"{parts.scheme}://{parts.netloc}{root}"} | security.target
    operations = [reader.described(one, None if under is None else under.removeprefix(root)) for one, under in served]
    notes = tuple(f"{path[:100]} describes nothing that can be read" for path in reading.empty_paths)
    return Description(head, tuple(operations), notes, reading.is_of_another_host)


def _title(document: Document) -> str:
    title = node_of(document.root.get("info")).get("title")
    return title.strip() if isinstance(title, str) and title.strip() and title.isprintable() else "target"


@dataclass(frozen=True)
class _Reader:
    """Reads operations, one by one: none costs another."""

    document: Document
    values: Values
    security: Security

    def described(self, operation: Operation, under: str | None) -> Described:
        unfit = _unfit(operation, under)
        if unfit is not None:
            return Described(operation, operation.path, unfit=unfit)
        nodes = list(self._parameters(operation))
        parameters = [node for node in nodes if node is not None]
        if len(parameters) < len(nodes):
            lost = (CANNOT_BE_ASKED, "a parameter refers to nothing in this document")
            return Described(operation, operation.path, unfit=lost)
        places = [*self._undescribed(operation, parameters), *map(self._place, parameters)]
        body, lacks = self._body(operation, parameters)
        method = {} if operation.method == "get" else {"method": operation.method.upper()}
        rest = _merged(method, self.security.endpoint(operation), *map(_secret, places), body)
        kept = [
            place for place in places if place.where in _PLACES and place.name not in rest.get(_PLACES[place.where], {})
        ]
        path = f"{under}{_without_fragment(operation.path)}"
        return Described(operation, path, tuple(kept), rest, lacks, dict(self._answers(operation)))

    def _parameters(self, operation: Operation) -> Iterator[Node | None]:
        """Those that must be sent; None for one that is missing. The operation's own replace those of the path."""
        found: dict[Key, Node] = {}
        for value in (*items_of(operation.item.get("parameters")), *items_of(operation.node.get("parameters"))):
            node = self.document.resolved(value)
            if node_of(value) and not node:
                yield None
            found[str(node.get("in")), str(node.get("name"))] = node
        in_path = set(PLACE.findall(operation.path))
        for (where, name), node in found.items():
            if where == "path" and name in in_path:
                yield node
            elif where in _SENT and node.get("required") is True:
                is_described = where == "header" and name.lower() in _DESCRIBED_ELSEWHERE
                yield from [] if is_described else [node]

    def _place(self, node: Node) -> Place:
        where = str(node.get("in"))
        fits = (value for value in self.values.stated(node) if _fits(where, value))
        stated = tuple({str(value): value for value in fits}.values())
        guess = None if stated else self.values.made(self.values.schema_of(node))
        fitting = guess if _fits(where, guess) else None
        return Place(where, str(node.get("name")), node, stated, fitting, self.values.is_closed(node))

    def _undescribed(self, operation: Operation, parameters: Sequence[Node]) -> Iterator[Place]:
        """The places of a path of which nothing is said."""
        said = {node.get("name") for node in parameters if node.get("in") == "path"}
        for name in dict.fromkeys(PLACE.findall(operation.path)):
            if name not in said:
                yield Place("path", name, {"name": name}, (), "1", closed=False)

    def _body(self, operation: Operation, parameters: Sequence[Node]) -> tuple[Node, tuple[str, ...]]:
        """The keys of a body, and what no value can be found for."""
        request = self.document.resolved(operation.node.get("requestBody"))
        content = {str(kind): self.document.resolved(one) for kind, one in node_of(request.get("content")).items()}
        form = [node for node in parameters if node.get("in") == "formData"]
        for node in parameters:
            if node.get("in") == "body":
                content = {"application/json": node}
        if form:
            content = {"application/x-www-form-urlencoded": {"schema": _form_schema(form)}}
        if (not content and not request.get("required")) or (
            operation.method == "get" and not _is_required(request, parameters)
        ):
            return {}, ()
        kind = next((kind for kind in content if _JSON.fullmatch(_bare(kind))), next(iter(content), ""))
        body = self._value_of(content.get(kind, {}))
        return ({}, ("body",)) if body is None else _as_body(_bare(kind), body)

    def _value_of(self, media: Node) -> Any:
        stated = (value for value in self.values.stated(media) if value is not None and is_small(value))
        return _without_nulls(next(stated, None) or self.values.made(media.get("schema")))

    def _answers(self, operation: Operation) -> Iterator[tuple[str, Documented]]:
        for status, value in node_of(operation.node.get("responses")).items():
            answer = self.document.resolved(value)
            content = self._content(operation, answer)
            kinds = tuple(dict.fromkeys(map(_bare, content)))
            keys = [self._keys(schema) for schema in content.values()]
            required = [key for key in keys[0][0] if all(key in one for one, _ in keys)] if keys else []
            known = dict.fromkeys(key for _, one in keys for key in one)
            yield str(status), Documented(kinds, tuple(required), tuple(known))

    def _content(self, operation: Operation, answer: Node) -> Node:
        """The schemas of an answer, by media type."""
        if "schema" in answer:  # Swagger 2
            kinds = items_of(operation.node.get("produces")) or items_of(self.document.root.get("produces"))
            return dict.fromkeys(map(str, kinds), answer["schema"])
        content = node_of(answer.get("content"))
        return {str(kind): self.document.resolved(media).get("schema") for kind, media in content.items()}

    def _keys(self, schema: object) -> tuple[list[str], list[str]]:
        """The keys that every object of a schema has, and all that it may have."""
        node = self.document.resolved(schema)
        if node.get("type", "object") != "object" or node.get("nullable") is True:
            return [], []
        properties, required = self.values.properties(schema)
        known = {*properties, *required} - {name for name, one in properties.items() if one.get("writeOnly") is True}
        return [key for key in required if key in known], [key for key in (*required, *properties) if key in known]


def _unfit(operation: Operation, under: str | None) -> tuple[str, str] | None:
    """Why an operation cannot be asked: the reason, and more of this one."""
    if operation.method != "get" and operation.method not in _WRITES:
        return "is no GET", ""
    if operation.path.startswith("x-"):
        return CANNOT_BE_ASKED, "is an extension, no path"
    if not isinstance(operation.described, dict):
        return CANNOT_BE_ASKED, "is not described"
    if under is None:
        return ELSEWHERE, ""
    flaw = flaw_of({"path": PLACE.sub("1", _without_fragment(operation.path))})
    return (CANNOT_BE_ASKED, flaw) if flaw else None


def _without_fragment(path: str) -> str:
    """A fragment is never sent; operations that differ in it alone have parameters that tell them apart."""
    return path.partition("#")[0]


def _fits(where: str, value: object) -> bool:
    if where in ("header", "cookie") and not (str(value).isascii() and str(value).isprintable()):
        return False
    is_object = where == "query" and isinstance(value, dict) and is_small(value) and any(map(fits_url, value.values()))
    return is_object or fits_url(value)


def _secret(place: Place) -> Node:
    """A header that is a secret, by its name, which a user has in a variable."""
    if place.where != "header" or place.stated or not _SECRET_WORD.search(place.name):
        return {}
    return {"headers": {place.name: {"env": variable(place.name)}}}


def _merged(*tables: Node) -> Node:
    """Keys of several tables, their headers and params put together."""
    whole: Node = {}
    for table in tables:
        whole |= {key: whole.get(key, {}) | one if key in ("headers", "params") else one for key, one in table.items()}
    return whole


def _is_required(request: Node, parameters: Sequence[Node]) -> bool:
    return request.get("required") is True or any(node.get("in") in ("body", "formData") for node in parameters)


def _form_schema(form: Sequence[Node]) -> Node:
    return {"type": "object", "properties": {str(node.get("name")): node for node in form}}


def _as_body(kind: str, body: Any) -> tuple[Node, tuple[str, ...]]:
    if _JSON.fullmatch(kind) or kind in ("", "*/*"):
        return {"body": body}, ()
    if kind == "application/x-www-form-urlencoded" and isinstance(body, dict):
        pairs = {name: one for name, one in body.items() if fits_url(one)}
        return {"body": urlencode(pairs, doseq=True), "headers": {"Content-Type": kind}}, ()
    is_text = isinstance(body, str) and not kind.startswith("multipart/") and kind.isascii() and kind.isprintable()
    return ({"body": body, "headers": {"Content-Type": kind}}, ()) if is_text else ({}, ("body",))


def _bare(kind: str) -> str:
    return kind.partition(";")[0].strip()


def _without_nulls(value: Any) -> Any:
    """As TOML can hold it, which has none, and a target file, where braces are places."""
    if isinstance(value, dict):
        return {str(key): _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, str) and PLACE.search(value):  # none of ours
        return value.replace("{", "{{").replace("}", "}}")
    return [_without_nulls(one) for one in value if one is not None] if isinstance(value, list) else value
