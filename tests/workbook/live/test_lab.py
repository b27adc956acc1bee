"""JupyterLab as a person meets it: the panel moves, stop keeps what was measured, a run is picked up elsewhere."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import chromium
from tests.integration.packaged import free_port

ROOT = Path(__file__).parents[3]
START = "00_start_here.ipynb"
AT_THE_ROOT = f"--ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/{START}"
"""As `make lab` has it: the file browser shows target files and reports too."""
WATCH = "watch.ipynb"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
STARTS_S = 60.0
"""Of a server, a page or a kernel on a busy machine."""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab on a workbook of its own, started as `make lab` does."""

    url: str
    token: str
    workbook: Path
    opens: str
    """The page that sends a person's browser to where it begins."""

    def address(self, notebook: str) -> str:
        """In a workspace of its own, so that nothing else is opened with it."""
        return f"{self.url}lab/workspaces/{Path(notebook).stem}/tree/notebooks/{notebook}?token={self.token}"


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample target, the start notebook with a run too long to end by itself, and one that watches."""
    root = tmp_path_factory.mktemp("workbook")
    (root / "performance_baselines.json").write_text('{"schema_version": 1, "baselines": []}')
    (root / "data/targets").mkdir(parents=True)
    shutil.copy(ROOT / "data/targets/dashboard.toml", root / "data/targets")
    (root / "notebooks").mkdir()
    start = (ROOT / "notebooks" / START).read_text()
    assert 'profile=\\"quick\\"' in start
    (root / "notebooks" / START).write_text(start.replace('profile=\\"quick\\"', 'duration=\\"5min\\"'))
    watch = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import perflib\n\nperflib.attach()")], metadata=KERNEL
    )
    nbformat.write(watch, root / "notebooks" / WATCH)
    return root


@pytest.fixture(scope="module")
def lab(workbook: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home, token = tmp_path_factory.mktemp("home"), secrets.token_urlsafe(16)
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    folders += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(home / name.lower()) for name in folders}
    options = [f"--IdentityProvider.token={token}", "--no-browser", "--allow-root", f"--ServerApp.port={free_port()}"]
    command = [sys.executable, "-m", "jupyterlab", *options, *AT_THE_ROOT.split()]
    with (
        (home / "log").open("w") as log,
        ended(subprocess.Popen(command, cwd=workbook, env=os.environ | own, stderr=log)) as server,
    ):
        runtime = Path(own["JUPYTER_RUNTIME_DIR"])
        url = served_at(runtime, server, home / "log")
        yield Lab(url, token, workbook, "".join(path.read_text() for path in runtime.glob("*open.html")))


@contextmanager
def ended(server: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Afterwards the server is gone, and every kernel and dashboard that it started."""
    try:
        yield server
    finally:
        started = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
        server.terminate()
        for process in psutil.wait_procs(started, timeout=20)[1]:
            process.kill()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def served_at(runtime: Path, server: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the server writes once it listens, and the page that opens it right after."""
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            opens = path.with_name(f"{path.stem}-open.html")
            if opens.exists() and opens.stat().st_size:
                return str(json.loads(path.read_text())["url"])
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=STARTS_S * 1000)
    with chromium() as running:
        yield running


def open_notebook(browser: Browser, lab: Lab, notebook: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(STARTS_S * 1000)
    page.goto(lab.address(notebook))
    expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible()
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    return page


def run_all(page: Page) -> None:
    page.locator(".lm-MenuBar-itemLabel:text-is('Run')").click()
    page.locator(".lm-Menu-itemLabel:text-is('Run All Cells')").click()


def panel_of(page: Page) -> Locator:
    return page.locator(".perflib-live").first


def state_of(page: Page) -> Locator:
    return panel_of(page).locator(".state")


def see_it_move(page: Page) -> None:
    """The panel is there, and its time goes on."""
    expect(state_of(page)).to_have_text("running")
    shown = panel_of(page).locator(".head").inner_text()
    expect(panel_of(page).locator(".head")).not_to_have_text(shown, use_inner_text=True, timeout=10_000)


def shot(page: Page, name: str) -> None:
    """Where PERFLIB_SHOTS names a folder: what is on the screen now."""
    if folder := os.environ.get("PERFLIB_SHOTS"):
        panel_of(page).evaluate("panel => panel.scrollIntoView({block: 'center'})")
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_make_lab_opens_on_the_start_notebook(lab: Lab) -> None:
    assert f"jupyter-lab {AT_THE_ROOT} " in (ROOT / "Makefile").read_text()
    assert f"/lab/tree/notebooks/{START}" in lab.opens


def test_the_file_browser_of_make_lab_shows_the_whole_workbook(lab: Lab, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{lab.url}lab/workspaces/files?token={lab.token}")
    for name in ("data", "notebooks", "performance_baselines.json"):
        expect(page.locator(".jp-DirListing-itemName", has_text=name).first).to_be_visible()


def test_a_run_moves_is_watched_from_elsewhere_and_stops_with_what_it_has(lab: Lab, browser: Browser) -> None:
    first = open_notebook(browser, lab, START)
    run_all(first)
    see_it_move(first)
    shot(first, "running")

    second = open_notebook(browser, lab, WATCH)
    run_all(second)
    see_it_move(second)
    shot(second, "watched")

    first.locator("[data-command='notebook:interrupt-kernel']").first.click()
    expect(state_of(first)).to_have_text(re.compile("^interrupted"))
    expect(state_of(second)).to_have_text(re.compile("^interrupted"))  # and invalid, where the machine was too busy
    shot(first, "stopped")
    expect(first.locator("text=Traceback")).to_have_count(0)

    states = {path.parent: json.loads(path.read_text())["state"] for path in lab.workbook.glob("data/runs/*/run.json")}
    [folder] = [run for run, state in states.items() if state == "interrupted"]  # the quick look below may run by now
    assert (folder / "requests.parquet").stat().st_size > 0
    expect(panel_of(first)).to_contain_text(folder.name)  # JupyterLab hides a cell that is scrolled away
    expect(panel_of(second)).to_contain_text(folder.name)
    expect(first.locator("text=Dashboard home (all data)").first).to_be_visible()
    shot(first, "after")


def test_a_reload_ends_no_run_another_notebook_shows_it_and_stop_still_works(lab: Lab, browser: Browser) -> None:
    page = open_notebook(browser, lab, START)
    run_all(page)
    see_it_move(page)
    page.reload()
    other = open_notebook(browser, lab, WATCH)
    run_all(other)
    see_it_move(other)
    page.locator("[data-command='notebook:interrupt-kernel']").first.click()
    expect(state_of(other)).to_have_text(re.compile("^interrupted"))
    shot(other, "reloaded")
