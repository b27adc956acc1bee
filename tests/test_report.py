"""The report: truthful execution, offline pages, an index; looked at in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pandas as pd
import papermill
import pytest
from browser import chromium, opened

from perflib.model import SCENARIOS, Endpoint, Environment, Facts, InputError, Options, Run, Target
from perflib.report import NotebookFailed, Outcome, ReportFailed, execute, write_index, write_page, write_report
from perflib.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

SECRET = "hunter2-planted-token"
NASTY = "</script><img src=x onerror=alert(1)><b>bold</b>"
PARAMETERS = """\
users: int = 1  # virtual users
note: str = ''
url: str = ''
run_id: str = ''
"""
CHART = """\
import plotly.graph_objects as go
import plotly.io as pio
pio.renderers.default = "plotly_mimetype"
alt = {"alt": NASTY}
go.Figure(go.Scatter(x=[1, 2, 3], y=[3, 1, 2], name=NASTY), layout={"meta": alt, "title": NASTY})
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook of its own."""
    root = tmp_path / "book"
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    monkeypatch.setenv("PERF_API_TOKEN", SECRET)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def write_notebook(root: Path, *cells: str, name: str = "02_light_load") -> Path:
    v4: Any = nbformat.v4
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(metadata={"kernelspec": kernel})
    parameters = v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    notebook.cells = [v4.new_markdown_cell("# A title"), parameters, *map(v4.new_code_cell, cells)]
    path = root / "notebooks" / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def statuses(executed: Path) -> list[str]:
    notebook: Any = nbformat.read(executed, as_version=4)
    return [cell.metadata.papermill.status for cell in notebook.cells]


def report(scenarios: list[str], options: Options | None = None, out: Path | None = None) -> Path:
    options = options or Options(url="http://127.0.0.1:9")
    return write_report(scenarios, options, out, lambda line: None)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the kernel died"),
        ("import os; os._exit(0)", "the kernel died"),
        ("import sys; sys.exit(0)", "sys.exit: 0"),
        ("import sys; sys.exit()", "sys.exit"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import time; time.sleep(60)", "the cell ran out of time"),
    ],
)
@pytest.mark.filterwarnings("ignore:To exit")
def test_whatever_keeps_a_cell_from_finishing_is_a_failure(book: Path, cell: str, reason: str) -> None:
    notebook, executed = write_notebook(book, "1", cell, "2"), book / "executed.ipynb"
    timeout = 2 if "sleep" in cell else 60
    with pytest.raises(NotebookFailed, match=f"^cell 3: {reason}$"):
        papermill.execute_notebook(
            notebook, executed, engine_name="perflib", progress_bar=False, execution_timeout=timeout
        )
    assert statuses(executed) == ["completed"] * 3 + ["failed", "pending"]
    about: Any = nbformat.read(executed, as_version=4)
    assert about.metadata.papermill.exception is True
    assert "error" in [output.output_type for output in about.cells[3].outputs]


def test_an_interrupt_lets_the_cell_keep_what_it_has_and_is_a_failure(book: Path) -> None:
    guarded = "try:\n    print('begun')\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('kept')\n    raise"
    executed = book / "executed.ipynb"

    def stop(line: str) -> None:
        if line.endswith("begun"):
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        execute(write_notebook(book, "import time", guarded, "2"), executed, {}, stop)
    assert statuses(executed)[-2:] == ["failed", "pending"]
    assert "kept" in executed.read_text()


def test_the_cells_run_from_the_workbooks_root_and_their_lines_are_progress(book: Path) -> None:
    lines: list[str] = []
    notebook = write_notebook(book, "from pathlib import Path\nprint(Path.cwd(), users)")
    execute(notebook, book / "executed.ipynb", {"users": 7}, lines.append)
    assert f"02_light_load: {book.resolve()} 7" in lines
    assert "02_light_load: cell 2 of 3" in lines


def test_machine_paths_are_left_out_of_papermills_metadata(book: Path) -> None:
    execute(write_notebook(book), book / "executed.ipynb", {}, lambda line: None)
    about: Any = nbformat.read(book / "executed.ipynb", as_version=4)
    assert about.metadata.papermill.input_path == "02_light_load.ipynb"
    assert about.metadata.papermill.output_path == "executed.ipynb"


def test_an_unknown_parameter_is_refused_before_anything_runs(book: Path) -> None:
    notebook = write_notebook(book)
    with pytest.raises(
        InputError, match=r"02_light_load.ipynb: user: unknown parameter; it has users, note, url, run_id"
    ):
        execute(notebook, book / "executed.ipynb", {"user": 5}, lambda line: None)
    assert not (book / "executed.ipynb").exists()
    with pytest.raises(InputError, match="duration: unknown parameter"):
        report(["light_load"], Options(url="http://127.0.0.1:9", duration=1))
    assert not (book / "data").exists()


@pytest.mark.parametrize("url", [f"http://me:{SECRET}@host", f"http://host/?key={SECRET}"])
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(book: Path, url: str) -> None:
    write_notebook(book)
    with pytest.raises(InputError) as refused:
        report(["light_load"], Options(url=url))
    assert SECRET not in str(refused.value)


def test_a_scenario_without_a_notebook_is_refused(book: Path) -> None:
    write_notebook(book)
    with pytest.raises(InputError, match=r"no notebook for scenario 'baseline'; there are light_load"):
        report(["baseline"])


def test_each_report_has_a_folder_of_its_own_and_latest_points_to_the_newest(book: Path) -> None:
    write_notebook(book)
    first, second = report([]), report(["light_load"])
    assert first != second
    assert (book / "data/reports/latest").resolve() == second
    given = report(["light_load"], out=book / "given")
    assert {path.name for path in given.iterdir()} == {
        "index.html",
        "summary.md",
        "light_load.html",
        "light_load.ipynb",
    }
    assert (book / "data/reports/latest").resolve() == second
    with pytest.raises(InputError, match="never overwritten"):
        report(["light_load"], out=book / "given")


def test_a_failed_notebook_still_gets_its_page_and_the_report_says_so(book: Path) -> None:
    write_notebook(book, "print('before')", "raise ValueError('a <b>bad</b> day')", name="01_baseline")
    write_notebook(book)
    with pytest.raises(ReportFailed, match=r"1 of 2 notebooks failed: baseline \(cell 4: ValueError: a <b>bad"):
        report(["baseline", "light_load"])
    latest = book / "data/reports/latest"
    failed = '<p class="failed">'
    assert failed in (latest / "baseline.html").read_text()
    assert failed in (latest / "index.html").read_text()
    assert "a &lt;b&gt;bad&lt;/b&gt; day" in (latest / "index.html").read_text()
    assert failed not in (latest / "light_load.html").read_text()
    assert "did not run to its end" in (latest / "summary.md").read_text()


def test_latest_never_points_to_a_report_that_was_cut_short(book: Path) -> None:
    write_notebook(book)
    whole = report(["light_load"])

    def break_off(line: str) -> None:
        raise BrokenPipeError

    with pytest.raises((BrokenPipeError, ReportFailed)):
        write_report(["light_load"], Options(url="http://127.0.0.1:9"), None, break_off)
    assert (book / "data/reports/latest").resolve() == whole


def test_no_token_is_in_any_byte_of_a_report_not_even_after_a_crash(book: Path) -> None:
    cell = "import os\ntoken = os.environ['PERF_API_TOKEN']\nlen(token)"
    write_notebook(book, cell, "def call(token):\n    raise OSError('refused')\ncall(token)")
    with pytest.raises(ReportFailed):
        report(["light_load"])
    files = [path for path in (book / "data").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_page_opens_offline_from_any_folder_and_shows_what_it_was_given_as_text(
    book: Path, browser: Browser, tmp_path: Path
) -> None:
    outputs = "import pandas as pd\nprint(NASTY)\nprint(note)\npd.DataFrame({'name': [NASTY]})"
    write_notebook(book, f"NASTY = {NASTY!r}\n{CHART}", CHART.replace("Scatter", "Bar"), outputs)
    options = Options(url="http://127.0.0.1:9", note=NASTY)
    moved = shutil.copytree(report(["light_load"], options), tmp_path / "else where")
    assert (moved / "light_load.html").stat().st_size < 3_000_000
    with opened(browser, moved / "light_load.html") as seen:
        assert len(seen.marks_by_chart()) == 2
        assert all(seen.marks_by_chart())
        assert NASTY in seen.page.inner_text("main")
        assert seen.page.get_attribute(".chart", "aria-label") == NASTY
        assert seen.page.title() == "Light load"
        assert seen.page.locator("main b, main img[src=x]").count() == 0
        assert not seen.errors
        assert not seen.requests
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_script_in_an_output_cannot_run(book: Path, browser: Browser) -> None:
    evil = "<script>document.title = 'owned'</script><img src='data:,' onerror=\"document.title = 'owned'\">"
    write_notebook(book, f"from IPython.display import HTML\nHTML({evil!r})")
    with opened(browser, report(["light_load"]) / "light_load.html") as seen:
        seen.page.wait_for_timeout(200)
        assert seen.page.title() == "Light load"
        assert seen.errors


def test_parameters_stand_in_a_table_at_the_end_and_their_cells_are_dropped(book: Path) -> None:
    notebook, executed = write_notebook(book, "users"), book / "executed.ipynb"
    execute(notebook, executed, {"users": 7}, lambda line: None)
    write_page(executed, book / "page.html", "A page")
    page = (book / "page.html").read_text()
    assert "<td>users</td><td>7</td><td>virtual users</td>" in page
    assert "users: int" not in page
    assert "# Parameters" not in page
    assert len(page) < 20_000, "a page without charts carries no plotly"


def test_the_index_says_what_failed_and_opens_offline(tmp_path: Path, browser: Browser) -> None:
    write_index(tmp_path, [Outcome("light_load", "light_load.html", failure=NASTY)], "today")
    with opened(browser, tmp_path / "index.html") as seen:
        assert NASTY in seen.page.inner_text("p.failed")
        assert "Light load is not judged: its notebook failed." in seen.page.inner_text(".verdict")
        assert not seen.errors
        assert not seen.requests


def a_run(name: str) -> Run:
    """A run of one endpoint, 100 answers of 10 ms."""
    target = Target(name=name, base_url="http://host", endpoints=(Endpoint(path="/x", name=name, target_ms=5),))
    facts = Facts(
        run_id="a-run",
        state="finished",
        scenario=SCENARIOS["light_load"]["quick"],
        profile="quick",
        target=target,
        seed=1,
        started_at="2026-01-01T00:00:00+00:00",
        environment=Environment(os="Linux", arch="x", cpu=name, cores=2, ram_bytes=2**30, python="3", versions={}),
        parts=({"items": (name,), "measured_from_ns": 0, "measured_to_ns": 10**9},),
    )
    row = {
        "endpoint": name,
        "page": None,
        "kind": "request",
        "error": None,
        "status": 200,
        "warmup": False,
        "cold": False,
    }
    times = {"intended_ns": 0, "start_ns": 0, "end_ns": 10**7}
    return Run(facts, pd.DataFrame([row | times] * 100))


def test_the_index_judges_the_set_and_shows_names_as_text(tmp_path: Path, browser: Browser) -> None:
    run = a_run(NASTY)
    write_index(tmp_path, [Outcome("light_load", "light_load.html", run, summarize(run))], "today")
    with opened(browser, tmp_path / "index.html") as seen:
        assert seen.page.inner_text(".verdict").startswith("1 of 1 targets is missed:")
        assert NASTY in seen.page.inner_text("table")
        assert "missed" in seen.page.inner_text("table")
        assert seen.page.locator("main b, main img").count() == 0
        assert not seen.errors
    assert "| 10.0 | 10.0 |" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("first", ["papermill", "perflib.report", "perflib.report.engine"])
def test_papermill_finds_the_engine_by_its_entry_point_whichever_is_imported_first(tmp_path: Path, first: str) -> None:
    about = tmp_path / "perflib-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: perflib\nVersion: 0\n")
    (about / "entry_points.txt").write_text("[papermill.engine]\nperflib = perflib.report.engine:TruthfulEngine\n")
    code = (
        f"import {first}; from papermill.engines import papermill_engines as e; print(e.get_engine('perflib').__name__)"
    )
    root = str(Path(__file__).parents[1])
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "TruthfulEngine\n"
