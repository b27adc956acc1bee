"""A target from a server's OpenAPI document: its GETs, their values and expectations filled in. Pure.

An operation that cannot be asked, or not without changing data, is left out and named with the reason.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from perflib.spec.endpoint import Endpoint, as_text
from perflib.spec.expect import MEDIA_RANGE
from perflib.spec.openapi_document import PLACE, Document, Node, Operation, is_scalar, items_of, node_of
from perflib.spec.target import Target
from perflib.spec.values import InputError

_TOKEN_ENV = "PERF_API_TOKEN"
_JSON = re.compile(r"application/json|[^/]+/[^/]+\+json", re.IGNORECASE)
_WHY_NOT = dict.fromkeys(("put", "post", "delete", "patch"), "changes data")
_DESCRIBED_ELSEWHERE = ("accept", "content-type", "authorization")
"""Headers that are no parameters (OpenAPI 3.1, Parameter Object)."""
_NOT_WRITTEN = ("header", "cookie", "body", "formData")
"""Places of parameters for which a user writes the value."""
_BY_HAND = "write a target file by hand, see docs/target-file.md"
_MOST_NAMED, _LONGEST_NAME = 40, 200


@dataclass(frozen=True)
class LeftOut:
    """What of a document is not written, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        whole = f"{self.what[:_LONGEST_NAME]} ({self.why})"
        return "".join(c if c.isprintable() else " " for c in whole)


@dataclass(frozen=True)
class Discovered:
    """A target, and what of its document is not in it."""

    target: Target
    left_out: tuple[LeftOut, ...]
    """Operations."""
    notes: tuple[LeftOut, ...]
    """Other parts of the document."""

    @property
    def in_words(self) -> str:
        """How many operations were written, and the names of the others."""
        return _in_words(len(self.target.endpoints), self.left_out, self.notes)


def discovered_in(document: Any, base_url: str) -> Discovered:
    """What an OpenAPI document that was found under `base_url` says of its server.

    Raises:
        InputError: where it is no such document, or has no operation that can be asked.
    """
    where = f"{base_url}/openapi.json"
    if not isinstance(node_of(document).get("paths"), dict):
        raise InputError(f"{where}: not an OpenAPI document (no paths); {_BY_HAND}")
    reading = _Reading(Document(document, base_url))
    reading.read()
    if not reading.entries:
        raise InputError(f"{where}: {_in_words(0, reading.left_out, reading.notes)}; {_BY_HAND}")
    target = Target.parse(_target(reading), where)
    return Discovered(target, tuple(reading.left_out), tuple(reading.notes))


def _in_words(written: int, left_out: Sequence[LeftOut], notes: Sequence[LeftOut]) -> str:
    """First what a user may want to mend."""
    named = sorted((*notes, *left_out), key=lambda one: one.why in _WHY_NOT.values())
    more = [f"and {len(named) - _MOST_NAMED:,} more"] if len(named) > _MOST_NAMED else []
    listed = ", ".join([*map(str, named[:_MOST_NAMED]), *more])
    return f"{written:,} of {written + len(left_out):,} operations written{'; left out: ' if listed else ''}{listed}"


def _target(reading: "_Reading") -> Node:
    document = reading.document
    parts, title = urlsplit(document.base_url), node_of(document.root.get("info")).get("title")
    root = document.root_path
    if not all(entry["path"].startswith(f"{root}/") for entry in reading.entries):
        root = ""
    return {
        "name": title.strip() if isinstance(title, str) and title.strip() and title.isprintable() else "target",
        "base_url": f"{parts.scheme}://{parts.netloc}{root}",
        "token_env": _TOKEN_ENV if _wants_bearer(document) else None,
        "endpoints": [entry | {"path": entry["path"].removeprefix(root)} for entry in reading.entries],
    }


def _wants_bearer(document: Document) -> bool:
    schemes = node_of(node_of(document.root.get("components")).get("securitySchemes"))
    return any(str(document.resolved(scheme).get("scheme", "")).lower() == "bearer" for scheme in schemes.values())


class _UnfitError(Exception):
    """Why an operation is left out."""


