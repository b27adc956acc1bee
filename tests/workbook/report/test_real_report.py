"""Every notebook executed for real, briefly, against a real dashboard; every page opened in a real browser, offline."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from perflib.figures.failures import failures
from perflib.figures.summary import summarize
from perflib.spec import SCENARIOS
from perflib.store.folders import load_target
from perflib.store.runs import load_run
from perflib.store.spool import MEMORY_ROW
from perflib.text import tables
from perflib.text.failures import failure_lines
from perflib.workbook.live.follow import Progress
from perflib.workbook.live.panel import card, panel
from tests.browser import chromium, opened

ROOT = Path(__file__).parents[3]
MAX_PAGE_BYTES = 3_000_000
SHOWN = ".js-line, .point, .points path, .bars path, .heatmaplayer image, .annotation"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def report(data: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "perflib", "report", "--duration", "1.5s", "--warmup", "0.2s", "--brief", "PS-5.1"],
        cwd=ROOT / "notebooks",
        env={name: value for name, value in os.environ.items() if name != "PERF_API_TOKEN"}
        | {"PERFLIB_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return data / "reports" / "latest"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


EVIL = (
    '</script><script>window.hacked=1;alert(1)</script>]]><img src=x onerror="window.hacked=1;alert(1)"> @all $$x$$ '
    r"$\href{javascript:window.hacked=1}{y}$ [l](javascript:window.hacked=1) ![p](http://192.0.2.1/p.png) "
    "https://192.0.2.1/q =1+1;=2 {{ 7*7 }}"
)

UNSEEN = "\u202e\u2066\u200b\u061c\ufeff\u2028\u00ad\0\x1b\x9b"
"""Turns the reading direction, tears a line, acts on a terminal, or cannot be seen."""

ACTIVE = "script:not([type='application/json']), [src=x], a[href*='script:'], a[href*='192.0.2.1'], [onerror]"


class Hostile(BaseHTTPRequestHandler):
    """Answers markup wherever HTTP has room for it; every other request fails."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        failing = self.path == "/failing"
        self.send_response(500 if failing else 200, EVIL)
        for name, value in (("Content-Type", EVIL if failing else "application/json"), ("X-Cache", EVIL)):
            self.send_header(name, value)
        body = json.dumps({EVIL: f"{EVIL}{UNSEEN}"}, ensure_ascii=False).encode() + UNSEEN.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Path]:
    """The target file of a server whose every answer holds markup, as its own names do."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "hostile.toml"
    named = "".join(
        f"[[endpoint]]\npath = '/{path}'\nname = {json.dumps(f'{path} {EVIL}{UNSEEN}')}\ntarget_ms = 50\n"
        f"expect = {{ status = 200, content_type = 'application/json', keys = ['data'] }}\n"
        for path in ("failing", "wrong")
    )
    about = f"[target]\nname = {json.dumps(EVIL + UNSEEN)}\nbase_url = 'http://127.0.0.1:{server.server_port}'\n"
    file.write_text(about + named)
    yield file
    server.shutdown()
    server.server_close()


def test_what_a_target_sends_or_a_file_names_is_shown_as_text_and_acts_nowhere(
    hostile: Path, tmp_path: Path, browser: Browser
) -> None:
    """Of a report's pages, of all that a notebook may show of its run, and of its live panel."""
    options = [
        "--target",
        str(hostile),
        "--duration",
        "1s",
        "--warmup",
        "0.1s",
        "--keep-going",
        "--note",
        EVIL + UNSEEN.replace("\0", ""),
    ]

    def perflib(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "perflib", *words],
            cwd=ROOT,
            env=os.environ | {"PERFLIB_DATA": str(tmp_path)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    told = perflib("report", "light_load", *options, "--out", str(tmp_path / "out"))
    run = load_run(tmp_path / "runs", next((tmp_path / "runs").glob("*/")).name)
    second = Progress(0.5, 1.0, EVIL, 10, 9, 9, 9.0, None, None, None, None, failure_lines(failures(run))[0])
    live = panel(run.facts, [second], np.empty(0, MEMORY_ROW))
    tables_of = (run, tables.verdict(run), tables.samples(run), tables.method(run), tables.cold(run))
    shown = "".join([live, card(run), *(table._repr_html_() for table in tables_of)])
    (tmp_path / "out" / "notebook.html").write_text(f"<title>n</title><main>{shown}</main>", encoding="utf-8")
    for page in ("index.html", "light_load.html", "notebook.html"):
        with opened(browser, tmp_path / "out" / page) as seen:
            seen.page.wait_for_timeout(200)
            assert EVIL in seen.page.inner_text("main"), page
            assert not set(UNSEEN) & set(seen.page.inner_html("main") + seen.page.title()), page
            assert seen.page.evaluate("window.hacked") is None, page
            assert seen.page.locator(f"main :is({ACTIVE})").count() == 0, page
            assert not seen.errors + seen.requests, page
    told += perflib("show", run.facts.run_id, "--bodies") + perflib("show", run.facts.run_id, "--format", "csv")
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert not set(UNSEEN) & set(told + summary)
    assert "<script" not in summary


@pytest.mark.parametrize("name", ["baseline", "light_load"])
def test_the_phases_of_response_times_are_folded_below_their_chart(report: Path, browser: Browser, name: str) -> None:
    with opened(browser, report / f"{name}.html") as seen:
        waiting = seen.page.locator("#phases th", has_text="Waiting p50, ms")
        assert not waiting.is_visible()
        seen.page.get_by_text("Show the table").click()
        assert waiting.is_visible()


def test_the_report_has_a_page_and_an_executed_notebook_for_each_scenario(report: Path) -> None:
    for name in SCENARIOS:
        assert (report / f"{name}.html").stat().st_size < MAX_PAGE_BYTES
        notebook = json.loads((report / f"{name}.ipynb").read_text())
        assert all(cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code")


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_page_opens_with_the_verdict_and_the_briefs_table_and_ends_with_the_method(
    report: Path, browser: Browser, name: str
) -> None:
    with opened(browser, report / f"{name}.html") as seen:
        opening = ["#brief caption", "#brief tbody", ".chart", "h2:text-is('The run')", "#method"]
        places = [box["y"] for part in opening if (box := seen.page.locator(part).first.bounding_box())]
        assert len(places) == len(opening)
        assert places == sorted(places)
        assert places[1] < 500
        assert seen.page.locator("#brief th", has_text="Against").count() == 0, "nothing was measured before"


def test_the_report_of_a_brief_opens_with_its_validation_each_line_linked_to_a_page(report: Path) -> None:
    assert report.resolve().parent.name == "PS-5.1"
    lines = [line for line in (report / "summary.md").read_text().splitlines() if line.startswith("- [")]
    assert len(lines) == 6
    for line in lines:
        page = line.partition("](")[2].partition(")")[0]
        assert (report / page).is_file(), line
    quick = [line for line in lines if "**not measured**" in line]
    assert quick, "a run of a second and a half proves nothing of half an hour"


def test_the_first_screen_of_the_index_has_the_verdict_and_the_briefs_table(report: Path, browser: Browser) -> None:
    with opened(browser, report / "index.html") as seen:
        assert "limits" in seen.page.inner_text(".verdict")
        table = seen.page.locator("table").first
        box = table.bounding_box()
        assert box is not None
        assert box["y"] < 900
        for item in load_target(ROOT / "data/targets/dashboard.toml").items:
            assert item.name in table.inner_text()
        assert not seen.errors + seen.requests
        links = seen.page.eval_on_selector_all("a[href]", "found => found.map(one => one.getAttribute('href'))")
    assert {f"{name}.html" for name in SCENARIOS} <= {link.partition("#")[0] for link in links}


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_page_opens_offline_without_an_error_and_every_chart_shows_something(
    report: Path, browser: Browser, name: str
) -> None:
    with opened(browser, report / f"{name}.html") as seen:
        shown = seen.page.eval_on_selector_all(
            ".chart", f"charts => charts.map(chart => chart.querySelectorAll('{SHOWN}').length)"
        )
        assert len(shown) >= 3
        assert all(shown), shown
        assert seen.page.eval_on_selector_all(".chart", "charts => charts.every(one => one.getAttribute('aria-label'))")
        assert not seen.errors
        assert not seen.requests


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_tables_of_a_page_show_the_figures_of_its_run(
    report: Path, data: Path, browser: Browser, name: str
) -> None:
    [folder] = data.glob(f"runs/*-{name}-*")
    run = load_run(data / "runs", folder.name)
    assert (run.facts.brief, run.facts.sample_target) == ("PS-5.1", True)
    with opened(browser, report / f"{name}.html") as seen:
        text = seen.page.inner_text("main")
    for row in summarize(run).endpoints:
        assert row.endpoint in text
        assert f"{row.requests:,}" in text
