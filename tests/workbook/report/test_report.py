"""The report: truthful execution, offline pages, an index; looked at in a real browser."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pandas as pd
import papermill
import pytest

from perflib.figures.summary import summarize
from perflib.judge.baseline import baseline_of
from perflib.spec import SCENARIOS, Endpoint, Environment, Facts, InputError, Options, Run, Target
from perflib.spec.baselines import Baselines
from perflib.spec.run import MemorySource
from perflib.spec.workload import Closed
from perflib.store.runs import RunFolder
from perflib.workbook.charts.parts import Words, figure_of
from perflib.workbook.report import (
    NotebookFailed,
    Outcome,
    ReportFailed,
    execute,
    write_index,
    write_page,
    write_report,
)
from perflib.workbook.report.compare import compare_with_before, with_runs_before
from perflib.workbook.report.html import layout_of
from perflib.workbook.report.validation import Line, validation
from tests.browser import chromium, opened
from tests.synthetic import make_run, make_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

SECRET = "hunter2-planted-token"
NASTY = "</script><img src=x onerror=alert(1)><b>bold</b>"
PARAMETERS = """\
users: int = 1  # virtual users
note: str = ''
brief: str = ''
url: str = ''
run_id: str = ''
"""
CHART = """\
from perflib.workbook import schemas
import plotly.graph_objects as go
import plotly.io as pio
pio.renderers.default = "plotly_mimetype"
alt = {"alt": NASTY}
go.Figure(go.Scatter(x=[1, 2, 3], y=[3, 1, 2], name=NASTY), layout={"meta": alt, "title": NASTY})
"""


TARGET = """\
[target]
name = "dashboard"
base_url = "http://127.0.0.1:9"

