"""The table: one value, written as text, Markdown, HTML, CSV or JSON. Knows nothing of runs."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template
    from markupsafe import Markup

Tone = Literal["", "good", "bad", "quiet"]
Format = Literal["table", "markdown", "short", "html", "csv", "json"]

_ANSI = {"good": "32", "bad": "1;31", "quiet": "2", "strong": "1"}
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffe\uffff"
    r"\U000e0000-\U000e007f]"
)
"""What acts on a terminal or cannot be seen; the two joiners stay, as Persian and Hindi are spelled with them."""

_COMMAND = re.compile(r"`([^`]+)`")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_FORMULA = "=+@\uff1d\uff0b\uff0d\uff20-"
_SPLIT = re.compile(rf"([;|][\s\"]*)(?=[{_FORMULA}])")
"""Where a spreadsheet of another country begins a cell, and it would be a formula."""


_SHORT_ROWS = 5


def one_line(text: str) -> str:
    r"""Text that tears no table: on one line, without control characters and changes of direction.

    >>> one_line("first\nsecond \x1b[31mred")
    'first second [31mred'
    """
    return " ".join(_CONTROL.sub(" ", text).split())


def harmless(text: str) -> str:
    r"""Text with its lines as they are, without other control characters and changes of direction.

    >>> harmless("first\n\u202esecond")
    'first\n second'
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in "\n\t" else " ", text)


def with_code(text: str) -> Markup:
    """Text as HTML, escaped and harmless; what stands between two backticks is code, such as a command.

    >>> with_code("<b> `perflib runs`")
    Markup('&lt;b&gt; <code>perflib runs</code>')
    """
    from markupsafe import Markup, escape

    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(harmless(text)))))


def escape_markdown(text: str) -> str:
    r"""Text that GitHub shows as it is, also within a cell of a table: on one line, without markup.

    >>> print(escape_markdown("# a|b <c> *d* e_f _g_"))
    \# a\|b &lt;c&gt; \*d\* e_f \_g\_

    Nobody is told: an empty comment, which is not shown, parts what GitHub looks for. A dollar stands by itself: two
    would have a formula between them.

    >>> print(escape_markdown("@admin, $5"))
    @<!-- -->admin, <span>\$</span>5
    """
    text = re.sub(r"([\\|`*~\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", one_line(text))
    text = re.sub(r"^([-+=#]+(?= |$))", r"\\\1", text)
    escaped = html.escape(re.sub(r"^(\d+)([.)](?= |$))", r"\1\\\2", text), quote=False)
    return _MENTION.sub("@<!-- -->", escaped).replace("$", r"<span>\$</span>")


@dataclass(frozen=True)
class Cell:
    """What stands in a row and column, on one line. Its words say what its tone says, too."""

    text: str
    tone: Tone = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", one_line(self.text))


@dataclass(frozen=True)
class Column:
    """A column by its name, which has the unit in it."""

    name: str
    align: Literal["left", "right"] = "left"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name))


@dataclass(frozen=True)
class Row:
    """One cell per column. Rows of one group stand together under its name."""

    cells: tuple[Cell, ...]
    group: str = ""


def words(*names: str) -> tuple[Column, ...]:
    """Columns of words, aligned to the left."""
    return tuple(Column(name) for name in names)


def numbers(*names: str) -> tuple[Column, ...]:
    """Columns of numbers, aligned to the right."""
    return tuple(Column(name, "right") for name in names)


def row(*cells: str | Cell, group: str = "") -> Row:
    """A row of cells; plain text is a cell without a tone."""
    return Row(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells), one_line(group))


