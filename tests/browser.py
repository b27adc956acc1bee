"""Opens a local page in headless Chromium with the network off, and says what it saw."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_MARKS = "path.js-line, .point path, .points path, .point > path, .bars path, .textpoint, .js-fill"


@dataclass(frozen=True)
class Seen:
    """An opened page."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Addresses asked for that are not file:, data: or blob:."""

    def marks_by_chart(self) -> list[int]:
        """How many lines, points and bars each plotly chart shows, in the page's order."""
        counts: list[int] = self.page.eval_on_selector_all(
            ".chart", f"charts => charts.map(chart => chart.querySelectorAll('{_MARKS}').length)"
        )
        return counts

    def screenshot(self, path: Path, width: int = 1280, height: int = 900, full: bool = True) -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=path, full_page=full)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium; without one the test is skipped, or fails where CI is set."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no chromium or google-chrome on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, width: int = 1280, height: int = 900) -> Iterator[Seen]:
    """Open `file` without a network; a page with charts is ready when all are drawn."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_offline(True)
    seen = Seen(context.new_page())
    seen.page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    seen.page.on("request", lambda asked: _note(seen.requests, asked.url))
    seen.page.goto(file.resolve().as_uri())
    if seen.page.query_selector(".chart"):
        seen.page.wait_for_selector("html[data-drawn]", state="attached")
    yield seen
    context.close()


def _note(requests: list[str], url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        requests.append(url)