[[endpoint]]
path = "/health"
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook of its own, with the target file that a report takes where none is named."""
    root = tmp_path / "book"
    for folder in ("notebooks", "data/targets"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "data/targets/dashboard.toml").write_text(TARGET)
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


def test_the_kernel_is_this_interpreter_and_nothing_of_the_users_own_ipython_is_in_it(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"argv": ["/nonexistent/python"], "display_name": "another", "language": "python"}
    (book / "jupyter/kernels/python3").mkdir(parents=True)
    (book / "jupyter/kernels/python3/kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    startup = Path(os.environ["IPYTHONDIR"]) / "profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("import os; os._exit(3)", encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(book / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    (book / "plotly.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    (book / "mine.py").write_text("own = 'a module of the workbook'", encoding="utf-8")
    lines: list[str] = []
    notebook = write_notebook(book, "import sys, plotly, mine\nprint(sys.executable, mine.own)")
    execute(notebook, book / "executed.ipynb", {}, lines.append)
    assert f"02_light_load: {sys.executable} a module of the workbook" in lines


def test_a_renderer_that_plotly_does_not_know_is_nothing_to_a_report() -> None:
    foreign = os.environ | {"PLOTLY_RENDERER": "nonsense"}
    asked = "import perflib.workbook.report, os; print('PLOTLY_RENDERER' in os.environ)"
    told = subprocess.run([sys.executable, "-P", "-c", asked], env=foreign, capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr) == ("False\n", "")


def test_machine_paths_are_left_out_of_papermills_metadata(book: Path) -> None:
    execute(write_notebook(book), book / "executed.ipynb", {}, lambda line: None)
    about: Any = nbformat.read(book / "executed.ipynb", as_version=4)
    assert about.metadata.papermill.input_path == "02_light_load.ipynb"
    assert about.metadata.papermill.output_path == "executed.ipynb"


def test_an_unknown_parameter_is_refused_before_anything_runs(book: Path) -> None:
    notebook = write_notebook(book)
    with pytest.raises(
        InputError, match=r"02_light_load.ipynb: user: unknown parameter; it has users, note, brief, url, run_id"
    ):
        execute(notebook, book / "executed.ipynb", {"user": 5}, lambda line: None)
    assert not (book / "executed.ipynb").exists()
    with pytest.raises(InputError, match="duration: unknown parameter"):
        report(["light_load"], Options(url="http://127.0.0.1:9", duration=1))
    assert [path.name for path in (book / "data").iterdir()] == ["targets"]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (f"http://me:{SECRET}@host", ""),
        (f"http://me:{SECRET}@host", "data/targets/dashboard.toml"),
        (f"http://host/?key={SECRET}", "data/targets/dashboard.toml"),
    ],
)
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(book: Path, url: str, target: str) -> None:
    write_notebook(book)
    with pytest.raises(InputError) as refused:
        report(["light_load"], Options(url=url, target=target))
    assert SECRET not in str(refused.value)


def test_a_scenario_that_nobody_defines_is_refused_before_anything_runs(book: Path) -> None:
    write_notebook(book)
    with pytest.raises(InputError, match=r"scenario 'nope': unknown; choose one of baseline, light_load"):
        report(["nope"])
    assert [path.name for path in (book / "data").iterdir()] == ["targets"]


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


def test_the_reports_of_a_brief_have_a_folder_of_their_own(book: Path) -> None:
    write_notebook(book)
    plain, filed = report([]), report([], Options(url="http://127.0.0.1:9", brief="PS-5.1"))
    reports = (book / "data/reports").resolve()
    assert plain.parent == reports
    assert filed.parent == reports / "PS-5.1"
    assert (reports / "latest").resolve() == (reports / "PS-5.1/latest").resolve() == filed
    assert (filed / "summary.md").read_text().startswith("# Performance report, brief PS-5.1\n\n")


@pytest.mark.parametrize("brief", ["../up", "a/b", "latest", ".", "..", "-x", "a" * 200])
def test_a_brief_that_is_no_folders_name_is_refused_before_anything_runs(book: Path, brief: str) -> None:
    write_notebook(book)
    with pytest.raises(InputError, match=r"--brief .*: names the report's folder"):
        report([], Options(url="http://127.0.0.1:9", brief=brief))
    assert not (book / "data/reports").exists()


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


def test_how_to_read_a_chart_is_folded_below_it(book: Path, browser: Browser) -> None:
    helped = "figure_of(Words('A title', 'An alt.', 'Look for <a> bend.')).add_scatter(y=[1, 2])"
    own = CHART.replace("NASTY", "'mine'")
    write_notebook(book, f"from perflib.workbook.charts.parts import Words, figure_of\n{helped}", own)
    with opened(browser, report(["light_load"]) / "light_load.html") as seen:
        assert all(seen.marks_by_chart())
        assert seen.page.locator("figure details").count() == 1, "a figure of the user's own has no such help"
        reading = seen.page.locator("figure details p")
        assert not reading.is_visible()
        seen.page.get_by_text("How to read this chart").click()
        assert reading.inner_text() == "Look for <a> bend."
        assert "How to read" not in seen.page.locator(".chart").first.inner_text(), "it is said once"


def test_a_picture_and_a_page_leave_out_the_mark_that_only_a_mouse_can_use() -> None:
    figure = figure_of(Words("A title", "An alt.", "Look for a bend.")).add_annotation(text="kept").to_plotly_json()
    assert [note["text"] for note in layout_of(figure)["annotations"]] == ["kept"]


def test_a_page_opens_with_the_verdict_and_ends_with_the_method(book: Path, browser: Browser) -> None:
    notebook = write_notebook(book, "print('measured')", "print('All targets met.')", "print('evidence')")
    cells: Any = nbformat.read(notebook, as_version=4)
    for cell, tag in zip(cells.cells[2:4], ("method", "verdict"), strict=True):
        cell.metadata["tags"] = [tag]
    nbformat.write(cells, notebook)
    with opened(browser, report(["light_load"]) / "light_load.html") as seen:
        text = seen.page.inner_text("main")
    places = [text.index(part) for part in ("A title", "All targets met.", "evidence", "measured", "Parameters")]
    assert places == sorted(places)


def test_a_script_in_an_output_cannot_run(book: Path, browser: Browser) -> None:
    evil = "<script>document.title = 'owned'</script><img src='data:,' onerror=\"document.title = 'owned'\">"
    write_notebook(book, f"from IPython.display import HTML\nHTML({evil!r})")
    with opened(browser, report(["light_load"]) / "light_load.html") as seen:
        seen.page.wait_for_timeout(200)
        assert seen.page.title() == "Light load"
        assert seen.errors


def test_parameters_stand_in_a_table_at_the_end_and_their_cells_are_dropped(book: Path) -> None:
    notebook, executed = write_notebook(book, "users"), book / "executed.ipynb"
    execute(notebook, executed, {"users": 7, "note": "", "brief": "PS"}, lambda line: None)
    write_page(executed, book / "page.html", "A page")
    page = (book / "page.html").read_text()
    assert "<td>users</td><td>7</td><td>virtual users</td>" in page
    assert "<td>brief</td><td>&#39;PS&#39;</td>" in page
    assert "<td>note</td>" not in page, "it is as by default"
    assert "<td>url</td>" not in page
    assert "users: int" not in page
    assert "# Parameters" not in page
    assert len(page) < 20_000, "a page without charts carries no plotly"


def test_the_lines_of_a_long_run_are_one_log(book: Path) -> None:
    cell = (
        "import sys, time\nfor second in range(3):\n    print(second, file=sys.stderr, flush=True)\n    time.sleep(0.3)"
    )
    notebook, executed = write_notebook(book, cell), book / "executed.ipynb"
    execute(notebook, executed, {}, lambda line: None)
    write_page(executed, book / "page.html", "A page")
    assert (book / "page.html").read_text().count("Show the log") == 1


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
    times = {"intended_ns": 0, "start_ns": 0, "first_byte_ns": 10**7, "end_ns": 10**7, "connect_ns": 0, "bytes": 1000}
    return Run(facts, pd.DataFrame([row | times] * 100))


def test_the_index_judges_the_set_and_shows_names_as_text(tmp_path: Path, browser: Browser) -> None:
    run = a_run(NASTY)
    write_index(tmp_path, [Outcome("light_load", "light_load.html", run)], "today")
    with opened(browser, tmp_path / "index.html") as seen:
        assert seen.page.inner_text(".verdict").startswith("1 of 1 limits is missed:")
        assert NASTY in seen.page.inner_text("table")
        assert "missed" in seen.page.inner_text("table")
        assert seen.page.locator("main b, main img").count() == 0
        assert not seen.errors
    assert "| 10.0 | 10.0 |" in (tmp_path / "summary.md").read_text()


def test_the_tables_of_the_index_are_sorted_by_a_click_and_it_is_dark_where_its_reader_prefers_that(
    tmp_path: Path, browser: Browser
) -> None:
    run = make_run(make_target("GET /a", "GET /b", target_ms=5000.0))
    write_index(tmp_path, [Outcome("light_load", "light_load.html", run)], "today")
    with opened(browser, tmp_path / "index.html") as seen:
        table = seen.page.locator("table", has_text="GET /b").first
        head = table.locator("thead th", has_text="Endpoint").first
        orders = []
        for _ in range(2):
            head.click()
            orders.append(table.locator("tbody tr", has_text="GET /").all_inner_texts())
        assert orders[0] == orders[1][::-1]
        ground = "getComputedStyle(document.body).backgroundColor"
        light = seen.page.evaluate(ground)
        seen.page.emulate_media(color_scheme="dark")
        assert seen.page.evaluate(ground) != light
        seen.page.emulate_media(color_scheme="dark", media="print")
        assert seen.page.evaluate(ground) == light
        assert not seen.errors


def an_outcome(scenario: str, profile: Any = "brief", per_s: float = 10.0, **change: Any) -> Outcome:
    """A sound run of what a scenario asks in a profile; the made-up minute stands for its whole length."""
    target = make_target("GET /a", "GET /b", page="Home", target_ms=5000.0).model_copy(update={"validation": "PS-5.1"})
    made = make_run(target, scenario=scenario, per_s=per_s, **{k: v for k, v in change.items() if k != "asks"})
    asked = SCENARIOS[scenario][profile].model_copy(update=change.get("asks", {}))
    run = Run(made.facts.model_copy(update={"scenario": asked}), made.requests, made.memory)
    return Outcome(scenario, f"{scenario}.html", run)


def line_of(scenario: str, outcome: Outcome, baselines: Baselines | None = None) -> Line:
    """The line that rests on a scenario."""
    place = {"steady_rate": 2, "sustained": 3, "light_load": 4}[scenario]
    return validation("PS-5.1", [outcome], baselines or Baselines())[place]


def with_memory(outcome: Outcome, growth_bytes_per_s: float, seconds: int = 1800) -> Outcome:
    run = outcome.run
    assert run is not None
    samples = pd.DataFrame({"t_ns": [second * 10**9 for second in range(seconds)]})
    samples["rss_bytes"] = [int(1e8 + growth_bytes_per_s * at) + at * 7919 % 4096 for at in range(seconds)]
    known = samples.assign(pid=1, started_s=0.0, open_files=10, threads=4)
    facts = run.facts.model_copy(update={"memory": MemorySource(kind="process", pid=1, told="made up")})
    return Outcome(outcome.scenario, outcome.page, Run(facts, run.requests, known))


def test_the_briefs_six_lines_stand_in_its_order_and_without_a_run_none_is_met() -> None:
    lines = validation("PS-5.1", [], Baselines())
    assert len(lines) == 6
    assert {line.status for line in lines} == {"not measured"}
    brief = [line.wording for line in lines]
    assert brief[0] == "Baseline recorded for all critical endpoints"
    assert brief[-1] == "Performance baselines documented"


@pytest.mark.parametrize("scenario", ["steady_rate", "light_load"])
def test_a_sound_run_meets_its_line_only_if_it_asked_all_that_the_brief_asks(scenario: str) -> None:
    assert line_of(scenario, an_outcome(scenario)).status == "met"
    quick = line_of(scenario, an_outcome(scenario, "quick"))
    assert quick.status == "not measured"
    assert "of the brief's" in quick.reason
    some = an_outcome(scenario, asks={"endpoints": ("GET /a", "Home")})
    assert line_of(scenario, some).status == "not measured"
    fewer = an_outcome("light_load", asks={"workload": Closed(users=9)})
    assert line_of("light_load", fewer).reason.endswith("9 of its 10 users")


def test_a_short_run_can_disprove_a_line() -> None:
    failed = line_of("steady_rate", an_outcome("steady_rate", "quick", failures=0.05))
    assert (failed.status, "5xx" in failed.reason) == ("not met", True)
    late = line_of("light_load", an_outcome("light_load", "quick", slowdown=lambda at_s: 100 + 0 * at_s))
    assert late.status == "not met"
    crowded = {"asks": {"workload": Closed(users=99)}, "slowdown": lambda at_s: 100 + 0 * at_s}
    assert line_of("light_load", an_outcome("light_load", **crowded)).status == "not measured"


def test_dropped_requests_are_no_sustained_rate() -> None:
    line = line_of("steady_rate", an_outcome("steady_rate", dropped=0.1))
    assert line.status == "not met"
    assert "no 5xx, but" in line.reason


def test_the_memory_line_follows_the_verdict_on_memory() -> None:
    sampled = an_outcome("sustained", per_s=1.0, seconds=1800.0)
    assert line_of("sustained", with_memory(sampled, 0.0)).status == "met"
    leaking = with_memory(sampled, 50_000.0)
    assert line_of("sustained", leaking).status == "not met"
    assert line_of("sustained", sampled).status == "not measured"
    short = an_outcome("sustained", "quick", per_s=1.0, seconds=1800.0)
    assert line_of("sustained", with_memory(short, 0.0)).status == "not measured"


def test_a_leak_is_told_on_the_index(tmp_path: Path) -> None:
    leaking = with_memory(an_outcome("sustained", per_s=1.0, seconds=1800.0), 50_000.0)
    write_index(tmp_path, [leaking], "today")
    told = (tmp_path / "summary.md").read_text()
    assert "The target leaks (sustained)." in told
    assert "Memory leaks:" in told.partition("## Sustained")[2]


def test_the_baseline_lines_need_a_baseline_of_this_target_and_machine_with_every_endpoint() -> None:
    alone, light = an_outcome("baseline"), an_outcome("light_load")
    assert alone.run is not None
    assert light.run is not None
    both = Baselines(baselines=(baseline_of([alone.run]), baseline_of([light.run])))
    lines = validation("PS-5.1", [alone, light], both)
    assert (lines[0].status, lines[5].status) == ("met", "met")
    one = validation("PS-5.1", [alone, light], Baselines(baselines=both.baselines[:1]))
    assert (one[0].status, one[5].status) == ("met", "not met")
    elsewhere = both.baselines[0].model_copy(
        update={"environment": both.baselines[0].environment.model_copy(update={"cpu": "another"})}
    )
    assert validation("PS-5.1", [alone], Baselines(baselines=(elsewhere,)))[0].status == "not met"
    few = an_outcome("baseline", per_s=2.0, warmup_s=0.0)
    assert few.run is not None
    lacking = validation("PS-5.1", [few], Baselines(baselines=(baseline_of([few.run]),)))[0]
    assert (lacking.status, lacking.reason) == ("not met", "no p95 of GET /a, GET /b, Home")


def test_a_script_that_did_not_run_to_its_end_did_not_run_successfully() -> None:
    sound, broken = an_outcome("light_load"), Outcome("spike", "spike.html", failure="boom")
    assert validation("PS-5.1", [sound], Baselines())[1].status == "met"
    assert validation("PS-5.1", [sound, broken], Baselines())[1].status == "not met"


def test_the_index_opens_with_the_six_lines_and_says_how_a_run_compares_with_its_baseline(
    tmp_path: Path, browser: Browser
) -> None:
    light = an_outcome("light_load")
    assert light.run is not None
    write_index(tmp_path, [light], "today", Baselines(baselines=(baseline_of([light.run]),)))
    with opened(browser, tmp_path / "index.html") as seen:
        items = seen.page.locator("ul.validation li").all_inner_texts()
        assert len(items) == 6
        assert "✓ met" in items[4]
        assert seen.page.get_attribute("ul.validation li:nth-child(5) a", "href") == "light_load.html"
        assert "Compared with the baseline of 2026-01-01: no regression" in seen.page.inner_text("main")
        top = seen.page.locator("ul.validation").bounding_box()
        verdict = seen.page.locator(".verdict").bounding_box()
        assert top is not None
        assert verdict is not None
        assert top["y"] < verdict["y"]


def test_the_index_says_what_was_measured_and_shows_each_endpoint_across_the_scenarios(tmp_path: Path) -> None:
    light, steady = make_run(failures=0.2), make_run(scenario="steady_rate")
    late = Run(light.facts.replaced(invalid_reasons=("it was late",)), light.requests)
    outcomes = [
        Outcome("light_load", "light_load.html", light),
        Outcome("steady_rate", "steady_rate.html", steady),
        Outcome("medium_load", "medium_load.html", late),
    ]
    write_index(tmp_path, outcomes, "today")
    summary = (tmp_path / "summary.md").read_text()
    assert summary.splitlines()[2].startswith("dashboard at http://127.0.0.1:8420 · ")
    assert summary.splitlines()[2].endswith(" · today")
    across = summary.partition("## Every endpoint across the scenarios")[2]
    cells = next(line for line in across.splitlines() if line.startswith("| GET /clients")).split(" | ")
    assert cells[1].startswith("✗ ")
    assert float(cells[2]) > 0
    assert cells[3].endswith("(not judged)")
    assert "| – |" in next(line for line in across.splitlines() if line.startswith("| Dashboard home"))
    assert summary.count("nearest-rank") == 1, "how to read the tables is said once"
    write_index(tmp_path, outcomes[:1], "today")
    assert "across the scenarios" not in (tmp_path / "summary.md").read_text()


def test_the_index_shows_the_course_of_the_slowest_endpoint_from_run_to_run(tmp_path: Path, browser: Browser) -> None:
    runs, folder = tmp_path / "runs", tmp_path / "report"
    folder.mkdir()
    for day in range(1, 5):
        store(runs, a_day(day, 1.0))
    new = a_day(5, 2.0)
    write_index(folder, [Outcome("light_load", "light_load.html", new)], "today", runs=runs)
    with opened(browser, folder / "index.html") as seen:
        told = seen.page.inner_text(".course")
        assert re.search(r"p95 of .*: [\d.,]+ ms; [\d.,]+ ms in the 4 runs like it before \(\+\d+%\)", told)
        assert seen.page.get_attribute(".course path", "d").count("L") == 4
        assert not seen.errors
    write_index(folder, [Outcome("light_load", "light_load.html", new)], "today")
    assert 'class="course"' not in (folder / "index.html").read_text()


def test_a_report_of_a_target_that_asks_for_no_brief_has_no_checklist(tmp_path: Path) -> None:
    asked = an_outcome("light_load")
    assert asked.run is not None
    plain = asked.run.facts.target.model_copy(update={"validation": ""})
    run = Run(asked.run.facts.model_copy(update={"target": plain}), asked.run.requests)
    write_index(tmp_path, [Outcome("light_load", "light_load.html", run)], "today")
    assert "- [" not in (tmp_path / "summary.md").read_text()
    assert '<ul class="validation"' not in (tmp_path / "index.html").read_text()
    assert "Dashboard home" not in (tmp_path / "index.html").read_text()


def test_the_index_says_how_many_requests_failed_also_where_no_limit_is_set(tmp_path: Path) -> None:
    run = make_run(failures=0.05)
    write_index(tmp_path, [Outcome("light_load", "light_load.html", run)], "today")
    counts = summarize(run).requests
    assert f"{counts.failed:,} of {counts.scheduled:,} requests failed." in (tmp_path / "summary.md").read_text()


HOSTILE = "{{ 7*7 }}{% raw %}'\"><script>document.title='owned'</script>"


def test_a_hostile_title_note_or_name_stays_text_on_every_page(book: Path, browser: Browser) -> None:
    """Of the index, a scenario's page and the comparison; tests/workbook/live/test_live.py has the panel."""
    write_notebook(book, f"print({HOSTILE!r})", "print(note)")
    folder = report(["light_load"], Options(url="http://127.0.0.1:9", note=HOSTILE))
    write_page(folder / "light_load.ipynb", folder / "light_load.html", HOSTILE, failure=HOSTILE)
    runs = book / "runs"
    old, new = (titled(a_day(day, slower, name=HOSTILE), HOSTILE) for day, slower in ((1, 1.0), (2, 2.0)))
    store(runs, old)
    outcomes = [Outcome("light_load", "light_load.html", new, failure="")]
    compared = compare_with_before(folder, outcomes, runs, Baselines())
    assert len(compared.pairs) == 1
    outcomes.append(Outcome("spike", "", failure=HOSTILE))
    write_index(folder, outcomes, HOSTILE, brief=HOSTILE, notes=[HOSTILE], compared=compared)
    for page in ("index.html", "light_load.html", "compare.html"):
        with opened(browser, folder / page) as seen:
            seen.page.wait_for_timeout(200)
            assert seen.page.inner_text("main").count(HOSTILE) >= 2, page
            assert "49" not in seen.page.inner_text("h1"), page
            assert seen.page.title() != "owned", page
            assert seen.page.locator("main script:not([type='application/json'])").count() == 0, page
            assert not seen.errors + seen.requests, page
    assert "<script" not in (folder / "summary.md").read_text()


