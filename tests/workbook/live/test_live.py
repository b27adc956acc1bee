"""A run shown while it is measured: in words, as a panel, and read off its spools by another process."""

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

import perflib
from perflib.load.engine import drive
from perflib.spec import Closed, Facts, InputError, Run
from perflib.store.runs import RunFolder
from perflib.store.spool import MEMORY_ROW, Spool, memory_spool
from perflib.workbook.live import panel, views
from perflib.workbook.live.follow import Follower, Progress
from perflib.workbook.live.so_far import EndpointSoFar
from tests.servers import Served, answer, answering
from tests.synthetic import make_run, make_target

ROOT = Path(__file__).parents[3]
SECOND = Progress(
    elapsed_s=7.0,
    planned_s=11.0,
    doing="7 endpoints and pages",
    users=10,
    requests=4312,
    errors=2,
    rate_per_s=812.4,
    p50_ms=4.2,
    p95_ms=11.0,
    so_far_p50_ms=4.4,
    so_far_p95_ms=12.3,
)
ENDPOINTS = (
    EndpointSoFar("GET /a", 1000, 0, 4.0, 12.0, 99.0, 4.1),
    EndpointSoFar("GET /b", 1001, 2, 40.0, None, 99.0, None),
)
LINE = "0:07/0:11 · 10 active · 812/s · p50 4.40 p95 12.3 ms · 2 failed"
NO_MEMORY = np.empty(0, MEMORY_ROW)


def many(count: int) -> tuple[EndpointSoFar, ...]:
    """The later, the slower."""
    return tuple(EndpointSoFar(f"GET /{number}", 9, 0, 1.0 + number, None, 1.0, None) for number in range(count))


def minute(count: int = 60) -> list[Progress]:
    return [replace(SECOND, elapsed_s=1.0 + second, planned_s=120.0) for second in range(count)]


def memory_rows(*held_bytes: int) -> np.ndarray:
    rows = np.zeros(len(held_bytes), MEMORY_ROW)
    rows["t_ns"], rows["rss_bytes"] = np.arange(len(held_bytes)) * 10**9, held_bytes
    return rows


def parsed(html: str) -> ElementTree.Element:
    """The panel without its style, which must be well-formed."""
    return ElementTree.fromstring(html[html.index("<div") :])


def text_of(html: str) -> str:
    return " ".join(" ".join(parsed(html).itertext()).split())


# In words


def test_a_second_is_told_in_one_line_and_leaves_out_what_is_not_known() -> None:
    assert views.describe(SECOND, 84e6) == f"{LINE} · 84 MB · 4,312 requests · 7 endpoints and pages"
    early = views.describe(replace(SECOND, so_far_p50_ms=None, so_far_p95_ms=None), None)
    assert early == "0:07/0:11 · 10 active · 812/s · 2 failed · 4,312 requests · 7 endpoints and pages"


def test_plain_lines_come_every_ten_seconds_and_never_in_a_heap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = views.Lines(RunFolder(tmp_path))
    for at_s in (1.0, 9.9, 10.1, 11.1, 47.0, 48.0, 49.9, 50.0):
        lines.show([replace(SECOND, elapsed_s=at_s)])
    said = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in said] == ["0:10", "0:47", "0:50"]


def test_the_line_on_a_terminal_fits_80_columns_with_its_bar_and_is_gone_afterwards(tmp_path: Path) -> None:
    with Spool(memory_spool(tmp_path), MEMORY_ROW) as spool:
        spool.append(0, 84_000_000, *(11 * [0]))
    shown = io.StringIO()
    with views.Line(RunFolder(tmp_path), Console(file=shown, force_terminal=True, width=80)) as line:
        line.show([SECOND])
        last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).splitlines()[-1].rsplit("\r", 1)[-1]
    assert "━" in last
    assert f"{LINE} · 84 MB".replace(" · ", "  ") in last
    assert len(last) <= 80
    assert shown.getvalue().endswith("\x1b[2K")


def test_the_endpoints_stand_below_the_line_and_the_worst_of_them_where_the_terminal_is_low(tmp_path: Path) -> None:
    for height, seen in ((40, 30), (15, 10)):
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=True, width=100, height=height)
        with views.Line(RunFolder(tmp_path), console) as line:
            line.show([replace(SECOND, endpoints=many(30))])
            last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue().rpartition("\x1b[2K")[2]).splitlines()
        rows = [one for one in last if one.startswith("GET /")]
        assert len(rows) == seen
        assert "GET /29 " in rows[-1]
        assert len(last) < height
        assert any("20 more, faster" in one for one in last) == (seen == 10)


