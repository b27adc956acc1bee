"""The history's notebook executed for real: without any run, and with those that ship; its page looked at."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser

from perflib.figures.row import figures_of
from perflib.store.figures import history
from perflib.workbook.report import execute, write_page
from tests.browser import Seen, chromium, opened

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "notebooks/08_history.ipynb"
SAMPLES = sorted((ROOT / "data/runs").glob("sample-*"))
MAX_SAMPLES_BYTES = 2_000_000
MAX_PAGE_BYTES = 3_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def data_with(folder: Path, runs: list[Path]) -> Path:
    """A data folder that holds copies of these runs."""
    (folder / "runs").mkdir(parents=True)
    for run in runs:
        shutil.copytree(run, folder / "runs" / run.name)
    return folder


def page_of(data: Path, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> Path:
    """The notebook executed on this data folder, as a page; every cell has run."""
    monkeypatch.setenv("PERFLIB_DATA", str(data))
    monkeypatch.setenv("IPYTHONDIR", str(data / "ipython"))
    executed, page = data / "history.ipynb", data / "history.html"
    execute(NOTEBOOK, executed, parameters, lambda _: None)
    cells = json.loads(executed.read_text())["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    write_page(executed, page, "History")
    return page


def text_of(seen: Seen) -> str:
    assert not seen.errors + seen.requests
    return seen.page.inner_text("main")


def test_without_runs_it_says_so_everywhere_and_breaks_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    with opened(browser, page_of(data_with(tmp_path / "data", []), monkeypatch)) as seen:
        text = text_of(seen)
        said = seen.page.locator(".chart .annotation").all_text_contents()
    assert "runs: 0" in text
    assert said == ["No run is stored, or none passes the filters."] * 2 + ["No run was given."]


def test_the_runs_that_ship_show_the_slow_release_and_its_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    csv, parquet = tmp_path / "history.csv", tmp_path / "history.parquet"
    data = data_with(tmp_path / "data", SAMPLES)
    page = page_of(data, monkeypatch, csv=str(csv), parquet=str(parquet))
    with opened(browser, page) as seen:
        text, marks = text_of(seen), seen.marks_by_chart()
        labels = seen.page.locator(".chart .annotation").all_text_contents()
    assert f"runs: {len(SAMPLES)} " in text
    assert all(marks), marks
    assert [label for label in labels if label.endswith("% · sample-1.3") and label.startswith("+")]
    assert [label for label in labels if label.endswith("% · sample-1.4") and label.startswith("-")]
    assert page.stat().st_size < MAX_PAGE_BYTES
    frame = history(data / "runs", figures_of, scenario="light_load")
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), frame)
    assert len(pd.read_csv(csv)) == len(frame)


def test_the_runs_that_ship_are_few_bytes_and_tell_nothing_of_where_they_were_measured() -> None:
    assert len(SAMPLES) >= 16
    assert sum(path.stat().st_size for run in SAMPLES for path in run.iterdir()) < MAX_SAMPLES_BYTES
    for run in SAMPLES:
        facts = json.loads((run / "run.json").read_text())
        assert facts["run_id"] == run.name
        assert facts["target"]["base_url"].startswith("http://127.0.0.1:")
        facts["target"]["endpoints"] = []
        assert not [
            text for text in strings(facts) if "/" in text and "://127.0.0.1:" not in text and "GET /" not in text
        ]


def strings(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for one in value.values():
                yield from strings(one)
        case list():
            for one in value:
                yield from strings(one)
        case str():
            yield value
