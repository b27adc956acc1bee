"""Documents that others wrote, JSON or YAML. Bounded: no nesting, alias or merge takes more memory than their text."""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from perflib.spec import InputError

MOST_BYTES = 50 * 2**20
_DEEPEST = 500
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?\d{1,300}")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")


def load_document(path: Path) -> Any:
    """Read a document from a file. Raises InputError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        return read_document(content)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name an OpenAPI document, or its URL") from None
    except ValueError as error:
        raise InputError(f"{path}: no JSON and no YAML ({error}); name an OpenAPI document") from None


def read_document(content: bytes) -> Any:
    """What JSON or YAML says. Raises ValueError, in one line, where it is neither."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES >> 20} MB")
    try:
        if content.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"["):
            return _in_unicode(json.loads(content), content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError:
        pass  # YAML has braces too, with comments and without quotes; and JSON may be UTF-16
    try:
        return _read_yaml(content)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _in_unicode(document: Any, content: bytes) -> Any:
    """JSON may hold halves of characters, which cannot be sent or written."""
    if b"\\ud" not in content and b"\\uD" not in content and b"\xed" not in content:
        return document
    return json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))


def _read_yaml(content: bytes) -> Any:
    """The first document, from the parser's events: they come one by one, however deep the text is nested."""
    building = _Building()
    for event in _events(content):
        match event:
            case yaml.ScalarEvent():
                building.add(_scalar(event), event.value, event.anchor)
            case yaml.AliasEvent():
                building.add_alias(event.anchor)
            case yaml.MappingStartEvent():
                building.open(_Open({}, event.anchor))
            case yaml.SequenceStartEvent():
                building.open(_Open([], event.anchor))
            case yaml.CollectionEndEvent():
                building.close()
            case yaml.DocumentEndEvent():
                break
    return building.whole


def _events(content: bytes) -> Iterator[yaml.Event]:
    events: Iterator[yaml.Event] = yaml.parse(content, Loader=_LOADER)
    return events


def _scalar(event: yaml.ScalarEvent) -> Any:
    """By the core schema of YAML 1.2: ``on`` and dates are text, as in JSON."""
    text, is_plain = event.value, event.implicit[0] and not event.style
    if not is_plain:
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    return int(text) if _INTEGER.fullmatch(text) else float(text) if _FLOAT.fullmatch(text) else text


@dataclass
class _Open:
    """A mapping or sequence that is being read."""

    items: Any
    anchor: str | None
    key: str | None = None


@dataclass
class _Building:
    whole: Any = None
    path: list[_Open] = field(default_factory=list)
    anchors: dict[str, Any] = field(default_factory=dict)

    def open(self, one: _Open) -> None:
        if len(self.path) >= _DEEPEST:
            raise ValueError("it is nested too deep")
        self.path.append(one)

    def close(self) -> None:
        done = self.path.pop()
        self.add(done.items, "", done.anchor)

    def add_alias(self, anchor: str | None) -> None:
        if anchor not in self.anchors:
            raise ValueError(f"the alias *{anchor} refers to nothing, or to itself")
        self.add(self.anchors[anchor], "", None)

    def add(self, value: Any, text: str, anchor: str | None) -> None:
        """Put a value where it belongs; as a key it counts by its text. The last of two equal keys counts."""
        if anchor is not None:
            self.anchors[anchor] = value
        if not self.path:
            self.whole = value
            return
        holder = self.path[-1]
        if isinstance(holder.items, list):
            holder.items.append(value)
        elif holder.key is None:
            holder.key = text
        else:
            _put(holder.items, holder.key, value)
            holder.key = None


def _put(mapping: dict[str, Any], key: str, value: Any) -> None:
    merged = value if isinstance(value, list) else [value]
    if key == "<<" and all(isinstance(one, dict) for one in merged):
        for one in merged:
            mapping.update({name: one[name] for name in one if name not in mapping})
    else:
        mapping[key] = value