def test_a_name_with_brackets_is_no_markup_on_a_terminal(tmp_path: Path) -> None:
    shown = io.StringIO()
    with views.Line(RunFolder(tmp_path), Console(file=shown, force_terminal=True, width=200)) as line:
        line.show([replace(SECOND, doing="GET /[red]/{id}")])
    assert "GET /[red]/{id}" in shown.getvalue()


def test_a_name_with_escapes_or_line_breaks_tears_no_line_and_acts_on_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = replace(SECOND, elapsed_s=11.0, doing="GET /a\x1b]0;owned\x07\r\n\u202eb")
    views.Lines(RunFolder(tmp_path)).show([hostile])
    shown = io.StringIO()
    with views.Line(RunFolder(tmp_path), Console(file=shown, force_terminal=True, width=200)) as line:
        line.show([hostile])
    [plain] = capsys.readouterr().err.splitlines()
    assert plain.endswith("GET /a ]0;owned b")
    assert "GET /a ]0;owned b" in shown.getvalue()


def test_what_was_cut_short_is_said_to_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = make_run()
    cut = replace(whole, facts=whole.facts.model_copy(update={"state": "interrupted"}))
    for run in (whole, cut):
        assert views.Lines(RunFolder(tmp_path)).ended(run) is run
    assert capsys.readouterr().err == f"interrupted after 10.0 s; kept as {cut.facts.run_id}\n"
    reason = "load generator: worker 1 of 2 ended with signal 9 at 4.6 s"
    broken = cut.facts.model_copy(update={"state": "broken", "invalid_reasons": (reason,)})
    views.Lines(RunFolder(tmp_path)).ended(replace(cut, facts=broken))
    assert capsys.readouterr().err == f"broken: {reason}; 10.0 s measured, kept as {cut.facts.run_id}\n"
    said = text_of(panel.card(replace(cut, facts=broken)))
    assert "broken" in said.split()
    assert reason in said


# As a panel


def test_the_panel_says_how_far_it_is_and_what_it_sees() -> None:
    facts = make_run().facts
    said = text_of(panel.panel(facts, [*minute(3), SECOND], memory_rows(80_000_000, 84_000_000)))
    for words in (
        *(facts.scenario.title, "0:07 of 0:11", "0:04 left", "running", "7 endpoints and pages"),
        *("active users 10", "requests/s 812", "p50 so far 4.40 ms", "p95 so far 12.3 ms", "failed 2"),
        *("target memory 84 MB", f'perflib.attach("{facts.run_id}")'),
    ):
        assert words in said


def test_the_panel_has_a_row_per_endpoint_and_failures_in_colour() -> None:
    html = panel.panel(make_run().facts, [replace(SECOND, endpoints=ENDPOINTS)], NO_MEMORY)
    said = text_of(html)
    assert "GET /a 1,000 0 4.00 12.0 99 4.10" in said
    assert "GET /b 1,001 2 (0.2 %) 40.0 – 99 –" in said
    assert 'class="right bad"' in html


def test_the_panel_survives_a_first_second_without_figures() -> None:
    bare = replace(SECOND, p50_ms=None, p95_ms=None, so_far_p50_ms=None, so_far_p95_ms=None, rate_per_s=0.0, users=0)
    said = text_of(panel.panel(make_run().facts, [bare], NO_MEMORY))
    assert "p95 so far –" in said
    assert "target memory –" in said


def test_a_run_beyond_its_time_drains_and_its_bar_stays_whole() -> None:
    shown = panel.panel(make_run().facts, [replace(SECOND, elapsed_s=14.0)], NO_MEMORY)
    assert "draining" in text_of(shown)
    assert "width: 100.0%" in shown


def test_a_run_that_may_end_early_gives_its_time_as_a_bound() -> None:
    facts = make_run(scenario="baseline").facts
    assert "of at most 0:11 · at most 0:04 left" in text_of(panel.panel(facts, [SECOND], NO_MEMORY))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "{{ 7*7 }}{% raw %}", '\'"><b>bold</b> & "quoted"'])
def test_a_hostile_title_or_name_stays_text(name: str) -> None:
    run = make_run(make_target(name), scenario="baseline")
    scenario = run.facts.scenario.model_copy(update={"title": name})
    run = replace(run, facts=run.facts.model_copy(update={"scenario": scenario, "run_id": name}))
    live = panel.panel(run.facts, [replace(SECOND, doing=name)], NO_MEMORY)
    for shown in (live, panel.card(run)):
        assert not [tag for tag in ("<script", "<b>bold") if tag in shown]
        assert text_of(shown).count(name) >= 2


