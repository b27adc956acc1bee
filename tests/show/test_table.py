"""A table says the same in every format, and no text breaks out of its cell."""

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from perflib.show.junit import Case, junit
from perflib.show.table import Cell, Table, numbers, one_line, row, words

NASTY = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="|\\`*_~<>&\"'#-+=1.)[](!@$\n\r\t\x00\x1b\u2028\u202e x=,;", max_size=30),
    st.sampled_from(
        ["</td><script>alert(1)</script>", "a\nb", "\x1b[31mred", "- x", "1. x", "---", "=1+1", '"', "日本"]
    ),
)


def a_table(*texts: str, title: str = "A title", notes: tuple[str, ...] = ("A note.",), group: str = "") -> Table:
    return Table(
        words("Name") + numbers("Value, ms"), tuple(row(text, text, group=group) for text in texts), title, notes
    )


class Texts(HTMLParser):
    """The tags of a page, and the text of each of its elements but styles; code is text between backticks."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(re.sub("</?code>", "`", page))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self.opened and data.strip():
            self.texts[self.opened[-1]][-1] += data


def shown(token: Token) -> str:
    """What a reader of rendered Markdown sees of an inline token."""
    return "".join(child.content for child in token.children or [] if child.type != "html_inline")


@given(NASTY, NASTY, NASTY)
def test_no_text_breaks_out_of_html(cell: str, title: str, note: str) -> None:
    seen = Texts(a_table(cell, title=title, notes=(note,)).html())
    tags = ["div", "style", "table", *(["caption"] if one_line(title) else []), "thead", "tr", "th", "th", "tbody"]
    assert seen.opened == [*tags, "tr", "th", "td", "p"]
    assert seen.texts["td"] == [one_line(cell)]
    assert seen.texts["p"][-1].strip() == one_line(note)


@pytest.mark.parametrize(
    ("note", "html"),
    [
        ("`perflib runs` lists <all>", "<code>perflib runs</code> lists &lt;all&gt;"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
        ("one ` alone", "one ` alone"),
    ],
)
def test_a_command_in_a_note_is_code_on_a_page(note: str, html: str) -> None:
    assert f"<p>{html}</p>" in a_table("x", notes=(note,)).html()


@given(NASTY, NASTY, NASTY)
def test_no_text_breaks_out_of_markdown(cell: str, title: str, note: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(a_table(cell, title=title, notes=(note,)).markdown())
    inline = [shown(token) for token in tokens if token.type == "inline"]
    told = [*([one_line(title)] if one_line(title) else []), "Name", "Value, ms", *[one_line(cell)] * 2]
    assert inline == [*told, *([one_line(note)] if one_line(note) else [])]
    blocks = {token.tag for token in tokens if token.type.endswith("_open")}
    assert blocks <= {"p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    marks = [child for token in tokens for child in token.children or []]
    assert {mark.type for mark in marks} <= {"text", "text_special", "strong_open", "strong_close", "html_inline"}
    assert {mark.content for mark in marks if mark.type == "html_inline"} <= {"<!-- -->", "<span>", "</span>"}


def test_no_text_becomes_a_formula_on_github_or_in_a_notebook() -> None:
    table = a_table(r"$$\href{javascript:alert(1)}{x}$$ costs $5 or $6", "second")
    assert not re.search(r"\$[^<]*\$", table.markdown())
    assert 'class="perflib-table mathjax_ignore"' in table.html()


@given(NASTY, NASTY)
def test_csv_reads_back_as_it_was_shown(cell: str, group: str) -> None:
    written = a_table(cell, "second", group=group).csv()
    read = list(csv.DictReader(io.StringIO(written), strict=True))
    shown = a_table(cell, "second", group=group).records()
    assert len(read) == len(shown)
    for one, other in zip(read, shown, strict=True):
        assert [text for name, text in one.items() if text.replace("'", "") != other[name].replace("'", "")] == []
    assert read[0]["Value, ms"].replace("'", "") == one_line(cell).replace("'", "")


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "-1+1", "＝1"])
def test_no_text_is_a_formula_to_a_spreadsheet(text: str) -> None:
    [first, *_] = csv.DictReader(io.StringIO(a_table(text, "second").csv()))
    assert first["Value, ms"] == f"'{one_line(text)}"


@pytest.mark.parametrize("number", ["-1.5", "+12 %", "-1,230.4 ms", "0"])
def test_a_number_stays_a_number_to_a_spreadsheet(number: str) -> None:
    [first, *_] = csv.DictReader(io.StringIO(a_table(number, "second").csv()))
    assert first["Value, ms"] == number


@given(NASTY, NASTY)
def test_text_keeps_its_lines_and_its_columns_whatever_stands_in_a_cell(cell: str, note: str) -> None:
    told = a_table(cell, "1", notes=(note,)).text()
    assert len(told.split("\n")) == 7
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", told)


@given(NASTY, NASTY)
def test_no_text_breaks_out_of_junit(name: str, reason: str) -> None:
    written = junit("a check", {"one": [Case(name, (reason, "second"), reason), Case("sound")]})
    root = ElementTree.fromstring(written)
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert [one.tag for one in root.iter()] == [
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
        *(["system-out"] if reason else []),
        "testcase",
    ]
    assert len(root.findall(".//testcase")[0].get("name") or "") == len(name)


def test_columns_line_up_wide_characters_included() -> None:
    table = Table(
        words("Name") + numbers("Value, ms") + words("Met"), (row("日本", "1", "x"), row("GET /a", "22", "y"))
    )
    assert table.text().splitlines() == ["Name    Value, ms  Met", "日本            1  x", "GET /a         22  y"]


def test_tones_colour_a_terminal_only_when_asked_for_and_shift_no_column() -> None:
    table = Table(words("Verdict", "Why"), (row(Cell("missed", "bad"), "slow"), row(Cell("?", "quiet"), "few")))
    assert "\x1b" not in table.text()
    coloured = table.text(color=True)
    assert "\x1b[1;31mmissed\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == table.text()
    assert 'class="left bad"' not in table.html()
    assert '<th scope="row" class="bad"' in table.html()


def test_html_is_legible_on_light_and_dark_ground() -> None:
    page = a_table("x").html()
    assert "light-dark(" in page
    assert "color: inherit" in page
    assert "background: #" not in page


def test_groups_stand_above_their_rows_in_every_format() -> None:
    table = Table(words("Name"), (row("a", group="One"), row("b", group="One"), row("c", group="Two")))
    assert table.text().splitlines() == ["Name", "One", "a", "b", "Two", "c"]
    assert [line for line in table.markdown().splitlines() if "**" in line] == ["| **One** |", "| **Two** |"]
    assert table.html().count('scope="rowgroup"') == 2
    assert table.records()[2] == {"Group": "Two", "Name": "c"}


def test_a_table_without_rows_is_its_title_and_its_notes() -> None:
    empty = Table(words("Name"), (), "No request failed.", ("A note.",))
    assert str(empty) == "No request failed.\n\n- A note."
    assert empty.markdown() == "**No request failed.**\n\n- A note."
    assert "<table" not in empty.html()
    assert "No request failed." in empty.html()
    assert (empty.csv(), empty.write("json")) == ("Name\n", "[]")


def test_a_notebook_shows_the_html_and_a_console_the_text() -> None:
    table = a_table("x").with_id("brief")
    assert table._repr_html_() == table.html()
    assert 'id="brief"' in table.html()
    assert repr(table) == table.text() == table.write("table")
    assert table.write("markdown") == table.markdown()


def test_the_short_form_shows_ten_lines_at_the_most_and_folds_the_rest() -> None:
    rows = [row(f"GET /{number}", Cell("missed", "bad" if number % 2 else "")) for number in range(30)]
    table = Table(words("Endpoint", "Met"), tuple(rows), "The check failed.", tuple(f"Note {n}." for n in range(9)))
    seen, _, folded = table.write("short").partition("<details>")
    assert seen.splitlines()[0] == "**The check failed.**"
    assert re.findall(r"GET /\d+", seen) == [f"GET /{number}" for number in (1, 3, 5, 7, 9)]
    assert len(seen.strip().splitlines()) <= 10
    assert folded.count("GET /") == 30
    assert "- Note 8." in folded
    assert folded.rstrip().endswith("</details>")
    assert folded.startswith("<summary>All figures, and how to read them</summary>\n\n| Endpoint")


def test_the_short_form_of_what_has_nothing_bad_is_its_title() -> None:
    fine = Table(words("Endpoint"), (row("GET /a"),), "All met.")
    assert fine.write("short").partition("\n\n<details>")[0] == "**All met.**"
    assert Table(words("Name"), (), "No request failed.").write("short") == "**No request failed.**"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        Table(words("a", "b"), (row("only one"),))
