"""The JSON document of a body: what stands at a place of it, and what stands there instead."""

import codecs
import json
import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

from perflib.spec.pointer import steps_of

NOWHERE = object()
"""Nothing stands there."""
_NODE = Decoder(dict[str, Raw] | list[Raw] | str | bool | int | float | None)
_INDEX = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_CHARSET = re.compile(rb';\s*charset\s*=\s*"?([\w.:-]+)', re.IGNORECASE)
_NAMED_KEYS = 5
_SHOWN = 40
"""So many characters of a name are shown."""

Document = dict[str, Any] | list[Any]


def document_of(body: bytes, content_type: bytes) -> Document | str:
    """The JSON object or list of a body, its values mostly unread; where there is none, what the body is."""
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look at the bytes of a string it leaves unread
        document = _NODE.decode(body)
    except ValidationError:  # a number that is too large for one
        document = None
    except (DecodeError, UnicodeDecodeError, RecursionError):
        if not body.strip():
            return "is empty"
        try:  # json also reads NaN, lone surrogates and UTF-16, and as decimals integers of any length
            document = json.loads(_in_its_charset(body, content_type), parse_int=Decimal)
        except RecursionError:
            return "is JSON nested too deep to be read"
        except ValueError:
            return "is no JSON"
    return document if isinstance(document, dict | list) else "is JSON, but no object"


def text_of(body: bytes, content_type: bytes) -> str:
    """The body as text: by the charset that it tells, else by how its first bytes look, else as Latin-1."""
    told = _in_its_charset(body, content_type)
    if isinstance(told, bytes):
        with suppress(UnicodeDecodeError):
            return told.decode(json.detect_encoding(told))
    return told if isinstance(told, str) else told.decode("latin-1")


def _in_its_charset(body: bytes, content_type: bytes) -> bytes | str:
    """By the charset that it tells; JSON needs none, but some servers send it in another."""
    told = _CHARSET.search(content_type)
    with suppress(LookupError, UnicodeDecodeError):
        return body.decode(told[1].decode()) if told else body
    return body


def value_at(document: Document, place: str) -> object:
    """What stands at a place, unread, `NOWHERE` for nothing; a top-level key of this very name comes first."""
    if isinstance(document, dict) and place in document:
        return document[place]
    return _followed(document, steps_of(place))[1]


def opened(value: object) -> Any:
    """A value, its own values unread; a number that is too large for one stays as it is."""
    try:
        return _NODE.decode(value) if isinstance(value, Raw) else value
    except ValidationError:
        return value


def _followed(value: object, steps: tuple[str, ...]) -> tuple[int, object]:
    """How many steps lead somewhere, and what stands at their end: nowhere, unless it is all of them."""
    for count, step in enumerate(steps):
        value, inner = opened(value), NOWHERE
        if isinstance(value, dict):
            inner = value.get(step, NOWHERE)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            inner = value[int(step)]
        if inner is NOWHERE:
            return count, NOWHERE
        value = inner
    return len(steps), value


def instead(document: Document, place: str) -> str:
    """What stands nearest to a place where nothing does: "there are 'a', 'b'", "'data' is null"."""
    steps = steps_of(place)
    count, _ = _followed(document, steps)
    value = opened(_followed(document, steps[:count])[1])
    parent = repr(shown(".".join(steps[:count])))
    if not isinstance(value, dict):
        return f"{parent if count else 'it'} is {kind_of(value)}"
    there = [repr(shown(key)) for key in list(value)[:_NAMED_KEYS]]
    there += [f"{len(value) - _NAMED_KEYS:,} more"] if len(value) > _NAMED_KEYS else []
    return f"{f'in {parent} ' if count else ''}there {'is' if len(there) == 1 else 'are'} {', '.join(there) or 'none'}"


def kind_of(value: object) -> str:
    """What a value is, without a byte of it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "text"
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value):,}"
    return "a number"


def shown(name: str) -> str:
    """A name that a server sent, short and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name[:_SHOWN])