def titled(run: Run, title: str) -> Run:
    scenario = run.facts.scenario.model_copy(update={"title": title})
    return Run(run.facts.model_copy(update={"scenario": scenario, "note": title}), run.requests, run.memory)


def test_the_index_links_to_the_comparison_with_the_latest_run_before(tmp_path: Path, browser: Browser) -> None:
    runs, folder = tmp_path / "runs", tmp_path / "report"
    folder.mkdir()
    for day, slower, state in ((1, 1.0, "finished"), (2, 2.0, "finished"), (3, 9.0, "interrupted")):
        store(runs, a_day(day, slower, state))
    new = a_day(4, 4.0)
    outcomes = [Outcome("light_load", "light_load.html", new)]
    assert compare_with_before(folder, outcomes, tmp_path / "none", Baselines()).pairs == ()
    compared = compare_with_before(folder, outcomes, runs, Baselines())
    assert [pair.a.facts.run_id for pair in compared.pairs] == [name_of(2)]
    write_index(folder, outcomes, "today", compared=compared)
    with opened(browser, folder / "index.html") as seen:
        seen.page.click("text=Compared with the previous runs")
        seen.page.wait_for_selector("html[data-drawn]", state="attached")
        text = seen.page.inner_text("main")
        assert f"A: {name_of(2)}, started 2026-01-02" in text
        assert f"B: {name_of(4)}, started 2026-01-04" in text
        assert seen.page.locator(".chart").count() == 2
        assert "2.00" in text
        assert all(seen.marks_by_chart())
        chart, names = (seen.page.locator(part).first.bounding_box() for part in (".chart", ".gtitle-subtitle"))
        assert chart is not None
        assert names is not None
        assert names["x"] + names["width"] <= chart["x"] + chart["width"], "both runs' names can be read"
        assert not seen.errors + seen.requests