@dataclass(frozen=True, repr=False)
class Table:
    """A table that shows itself: as text, and in a notebook as HTML. Without rows it is its title and its notes.

    Args:
        title: a name, or the answer in a sentence.
        notes: what a reader should know besides, a sentence or more each.
        id: of its HTML element.
        head: whether the names of the columns are shown.

    >>> Table(words("Endpoint") + numbers("p95, ms"), (row("GET /a", "45.7"), row("GET /b", "1,230")), "Two of them")
    Two of them
    <BLANKLINE>
    Endpoint  p95, ms
    GET /a       45.7
    GET /b      1,230
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    id: str = ""
    head: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", one_line(self.title))
        object.__setattr__(self, "notes", tuple(one_line(note) for note in self.notes))
        if any(len(one.cells) != len(self.columns) for one in self.rows):
            raise ValueError(f"a row has not one cell for each of {len(self.columns)} columns")

    @classmethod
    def of_facts(cls, facts: Mapping[str, str], title: str = "") -> Table:
        """A row per name and value; those without a value are left out."""
        rows = tuple(row(name, value) for name, value in facts.items() if value)
        return cls(words("Name", "Value"), rows, title, head=False)

    def with_id(self, name: str) -> Table:
        """The same table as another element of a page."""
        return replace(self, id=name)

    def write(self, form: Format, *, color: bool = False) -> str:
        """The table in one of its formats, to be printed; `color` is for a terminal."""
        match form:
            case "table":
                return self.text(color=color)
            case "markdown":
                return self.markdown()
            case "short":
                return self.short()
            case "html":
                return self.html()
            case "csv":
                return self.csv().removesuffix("\n")
            case "json":
                return json.dumps(self.records())

    def text(self, *, color: bool = False) -> str:
        """For a terminal: columns at their widths, tones in colour if asked for."""
        head = [row(*(column.name for column in self.columns))] if self.head and self.rows else []
        widths = _widths([*head, *self.rows])
        lines = [self._line(one, widths, color) for one in head]
        for group, rows in self.groups():
            lines += [_painted(group, "strong", color)] if group else []
            lines += [self._line(one, widths, color) for one in rows]
        title = _painted(self.title, "strong", color)
        return _paragraphs(title, "\n".join(lines), "\n".join(f"- {note}" for note in self.notes))

    def _line(self, one: Row, widths: list[int], color: bool) -> str:
        padded = []
        for cell, column, width in zip(one.cells, self.columns, widths, strict=True):
            space, shown = " " * (width - _width(cell.text)), _painted(cell.text, cell.tone, color)
            padded.append(space + shown if column.align == "right" else shown + space)
        return "  ".join(padded).rstrip()

    def markdown(self) -> str:
        """For GitHub: a comment on a pull request, a summary of a job."""
        lines = [[escape_markdown(column.name) for column in self.columns]] if self.rows else []
        lines += [["---:" if column.align == "right" else ":---" for column in self.columns]] if self.rows else []
        for group, rows in self.groups():
            lines += [[f"**{escape_markdown(group)}**", *[""] * (len(self.columns) - 1)]] if group else []
            lines += [[escape_markdown(cell.text) for cell in one.cells] for one in rows]
        title = f"**{escape_markdown(self.title)}**" if self.title else ""
        notes = "\n".join(f"- {escape_markdown(note)}" for note in self.notes)
        return _paragraphs(title, "\n".join(f"| {' | '.join(line)} |" for line in lines), notes)

    def short(self) -> str:
        """For a chat, or a comment on a pull request: ten lines at the most, the rest folded (as GitHub does).

        Seen are the title and the first rows in which something is bad.
        """
        bad = [one for one in self.rows if any(cell.tone == "bad" for cell in one.cells)]
        shown = replace(self, rows=tuple(bad[:_SHORT_ROWS]), notes=()).markdown()
        folded = replace(self, title="").markdown()
        head = f"<summary>{'All figures' if self.rows else 'More'}, and how to read them</summary>"
        return _paragraphs(shown, f"<details>{head}\n\n{folded}\n\n</details>" if folded else "")

    def html(self) -> str:
        """For a page or a notebook, on light and on dark ground; every text escaped."""
        return _template().render(table=self)

    def csv(self) -> str:
        """The cells for another program, groups as a first column; title and notes left out.

        A spreadsheet computes no cell: what would be a formula gets an apostrophe before it (OWASP, CSV injection).
        """
        records, told = self.records(), io.StringIO()
        names = list(records[0]) if records else [column.name for column in self.columns]
        writer = csv.DictWriter(told, names, lineterminator="\n")
        writer.writerow({name: _plain(name) for name in names})
        writer.writerows({name: _plain(text) for name, text in record.items()} for record in records)
        return told.getvalue()

    def records(self) -> list[dict[str, str]]:
        """The cells by column, one record per row, as they are shown."""
        grouped = any(one.group for one in self.rows)
        return [
            ({"Group": one.group} if grouped else {})
            | {column.name: cell.text for column, cell in zip(self.columns, one.cells, strict=True)}
            for one in self.rows
        ]

    def groups(self) -> Iterator[tuple[str, tuple[Row, ...]]]:
        """The rows, group by group."""
        for group, rows in groupby(self.rows, key=lambda one: one.group):
            yield group, tuple(rows)

    __repr__ = text
    _repr_html_ = __html__ = html


def _plain(text: str) -> str:
    """A cell that no spreadsheet computes; numbers stay numbers.

    >>> [_plain(text) for text in ("=1+1", "@SUM(A1)", "-1.5", "+12.0 %", "-cmd", "GET /a", 'a;"=1+1')]
    ["'=1+1", "'@SUM(A1)", '-1.5', '+12.0 %', "'-cmd", 'GET /a', 'a;"\\'=1+1']
    """
    is_number = not text or re.fullmatch(r"[-+]?[\d.,]+( ?[a-zµ%]+)?", text)
    text = f"'{text}" if text[:1] in tuple(_FORMULA) and not is_number else text
    return _SPLIT.sub(r"\1'", text)


def _widths(rows: list[Row]) -> list[int]:
    columns = zip(*(one.cells for one in rows), strict=True)
    return [max(_width(cell.text) for cell in column) for column in columns]


def _width(text: str) -> int:
    """How many places of a terminal a text takes: a wide character takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def _painted(text: str, tone: str, color: bool) -> str:
    return f"\033[{_ANSI[tone]}m{text}\033[0m" if color and tone and text else text


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    folder = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = with_code
    return environment.get_template("table.html")
