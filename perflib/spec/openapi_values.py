"""Values for an operation's parameters and body: those that its document gives, else one made from the schema."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from perflib.spec.endpoint import as_text
from perflib.spec.openapi_document import PLACE, Document, Node, is_scalar, items_of, node_of

_OF_FORMAT = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "byte": "YQ==",
}
_DEEPEST_STATED = 20
_DEEPEST, _MOST_NODES, _LONGEST = 6, 300, 1000
_BETWEEN = {"ssv": " ", "tsv": "\t", "pipes": "|", "spaceDelimited": " ", "pipeDelimited": "|"}


@dataclass(frozen=True)
class Values:
    """What a document says of values."""

    document: Document

    def stated(self, parameter: Node) -> Iterator[Any]:
        """The values that a parameter, or its media type, is given by its document, the best first."""
        for holder in (parameter, *(self.document.resolved(one) for one in node_of(parameter.get("content")).values())):
            examples = [self.document.resolved(one) for one in node_of(holder.get("examples")).values()]
            yield from (holder.get("example"), *(one.get("value") for one in examples))
            yield from (value for node in (holder, self.schema_of(holder)) for value in _stated_by(node))

    def schema_of(self, parameter: Node) -> Node:
        """The schema of a parameter; in Swagger 2 the parameter itself is one."""
        media = next(map(self.document.resolved, node_of(parameter.get("content")).values()), parameter)
        return self.document.resolved(media.get("schema")) or media

    def is_closed(self, parameter: Node) -> bool:
        """Whether no other values than those stated are allowed."""
        schema = self.schema_of(parameter)
        return bool(items_of(schema.get("enum"))) or "const" in schema

    def made(self, schema: object) -> Any:
        """A value that fits a schema, as far as it can be told; None where none can."""
        return _Making(self.document).value(schema, 0)

    def properties(self, schema: object) -> tuple[dict[str, Node], list[str]]:
        """The properties of an object and the names of those that it must have, those of ``allOf`` included."""
        found: dict[str, Node] = {}
        required: list[str] = []
        for node in _parts(self.document, schema, 0):
            found |= {str(name): self.document.resolved(one) for name, one in node_of(node.get("properties")).items()}
            required += [name for name in items_of(node.get("required")) if isinstance(name, str)]
        return found, list(dict.fromkeys(required))


def _stated_by(node: Node) -> Iterator[Any]:
    yield from (node.get("example"), node.get("x-example"), *items_of(node.get("examples")), node.get("default"))
    yield from (node.get("const"), *items_of(node.get("enum")))


def _parts(document: Document, schema: object, depth: int) -> Iterator[Node]:
    node = document.resolved(schema)
    yield node
    if depth < _DEEPEST:
        for one in items_of(node.get("allOf"))[:_MOST_NODES]:
            yield from _parts(document, one, depth + 1)


@dataclass
class _Making:
    """Makes a value of bounded size."""

    document: Document
    nodes: int = field(default=0)

    def value(self, schema: object, depth: int) -> Any:
        node = self.document.resolved(schema)
        self.nodes += 1
        if depth > _DEEPEST or self.nodes > _MOST_NODES:
            return None
        for stated in _stated_by(node):
            is_place = isinstance(stated, str) and PLACE.search(stated) is not None
            if stated is not None and not is_place and is_small(stated):
                return stated
        for key in ("allOf", "oneOf", "anyOf"):
            values = [self.value(one, depth + 1) for one in items_of(node.get(key))[:_MOST_NODES]]
            found = [value for value in values if value is not None]
            if found and key == "allOf" and all(isinstance(value, dict) for value in found):
                return {name: value for one in (*found, self._object(node, depth)) for name, value in one.items()}
            if found:
                return found[0]
        return self._of_kind(node, depth)

    def _of_kind(self, node: Node, depth: int) -> Any:
        kinds = node.get("type")
        kind = next((one for one in items_of(kinds) if one != "null"), kinds)
        match kind:
            case "object":
                return self._object(node, depth)
            case "array":
                item = self.value(node.get("items"), depth + 1)
                return [] if item is None else [item]
            case "integer" | "number":
                return _number(node, whole=kind == "integer")
            case "boolean":
                return True
            case "string":
                return _text(node)
        return self._object(node, depth) if node_of(node.get("properties")) else "1" if depth == 0 else None

    def _object(self, node: Node, depth: int) -> Node:
        properties, required = node_of(node.get("properties")), items_of(node.get("required"))
        names = [name for name in properties if name in required] or list(properties)
        read_only = [name for name in names if self.document.resolved(properties[name]).get("readOnly") is True]
        made = {str(name): self.value(properties[name], depth + 1) for name in names if name not in read_only}
        return {name: value for name, value in made.items() if value is not None}


def is_small(value: object) -> bool:
    """Whether a foreign value can be written down: aliases and circles make endless ones of a short document."""
    left, some = _MOST_NODES, [(value, 0)]
    while some and left:
        left -= 1
        one, depth = some.pop()
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        if (isinstance(one, str) and len(one) > _LONGEST) or len(inner) > left or depth > _DEEPEST_STATED:
            return False
        some += [(each, depth + 1) for each in inner]
    return not some


def _number(node: Node, *, whole: bool) -> int | float:
    """The least that is allowed, or 1; ``exclusiveMinimum`` is a number, or true beside the minimum (before 3.1)."""
    least, above, most = (_bound(node.get(key)) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if node.get("exclusiveMinimum") is True:
        above = least
    number = 1 if above is None else int(above) + 1
    if least is not None and least > number:
        number = -int(-least // 1)
    if most is not None and most < number:
        return int(most) if whole else most
    return number


def _bound(value: object) -> float | int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < 2**63 else None  # type: ignore[return-value,arg-type]


def _text(node: Node) -> str:
    if found := _OF_FORMAT.get(str(node.get("format"))):
        return found
    pattern, least = node.get("pattern"), _bound(node.get("minLength"))
    if isinstance(pattern, str) and (text := matching(pattern)):
        return text
    return "1" * min(max(int(least or 1), 1), _LONGEST)


def matching(pattern: str) -> str:
    """A short text that a regular expression matches; empty where that is not known.

    It is read off the expression, which is never run: a foreign one may take forever.

    >>> matching("^[A-Z]{2}-[0-9]+(a|b)?$")
    'AA-0'
    """
    if len(pattern) > _LONGEST:
        return ""
    try:
        tree = re._parser.parse(pattern)  # type: ignore[attr-defined]
    except (re.error, RecursionError, OverflowError):
        return ""
    text = "".join(_written(tree, _DEEPEST))
    return text if len(text) <= _LONGEST else ""


def _written(tree: Any, depth: int) -> Iterator[str]:
    for kind, given in tree if depth else ():
        match str(kind):
            case "LITERAL":
                yield chr(given)
            case "IN":
                yield _of_class(given)
            case "ANY" | "NOT_LITERAL":
                yield "a" if given != ord("a") else "b"
            case "SUBPATTERN":
                yield from _written(given[-1], depth - 1)
            case "BRANCH":
                yield from _written(given[1][0], depth - 1)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                once = "".join(_written(given[2], depth - 1))
                yield once[:_LONGEST] * min(given[0], _LONGEST)


_CLASSES = {"CATEGORY_DIGIT": "0", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}


def _of_class(given: Any) -> str:
    kind, value = given[0]
    match str(kind):
        case "LITERAL":
            return chr(value)
        case "RANGE":
            return chr(value[0])
        case "CATEGORY":
            return _CLASSES.get(str(value), "a")
    return "_"


def as_query(parameter: Node, value: Any) -> dict[str, Any]:
    """A value as parameters of a query: lists and objects by the parameter's style (OpenAPI 3.1, Style Values)."""
    name, style = str(parameter.get("name")), parameter.get("style") or parameter.get("collectionFormat")
    if "content" in parameter:
        return {name: value if isinstance(value, str) else json.dumps(value)}
    if isinstance(value, dict):
        inner = {str(key): one for key, one in value.items() if is_scalar(one)}
        return {f"{name}[{key}]": one for key, one in inner.items()} if style == "deepObject" else inner
    if isinstance(value, list):
        swagger_2 = "schema" not in parameter
        exploded = style == "multi" or (not swagger_2 and parameter.get("explode", style in (None, "form")) is True)
        texts = [as_text(one) for one in value]
        return {name: texts if exploded else _BETWEEN.get(str(style), ",").join(texts)}
    return {name: value}


def fits_url(value: object) -> bool:
    """Whether a URL can hold it, alone or as a list; what looks like a place to be filled is none."""
    some = value if isinstance(value, list) else [value]
    texts = [str(one) for one in some[:_MOST_NODES] if is_scalar(one)]
    return 0 < len(some) == len(texts) and len("".join(texts)) <= _LONGEST and not any(map(PLACE.search, texts))