def test_a_sparkline_shows_the_last_minute_within_its_box_and_leaves_gaps() -> None:
    at_s = [float(second) for second in range(1, 91)]
    values = [None if second == 80 else second % 7 for second in range(90)]
    path = panel.Tile("p95", "", at_s, values).path(until_s=90.0)
    drawn = re.findall(r"([ML])([\d.-]+),([\d.-]+)", path)
    assert len(drawn) == 60  # the seconds 30 to 90, one of them not known
    assert [pen for pen, _, _ in drawn].count("M") == 2
    assert all(0 <= float(x) <= 120 and 0 <= float(y) <= 28 for _, x, y in drawn)


def test_seconds_of_too_few_requests_show_the_course_of_the_figure_so_far() -> None:
    few = [replace(second, p95_ms=None) for second in minute(20)]
    shown = panel.panel(make_run().facts, few, NO_MEMORY)
    [line] = [svg for svg in parsed(shown).iter("svg") if "p95" in (svg.get("aria-label") or "")]
    assert len(re.findall(r"[ML]", line[0].get("d") or "")) == 20


def test_a_sparkline_of_nothing_is_empty_and_one_of_zeros_lies_flat() -> None:
    zeros = panel.Tile("p95", "", [1.0, 2.0], [0.0, 0.0]).path(until_s=2.0)
    assert panel.Tile("p95", "", [1.0], [None]).path(until_s=1.0) == ""
    assert len(set(re.findall(r",([\d.]+)", zeros))) == 1


@pytest.mark.parametrize("state", ["finished", "interrupted", "broken", "running"])
def test_what_stays_names_the_state_and_agrees_with_the_summary(state: str) -> None:
    run = make_run(failures=0.05)
    run = replace(run, facts=run.facts.model_copy(update={"state": state}))
    counts = perflib.summarize(run).requests
    said = text_of(panel.card(run))
    assert state in said
    assert f"requests {counts.scheduled:,}" in said
    assert f"failed {counts.failed:,}" in said


def test_an_invalid_run_is_shown_as_one() -> None:
    run = make_run()
    run = replace(run, facts=run.facts.model_copy(update={"invalid_reasons": ("the load generator was overloaded",)}))
    assert "invalid" in text_of(panel.card(run)).split()
    assert "do not trust its figures" in text_of(panel.card(run))


def test_one_display_handle_takes_the_panel_and_what_stays_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda bundle, raw: shown.append(bundle["text/html"]))

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        assert (raw, display_id) == (True, True)
        shown.append(bundle["text/html"])
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    run = make_run()
    folder = RunFolder.create(tmp_path, run.facts)
    with views.Panel(folder) as view:
        for second in minute(3):
            view.show([second])
        view.ended(run)
    assert [state for html in shown for state in ("running", "finished") if state in text_of(html)] == [
        *["running"] * 3,
        "finished",
    ]
    view = views.Panel(folder)
    view.show([SECOND])
    view.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert "broken off" in text_of(shown[-1])


@pytest.mark.parametrize(
    ("allow_stdin", "kind"), [(True, views.Panel), (False, views.Lines)], ids=["a person", "papermill"]
)
def test_a_panel_is_shown_to_a_person_and_plain_lines_to_papermill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allow_stdin: bool, kind: type[views.View]
) -> None:
    kernel = SimpleNamespace(get_parent=lambda channel: {"content": {"allow_stdin": allow_stdin}})
    shell = SimpleNamespace(kernel=kernel)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(views.view_of(RunFolder(tmp_path))) is kind


def test_a_terminal_gets_a_line_a_dumb_one_plain_lines_and_a_caller_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "is_in_a_notebook", lambda: False)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("TERM", "xterm")
    assert type(views.view_of(RunFolder(tmp_path))) is views.Line
    monkeypatch.setenv("TERM", "dumb")
    assert type(views.view_of(RunFolder(tmp_path))) is views.Lines
    seen: list[Progress] = []
    views.view_of(RunFolder(tmp_path), seen.append).show([SECOND])
    assert seen == [SECOND]


# Read off the spools


@pytest.fixture
def slow_server() -> Iterator[Served]:
    """Answers after 5 ms, the second endpoint with a failure."""
    broken = answer(status="500 Internal Server Error")
    with answering(lambda path: (0.005, broken if path == "/1" else answer())) as server:
        yield server


def facts_at(url: str, workers: int, isolated: bool) -> Facts:
    facts = make_run(make_target("/a", "/b")).facts
    length = {"duration_s": 1.2, "warmup_s": 0.2} if isolated else {"duration_s": 2.5, "warmup_s": 0.3}
    load = {"workload": Closed(users=4), "isolated": isolated, "endpoints": ()}
    return facts.model_copy(
        update={
            "state": "running",
            "workers": workers,
            "parts": (),
            "target": facts.target.model_copy(update={"base_url": url}),
            "scenario": facts.scenario.model_copy(update=length | load),
        }
    )