def test_only_the_run_before_is_loaded_however_many_others_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, a_day(1, 1.0))
    for day in range(2, 5):
        store(tmp_path, a_day(day, 1.0, name="GET /other"))
    new, loaded, load = a_day(9, 1.0), [], RunFolder.load
    outcomes = [Outcome("light_load", "light_load.html", new)]
    with_runs_before(outcomes, tmp_path, Baselines())
    monkeypatch.setattr(RunFolder, "load", lambda run: loaded.append(run.path.name) or load(run))
    assert [pair.a.facts.run_id for pair in with_runs_before(outcomes, tmp_path, Baselines())] == [name_of(1)]
    assert loaded == [name_of(1)]


def a_day(day: int, slower: float, state: str = "finished", name: str = NASTY) -> Run:
    run = make_run(make_target(name), slowdown=lambda at_s: slower + 0 * at_s, state=state)
    told = {"run_id": name_of(day), "started_at": f"2026-01-0{day}T00:00:00+00:00"}
    return Run(run.facts.model_copy(update=told), run.requests, run.memory)


def name_of(day: int) -> str:
    return f"2026-01-0{day}T00-00-00-000000Z-light_load-0a1b2c3d"


def store(runs: Path, run: Run) -> None:
    folder = runs / run.facts.run_id
    folder.mkdir(parents=True)
    run.requests.assign(run_id=run.facts.run_id).to_parquet(folder / "requests.parquet")
    (folder / "run.json").write_text(run.facts.model_dump_json())


