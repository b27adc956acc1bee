"""A page as its reader uses it: its tables are sorted by a click, and it is dark where the reader prefers that."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from markupsafe import Markup
from playwright.sync_api import Browser, Page

from perflib.show.table import Cell, Table, numbers, row, words
from perflib.workbook import charts
from perflib.workbook.report import html
from tests.browser import chromium, opened
from tests.synthetic import make_run

TABLE = Table(
    words("Endpoint") + numbers("p95, ms", "Limit, ms") + words("Met"),
    (
        row("GET /b", "1,230", "< 50", Cell("✗ missed", "bad"), group="One"),
        row("GET /a10", "–", "< 500", "✓ met", group="One"),
        row("GET /a9", "≥ 128 (20 of 59)", "< 1,000", "✓ met", group="One"),
        row("GET /z", "2.5", "< 1", "✓ met", group="Two"),
    ),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    figures = (charts.over_time(make_run()), charts.percentiles(make_run()))
    cells = Markup(TABLE.html()) + Markup("").join(html.chart(json.loads(one.to_json())) for one in figures)
    shown = {"title": "Light load", "failure": "", "parameters": [], "charts": True}
    html.write(path, "page.html.j2", shown | {"cells": cells})
    return path


def names(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("tbody tr", "rows => rows.map(row => row.cells[0].textContent)")
    return found


def test_a_click_sorts_a_column_within_its_groups_and_a_third_gives_the_order_back(
    browser: Browser, file: Path
) -> None:
    with opened(browser, file) as seen:
        before = names(seen.page)
        p95 = seen.page.locator("thead th", has_text="p95, ms")
        for order, expected in (
            ("descending", ["One", "GET /b", "GET /a9", "GET /a10", "Two", "GET /z"]),
            ("ascending", ["One", "GET /a9", "GET /b", "GET /a10", "Two", "GET /z"]),
            ("none", before),
        ):
            p95.click()
            assert (p95.get_attribute("aria-sort"), names(seen.page)) == (order, expected)
        assert not seen.errors


def test_words_are_sorted_as_people_count_and_by_the_keyboard_too(browser: Browser, file: Path) -> None:
    with opened(browser, file) as seen:
        endpoint = seen.page.locator("thead th", has_text="Endpoint")
        endpoint.focus()
        seen.page.keyboard.press("Enter")
        assert names(seen.page)[:4] == ["One", "GET /a9", "GET /a10", "GET /b"]
        seen.page.locator("thead th", has_text="Limit").click()
        assert endpoint.get_attribute("aria-sort") == "none"
        assert names(seen.page)[:4] == ["One", "GET /a9", "GET /a10", "GET /b"], "1,000 is above 500"


def grounds(page: Page) -> set[str]:
    """The colours behind the text and behind each chart."""
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    papers = page.eval_on_selector_all(
        ".chart .main-svg:first-of-type", "svgs => svgs.map(svg => svg.style.background)"
    )
    return {body, *papers}


def redrawn(page: Page, ground: str) -> set[str]:
    """Its grounds, once they are this one, or do not become it."""
    for _ in range(100):
        if grounds(page) == {ground}:
            break
        page.wait_for_timeout(100)
    return grounds(page)


def test_page_and_charts_are_dark_where_the_reader_prefers_that_and_light_on_paper(
    browser: Browser, file: Path
) -> None:
    light, dark = "rgb(255, 255, 255)", "rgb(17, 17, 17)"
    with opened(browser, file) as seen:
        assert grounds(seen.page) == {light}
        seen.page.emulate_media(color_scheme="dark")
        assert redrawn(seen.page, dark) == {dark}
        assert all(seen.marks_by_chart())
        lines = seen.page.eval_on_selector_all(".js-line", "lines => lines.map(line => line.style.stroke)")
        assert "rgb(61, 123, 239)" in lines
        assert "rgb(0, 71, 192)" not in lines
        seen.page.emulate_media(color_scheme="dark", media="print")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert redrawn(seen.page, light) == {light}
        assert not seen.errors