@pytest.mark.parametrize(("workers", "isolated"), [(1, False), (2, False), (1, True)])
def test_who_watches_a_run_and_who_reads_its_spools_later_see_the_same_seconds(
    tmp_path: Path, slow_server: Served, workers: int, isolated: bool
) -> None:
    facts = facts_at(slow_server.url, workers, isolated)
    folder = RunFolder.create(tmp_path, facts)
    watched: list[Progress] = []
    view = views.Told(folder, watched.append)
    drive(facts, folder.path, look=view.look)
    view.look()
    follower = Follower(folder)
    followed = follower.news()
    rows = folder.rows()
    bare = [[replace(one, why="", endpoints=()) for one in some] for some in (followed, watched)]
    assert bare[0] == bare[1]
    assert followed[-1].endpoints == watched[-1].endpoints
    why = r"/b: 500 × [\d,]+ since [\d.]+ s, application/json, '500 Internal Server Error'"
    assert all(re.fullmatch(why, told) for told in (followed[-1].why, watched[-1].why))
    assert len(followed) >= 2
    for second in followed:
        before = rows[rows["end_ns"] <= second.elapsed_s * 1e9]
        assert second.requests == pytest.approx(len(before), abs=8)
        assert second.users == 4
    assert 0 < followed[-1].errors <= (rows["error"] >= 0).sum()
    good, bad = followed[-1].endpoints
    assert (good.errors, bad.errors) == (0, bad.requests == followed[-1].errors and followed[-1].errors)
    assert good.requests + bad.requests == followed[-1].requests
    assert good.p50_ms == pytest.approx(followed[-1].so_far_p50_ms)
    assert follower.news() == []


# Picked up again


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def running(data: Path, slow_server: Served) -> Iterator[subprocess.Popen[str]]:
    """`perflib run` in a process of its own, for longer than any test, its first second spooled."""
    target = data / "t.toml"
    target.write_text(f'[target]\nname = "t"\nbase_url = "{slow_server.url}"\n\n[[endpoint]]\npath = "/a"\n')
    command = ["run", "light_load", "--target", str(target), "--duration", "5min", "--warmup", "0s", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "perflib", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in data.glob("runs/*/generator.0.spool")):
        assert time.monotonic() < deadline, "the run never began"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


def test_sigterm_ends_a_run_as_gracefully_as_ctrl_c(running: subprocess.Popen[str], data: Path) -> None:
    running.send_signal(signal.SIGTERM)
    said, errors = running.communicate(timeout=60)
    run = json.loads(said)
    assert running.returncode == 130
    assert run["interrupted"] is True
    assert run["requests"]["completed"] > 0
    assert f"kept as {run['run_id']}" in errors
    assert [path.name for path in data.glob("runs/*/requests.*")] == ["requests.parquet"]


def test_a_run_whose_process_was_killed_is_picked_up_as_interrupted(running: subprocess.Popen[str], data: Path) -> None:
    running.kill()
    running.wait()
    run = perflib.attach()
    assert run.facts.state == "interrupted"
    assert len(run.requests) > 0
    assert [path.name for path in data.glob("runs/*/requests.*")] == ["requests.parquet"]


def test_a_run_under_way_is_followed_and_stopping_to_watch_does_not_stop_it(
    running: subprocess.Popen[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Progress] = []

    def watch(second: Progress) -> None:
        seen.append(second)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("perflib.workbook.live.view_of", lambda folder: views.view_of(folder, watch))
    [folder] = [path.parent for path in data.glob("runs/*/run.json")]
    run = perflib.attach(folder.name)
    assert run.facts.state == "running"
    assert len(run.requests) >= seen[-1].requests > seen[0].requests > 0
    assert running.poll() is None


def test_a_finished_run_is_shown_and_returned_at_once(data: Path) -> None:
    stored = _stored(data)
    assert perflib.attach(stored.facts.run_id).requests.equals(perflib.load_run(stored.facts.run_id).requests)
    assert perflib.attach().facts == stored.facts


def _stored(data: Path) -> Run:
    run = make_run(make_target("/a"))
    folder = RunFolder.create(data / "runs", run.facts)
    folder.seal(run.facts)
    return run


def test_a_run_that_does_not_exist_is_told_in_one_line(data: Path) -> None:
    with pytest.raises(InputError, match="no stored run yet"):
        perflib.attach()
    with pytest.raises(InputError, match="no such run"):
        perflib.attach("nowhere")