def test_without_an_earlier_run_the_index_says_so_and_links_to_no_comparison(tmp_path: Path) -> None:
    write_index(tmp_path, [an_outcome("light_load")], "today")
    for page in ("index.html", "summary.md"):
        told = (tmp_path / page).read_text()
        assert "There is no previous sound run" in told
        assert "compare.html" not in told


def test_a_comparison_that_fails_keeps_no_report_from_its_index(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError(f"{NASTY}\nsecond line")

    monkeypatch.setattr("perflib.workbook.report.compare.with_runs_before", fails)
    write_notebook(book)
    folder = report(["light_load"])
    index, summary = ((folder / name).read_text() for name in ("index.html", "summary.md"))
    told = "The comparison with the previous runs failed: ArithmeticError: "
    assert told in index
    assert told in summary
    assert not [tag for tag in ("<b>bold", "<img src=x") if tag in index + summary]
    assert "compare.html" not in index
    assert (book / "data/reports/latest").resolve() == folder


def test_the_summary_has_names_as_text(tmp_path: Path) -> None:
    run = a_run(NASTY)
    write_index(tmp_path, [Outcome("light_load", "light_load.html", run)], "today")
    told = (tmp_path / "summary.md").read_text()
    assert not any(tag in told for tag in ("<img", "<b>", "</script>"))


CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("main, main *")]
    .filter((one) => !one.closest(".chart, script"))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((one) => {
      const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), one.outerHTML.slice(0, 90)];
    });
}"""


def test_every_text_has_the_contrast_of_wcag_aa_and_no_heading_level_is_skipped(book: Path, browser: Browser) -> None:
    write_notebook(book, "import sys\nprint('said')\nprint('log', file=sys.stderr)\nraise ValueError('bad')")
    with pytest.raises(ReportFailed):
        report(["light_load"])
    folder = book / "data/reports/latest"
    missed = an_outcome("light_load", slowdown=lambda at_s: 100 + 0 * at_s)
    write_index(folder, [missed, an_outcome("steady_rate", per_s=0.1)], "today")
    for page in ("index.html", "light_load.html"):
        with opened(browser, folder / page) as seen:
            levels = seen.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
            assert levels[0] == 1
            assert all(after <= before + 1 for before, after in pairwise(levels))
            found = seen.page.evaluate(CONTRAST)
            assert len(found) > 5
            assert not [(ratio, where) for ratio, where in found if ratio < 4.5]


def test_on_a_phone_the_briefs_table_shows_value_target_verdict_and_baseline(tmp_path: Path, browser: Browser) -> None:
    light = an_outcome("light_load")
    assert light.run is not None
    write_index(tmp_path, [light], "today", Baselines(baselines=(baseline_of([light.run]),)))
    with opened(browser, tmp_path / "index.html", width=390, height=844) as seen:
        for column in ("Failed", "p95, ms", "Limit, ms", "Met", "Against baseline"):
            box = seen.page.locator(f'#brief-light_load th[data-column="{column}"]').bounding_box()
            assert box is not None
            assert box["width"] > 10
            assert box["x"] + box["width"] <= 390, column


def test_pages_fit_a_phone_and_paper(book: Path, browser: Browser) -> None:
    write_notebook(book, f"NASTY = {'a long subtitle ' * 9!r}\n{CHART}")
    folder = report(["light_load"])
    for page in ("index.html", "light_load.html"):
        with opened(browser, folder / page, width=390, height=844) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert not seen.errors
            assert len(seen.page.pdf()) > 1000


def test_charts_of_an_executed_notebook_have_a_picture_where_a_browser_is_found(book: Path, browser: Browser) -> None:
    write_notebook(book, f"NASTY = {NASTY!r}\n{CHART}", CHART.replace("Scatter", "Bar"))
    notebook: Any = nbformat.read(report(["light_load"]) / "light_load.ipynb", as_version=4)
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]
    assert len(pictures) == 2
    assert all(png.startswith(b"\x89PNG") and len(png) > 3000 for png in pictures)
    assert pictures[0] != pictures[1]


def test_a_chart_that_the_browser_cannot_draw_costs_the_others_no_picture(book: Path, browser: Browser) -> None:
    broken = "import plotly.graph_objects as go\ngo.Figure(layout_title_text='\\x08')"
    write_notebook(book, f"NASTY = {NASTY!r}\n{CHART}", broken)
    folder = report(["light_load"])
    assert "the browser drew 1 of 2" in (folder / "summary.md").read_text()
    assert (folder / "light_load.ipynb").read_text().count('"image/png"') == 1


def test_without_a_browser_the_report_is_made_all_the_same_and_says_so(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflib.workbook.report.pictures._BROWSERS", ("no-such-browser",))
    write_notebook(book, f"NASTY = {NASTY!r}\n{CHART}")
    folder = report(["light_load"])
    assert "image/png" not in (folder / "light_load.ipynb").read_text()
    for page in ("index.html", "summary.md"):
        assert "no Chrome or Chromium was found" in (folder / page).read_text()


def test_a_browser_that_draws_nothing_is_told_and_changes_nothing(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflib.workbook.report.pictures._BROWSERS", ("true",))
    write_notebook(book, f"NASTY = {NASTY!r}\n{CHART}")
    folder = report(["light_load"])
    assert "the browser drew 0 of 1" in (folder / "summary.md").read_text()
    assert "image/png" not in (folder / "light_load.ipynb").read_text()


@pytest.mark.parametrize("first", ["papermill", "perflib.workbook.report", "perflib.workbook.report.engine"])
def test_papermill_finds_the_engine_by_its_entry_point_whichever_is_imported_first(tmp_path: Path, first: str) -> None:
    about = tmp_path / "perflib-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: perflib\nVersion: 0\n")
    (about / "entry_points.txt").write_text(
        "[papermill.engine]\nperflib = perflib.workbook.report.engine:TruthfulEngine\n"
    )
    code = (
        f"import {first}; from papermill.engines import papermill_engines as e; print(e.get_engine('perflib').__name__)"
    )
    root = str(Path(__file__).parents[3])
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "TruthfulEngine\n"