@dataclass
class _Reading:
    """What was read of a document so far."""

    document: Document
    entries: list[Node] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[LeftOut] = field(default_factory=list)

    def read(self) -> None:
        self.notes += [LeftOut(path, "describes no operation") for path in self.document.empty_paths]
        if self.document.is_of_another_host:
            self.notes.append(LeftOut("servers", "they are of another host"))
        for operation in self.document.operations:
            try:
                self.entries.append(self._entry(operation))
            except _UnfitError as unfit:
                self.left_out.append(LeftOut(operation.name, str(unfit)))

    def _entry(self, operation: Operation) -> Node:
        """The operation as a target file has it. Raises _UnfitError."""
        if operation.method != "get":
            raise _UnfitError(_WHY_NOT.get(operation.method, "is no GET"))
        if not isinstance(operation.described, dict):
            raise _UnfitError("is not described")
        if operation.path.startswith("x-"):
            raise _UnfitError("is an extension, no path")
        if not operation.path.startswith("/"):
            raise _UnfitError('a path starts with "/"')
        under = self.document.path_of(operation)
        if under is None:
            raise _UnfitError("another host serves it")
        entry = self._asked(operation) | {"expect": self._expect(operation)}
        entry["path"] = under + entry["path"]
        try:
            endpoint = Endpoint.parse(entry, "")
        except InputError as error:
            raise _UnfitError(str(error).removeprefix(": ").partition(" (given")[0]) from None
        if endpoint.flaw:
            raise _UnfitError(endpoint.flaw)
        return entry

    def _asked(self, operation: Operation) -> Node:
        """The operation's path and parameters, with values from the document. Raises _UnfitError where it has none."""
        parameters = self._parameters(operation)
        path = {one.name: one.value for one in parameters if one.place == "path" and one.value is not None}
        query = [one for one in parameters if one.place == "query" and one.required]
        needed = [name for name in PLACE.findall(operation.path) if name not in path]
        needed += [one.name for one in query if one.value is None]
        needed += [f"{one.place} {one.name}" for one in parameters if one.required and one.place in _NOT_WRITTEN]
        if node_of(operation.node.get("requestBody")).get("required"):
            needed.append("body")
        if needed:
            raise _UnfitError(f"needs a value for {', '.join(dict.fromkeys(needed))}")
        filled = PLACE.sub(lambda place: quote(as_text(path[place[1]]), safe=""), operation.path)
        entry = {"name": operation.name, "path": filled}
        return entry | ({"params": {one.name: one.value for one in query}} if query else {})

    def _parameters(self, operation: Operation) -> list["_Parameter"]:
        """Those of the path, then the operation's own, which replace them. Raises _UnfitError where one is missing."""
        found = {}
        for value in (*items_of(operation.item.get("parameters")), *items_of(operation.node.get("parameters"))):
            node = self.document.resolved(value)
            if node_of(value) and not node:
                raise _UnfitError("a parameter refers to nothing in this document")
            one = _Parameter(
                str(node.get("in")), str(node.get("name")), node.get("required") is True, self._value(node)
            )
            if one.name.lower() not in _DESCRIBED_ELSEWHERE or one.place != "header":
                found[one.place, one.name] = one
        return list(found.values())

    def _value(self, parameter: Node) -> Any:
        """An example, a default or a choice that the document gives; None: there is none that a URL can hold."""
        schema = self.document.resolved(parameter.get("schema"))
        examples = node_of(parameter.get("examples")).values()
        said = [parameter.get("example"), *(self.document.resolved(one).get("value") for one in examples)]
        for node in (parameter, schema):
            choices = (
                *items_of(node.get("examples")),
                node.get("default"),
                node.get("const"),
                *items_of(node.get("enum")),
            )
            said += [node.get("example"), node.get("x-example"), *choices]
        return next((value for value in said if is_scalar(value)), None)

    def _expect(self, operation: Operation) -> Node:
        """What every answer has in common, as far as the document says it."""
        responses = node_of(operation.node.get("responses"))
        good = [status for status in responses if str(status).startswith("2")]
        if [str(status) for status in good] != ["200"]:
            return {}
        content = self._content(operation, self.document.resolved(responses[good[0]]))
        kinds = list(dict.fromkeys(kind.partition(";")[0].strip() for kind in content))
        expect: Node = {"status": 200}
        if kinds and "*/*" not in kinds and all(map(MEDIA_RANGE.fullmatch, kinds)):
            expect["content_type"] = kinds[0] if len(kinds) == 1 else kinds
        if kinds and all(map(_JSON.fullmatch, kinds)):
            keys = [self._keys(operation, schema) for schema in content.values()]
            expect["keys"] = [key for key in keys[0] if all(key in others for others in keys)]
        return expect

    def _content(self, operation: Operation, answer: Node) -> Node:
        """The schemas of an answer, by media type."""
        if "schema" in answer:  # Swagger 2
            kinds = items_of(operation.node.get("produces")) or items_of(self.document.root.get("produces"))
            return dict.fromkeys(map(str, kinds), answer["schema"])
        content = node_of(answer.get("content"))
        return {str(kind): self.document.resolved(media).get("schema") for kind, media in content.items()}

    def _keys(self, operation: Operation, schema: object) -> list[str]:
        """The keys that every object of a schema has."""
        node = self.document.resolved(schema)
        required = node.get("required")
        keys = [key for key in items_of(required) if isinstance(key, str)]
        if required is not None and required != keys:
            self.notes.append(LeftOut(f"keys of {operation.name}", "required is no list of names"))
        properties = node_of(node.get("properties"))
        sent_only = {key for key in keys if self.document.resolved(properties.get(key)).get("writeOnly") is True}
        is_object = node.get("type", "object") == "object" and node.get("nullable") is not True
        return [key for key in keys if is_object and key not in sent_only]


@dataclass(frozen=True)
class _Parameter:
    """A parameter, and a value that the document gives for it."""

    place: str
    name: str
    required: bool
    value: Any
