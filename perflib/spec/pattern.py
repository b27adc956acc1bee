"""Patterns: places for values in a path, a parameter, a header or a body, as ``/clients/{client.id}``.

A pattern is ``{name}``, ``{name.column}`` or a built-in, without blanks or quotes inside; ``{{`` and ``}}`` are
braces; other braces stay as they are written.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

BUILT_IN = ("uuid", "sequence", "user", "now", "random:1-100")
"""As they may be written; ``{random:A-B}`` with any two whole numbers."""
RESERVED = frozenset({"uuid", "sequence", "user", "now", "random", "env"})
"""Names that no data and no saved value may have."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE = re.compile(r"\{\{|\}\}|\{([^\s{}\"']+)\}")
_RANDOM = re.compile(r"random:(\d{1,15})-(\d{1,15})")


@dataclass(frozen=True)
class Pattern:
    """A place for a value.

    >>> Pattern("client.id").source, Pattern("client.id").column, Pattern("random:1-6").between
    ('client', 'id', (1, 6))
    """

    text: str
    """As it is written, without its braces."""

    @property
    def source(self) -> str:
        """The data, the saved value or the built-in that gives the value."""
        return self.text.partition(":")[0].partition(".")[0]

    @property
    def column(self) -> str:
        """The column of the data; empty: data of one value a row."""
        return self.text.partition(".")[2]

    @property
    def between(self) -> tuple[int, int] | None:
        """The bounds of ``{random:A-B}``; None where it is no such pattern."""
        found = _RANDOM.fullmatch(self.text)
        return (int(found[1]), int(found[2])) if found and int(found[1]) <= int(found[2]) else None

    @property
    def is_built_in(self) -> bool:
        """Whether it needs no data and no saved value."""
        return self.text in BUILT_IN or self.between is not None


Piece = str | Pattern


def pieces_of(text: str) -> tuple[Piece, ...]:
    """A text as what stays and the places for values, in order.

    >>> pieces_of("/a/{client.id}?q={{x}}")
    ('/a/', Pattern(text='client.id'), '?q={x}')
    """
    found: list[Piece] = [""]
    end = 0
    for piece in _PIECE.finditer(text):
        _add(found, text[end : piece.start()])
        _add(found, Pattern(piece[1]) if piece[1] else piece[0][0])
        end = piece.end()
    _add(found, text[end:])
    return tuple(one for one in found if one != "")


def _add(found: list[Piece], piece: Piece) -> None:
    last = found[-1]
    if isinstance(last, str) and isinstance(piece, str):
        found[-1] = last + piece
    else:
        found.append(piece)


def patterns_in(value: Any) -> Iterator[Pattern]:
    """Those in a text, or in all texts of a JSON value, keys too."""
    if isinstance(value, str):
        yield from (piece for piece in pieces_of(value) if isinstance(piece, Pattern))
    elif isinstance(value, dict):
        yield from (one for pair in value.items() for part in pair for one in patterns_in(part))
    elif isinstance(value, list | tuple):
        yield from (one for part in value for one in patterns_in(part))


def listed(names: Iterable[str]) -> str:
    """The names that a pattern may have, for a message."""
    return ", ".join(f"{{{name}}}" for name in (*names, *BUILT_IN))
