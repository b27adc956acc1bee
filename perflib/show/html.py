"""How an object shows itself in a notebook: a small HTML table, every text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a caption and a row of column names.

    >>> html_table("Runs", ["Name"], [["<a>"]])
    '<table><caption><b>Runs</b></caption><tr><th scope="col">Name</th></tr><tr><td>&lt;a&gt;</td></tr></table>'
    """
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption><b>{escape(title)}</b></caption><tr>{names}</tr>{body}</table>"


def html_facts(title: str, facts: Mapping[str, str]) -> str:
    """A table of names and values; those without a value are left out.

    >>> html_facts("Load", {"Users": "10", "Note": ""})
    '<table><caption><b>Load</b></caption><tr><th scope="row">Users</th><td>10</td></tr></table>'
    """
    rows = ((escape(name), escape(value)) for name, value in facts.items() if value)
    body = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return f"<table><caption><b>{escape(title)}</b></caption>{body}</table>"


def figure_ms(value_ms: float | None) -> str:
    """Milliseconds in a cell; None: the sample cannot support the figure.

    >>> [figure_ms(value_ms) for value_ms in (4.567, 1234.6, None)]
    ['4.57', '1,235', 'insufficient']
    """
    if value_ms is None:
        return "insufficient"
    return f"{value_ms:,.{2 if value_ms < 9.995 else 1 if value_ms < 99.95 else 0}f}"
