"""A target file as it is discovered: what is taken, and as comments what is left out, each with its reason."""

import json
import re
from collections.abc import Iterator
from typing import Any

from perflib.show.table import one_line
from perflib.spec.discovered import Discovered, Entry
from perflib.spec.openapi_document import Node

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HELP = """\
# An endpoint may also have:
#   target_ms = 200        the limit, judged on p95
#   hot = true             in medium_load
#   weight = 3             how often it is asked for, beside the others
# and several of them may be a page:
#   [[page]]
#   name = "Home"
#   loads = ["GET /clients"]
# All keys: docs/target-file.md"""


def target_file(found: Discovered) -> str:
    """The text of a target file."""
    taken = [_block(one) for one in found.taken]
    blocks = [_block(one, "# ") for one in found.entries if one.why and one.table]
    others = [f"# {one_line(one.name)}: {_reason(one)}" for one in found.entries if one.why and not one.table]
    head = "\n".join(["[target]", *_lines(found.head)])
    about = [f"# From {one_line(found.where)}", *(f"# {one_line(line)}" for line in found.in_words.split("; "))]
    parts = ["\n".join([*about, "#", _HELP]), head, *taken, *blocks, "\n".join(others)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(entry: Entry, before: str = "") -> str:
    said = [f"# left out: {_reason(entry)}"] if entry.why else []
    said += [f"# {one_line(note)}" for note in entry.notes]
    return "\n".join([*said, f"{before}[[endpoint]]", *(before + line for line in _lines(entry.table))])


def _reason(entry: Entry) -> str:
    return one_line(f"{entry.why} ({entry.detail})" if entry.detail else entry.why)


def _lines(table: Node) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and value != {}:
            yield f"{_key(key)} = {_inline(value)}"


def _key(key: object) -> str:
    return str(key) if _BARE.fullmatch(str(key)) else _inline(str(key))


def _inline(value: Any) -> str:
    """A value on one line, as TOML writes it."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_inline(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, str):
        text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
