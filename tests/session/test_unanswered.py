"""A request that nobody answers is a finding, not a gap: real servers that are silent, late, or still for a while."""

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import perflib
from perflib.figures.summary import EndpointSummary, Summary, summarize
from perflib.judge.baseline import baseline_of
from perflib.load.event_loop import new_event_loop
from perflib.load.worker import Worker
from perflib.spec import Closed, Endpoint, Facts, InputError, Options, Run
from perflib.spec.baselines import Baselines
from perflib.store.runs import RunFolder
from perflib.store.spool import GENERATOR_ROW, Spool, generator_spool, requests_spool
from perflib.text import tables
from tests.load.test_worker import facts_of
from tests.servers import Answers, answer, answering

OK = answer()
NEVER = 3600.0
WINDOW_S = 1.0
SCENARIOS = {
    "light_load": {"users": 4, "duration": f"{WINDOW_S}s"},
    "steady_rate": {"rate": 30, "duration": f"{WINDOW_S}s"},
    "spike": {"stages": "2-2:0.4s,2-4:0.2s,4-2:0.4s"},
    "baseline": {"duration": f"{WINDOW_S}s"},
}
"""Closed, open, a ramp, each endpoint alone."""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    return tmp_path


def target_file(folder: Path, url: str, *paths: str, page: bool = False, limit: bool = True) -> str:
    bound = "target_ms = 300\n" if limit else ""
    text = f'[target]\nname = "t"\nbase_url = "{url}"\n'
    text += "".join(f'[[endpoint]]\npath = "{path}"\n{bound}weight = {int(not page)}\n' for path in paths)
    text = text.replace("weight = 0\n", "")
    if page:
        loads = ", ".join(f'"GET {path}"' for path in paths)
        text += f'[[page]]\nname = "home"\nloads = [{loads}]\n{bound}'
    (folder / "target.toml").write_text(text)
    return str(folder / "target.toml")


def drive(folder: Path, scenario: str, answers: Answers, *paths: str, **options: object) -> Run:
    written = {name: options.pop(name) for name in ("page", "limit") if name in options}
    with answering(answers) as server:
        target = target_file(folder, server.url, *(paths or ("/a",)), **written)  # type: ignore[arg-type]
        said = SCENARIOS[scenario] | {"target": target, "warmup": "0.3s", "timeout": "2.5s"} | options
        return perflib.run(scenario, Options.parse(said, "a test"), report=lambda _: None)


def adds_up(summary: Summary) -> bool:
    counts = summary.requests
    return counts.scheduled == counts.completed + counts.failed + counts.dropped + counts.in_flight


def is_told(run: Run) -> bool:
    """A limit missed, a sentence that says how long, and a check that fails."""
    [row], said = summarize(run).endpoints, tables.verdict(run)
    found = perflib.check([run.facts.run_id])
    told = "unanswered for " in said.title and "unanswered for " in str(said.rows[0].cells[-1].text)
    reasons = any(row.endpoint in reason and "unanswered for " in reason for reason in found.reasons)
    return told and reasons and row.meets_target is False and found.exit_status == 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_server_that_never_answers_has_failed_requests_and_an_unanswered_endpoint(data: Path, scenario: str) -> None:
    run = drive(data, scenario, lambda _: (NEVER, OK))
    summary, early = summarize(run), run.requests[run.requests["warmup"]]
    [row] = summary.endpoints
    assert row.unanswered == len(early) > 0
    assert row.unanswered_s == pytest.approx(2.5, abs=0.9)
    assert early["counted"].all()
    assert set(early["error"]) == {"timeout"}
    assert summary.requests.failed == summary.requests.scheduled == row.requests == row.errors == len(run.requests)
    assert adds_up(summary)
    assert is_told(run)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_server_that_answers_after_three_times_the_window_is_unanswered_and_nothing_failed(
    data: Path, scenario: str
) -> None:
    run = drive(data, scenario, lambda _: (3 * WINDOW_S, OK), timeout="20s")
    summary, early = summarize(run), run.requests[run.requests["warmup"]]
    [row] = summary.endpoints
    assert row.unanswered == len(early) > 0
    assert row.unanswered_s == pytest.approx(3 * WINDOW_S, abs=0.9)
    assert not early["counted"].any()
    assert (summary.requests.failed, row.errors) == (0, 0)
    assert summary.requests.completed == len(run.requests) - len(early)
    assert len(run.slowest(1000)) == len(run.requests)
    assert is_told(run)


@pytest.mark.parametrize("scenario", ["light_load", "steady_rate", "baseline"])
def test_a_server_that_stalls_in_the_middle_is_measured_and_has_answered(data: Path, scenario: str) -> None:
    begun = time.monotonic()

    def stalled(_: str) -> tuple[float, bytes]:
        into_stall = time.monotonic() - begun - 1.5
        return (1.0 - into_stall if 0 <= into_stall < 1 else 0.01), OK

    run = drive(data, scenario, stalled, duration="4s", warmup="0.5s", timeout="20s")
    [row] = summarize(run).endpoints
    assert (row.unanswered, row.errors) == (0, 0)
    assert (run.requests["counted"] == ~run.requests["warmup"]).all()
    assert "unanswered" not in tables.verdict(run).text()


def test_a_request_of_warm_up_counts_where_it_fails(data: Path) -> None:
    """A time-out within warm-up is warm-up's; one after it is the measured time's, and no answer is missing there."""
    run = drive(data, "light_load", lambda _: (NEVER, OK), warmup="1.5s", duration="3s", timeout="1s", keep_going=True)
    rows, [part], summary = run.requests, run.facts.parts, summarize(run)
    assert (rows["counted"] == (rows["end_ns"] >= part.measured_from_ns)).all()
    assert (rows["warmup"] & rows["counted"]).any()
    assert (rows["warmup"] & ~rows["counted"]).any()
    assert summary.requests.failed == rows["counted"].sum() == tables_count(run)
    assert summary.endpoints[0].unanswered == 0
    assert summary.endpoints[0].judged_p50_ms == float("inf")
    assert summary.endpoints[0].meets_target is False


def tables_count(run: Run) -> int:
    return sum(int(one["Count"]) for one in tables.failures(run).records())


def test_an_endpoint_that_was_never_asked_is_told_apart_from_one_that_never_answered(data: Path) -> None:
    run = drive(data, "light_load", lambda _: (NEVER, OK), "/a", "/b", users=1)
    rows = sorted(summarize(run).endpoints, key=lambda row: row.unanswered)
    assert [(row.requests, row.unanswered, row.meets_target) for row in rows] == [(0, 0, None), (1, 1, False)]
    idle, silent = (row.endpoint for row in rows)
    told = tables.verdict(run)
    assert f"{silent} (unanswered for 2" in told.title
    assert {row.cells[0].text: row.cells[-1].text for row in told.rows}[idle] == "not asked"
    found = perflib.check([run.facts.run_id])
    assert not [reason for reason in found.reasons if reason.startswith(idle)]
    assert f"light_load: not asked after warm-up: {idle}" in found.notes
    assert f"; not asked after warm-up: {idle}." in told.title


def test_without_a_limit_an_unanswered_endpoint_is_told_and_fails_a_check_all_the_same(data: Path) -> None:
    run = drive(data, "light_load", lambda _: (3 * WINDOW_S, OK), timeout="20s", limit=False)
    assert "Without an answer: GET /a (unanswered for 3" in tables.verdict(run).title
    found = perflib.check([run.facts.run_id])
    assert found.exit_status == 1
    assert found.reasons[0].startswith("GET /a: unanswered for 3")


def test_a_page_of_which_a_part_is_never_answered_is_unanswered(data: Path) -> None:
    def answers(path: str) -> tuple[float, bytes]:
        return (NEVER if path == "/slow" else 0.0), OK

    run = drive(data, "light_load", answers, "/slow", "/fast", page=True, endpoints=["home"], users=3)
    summary, rows = summarize(run), run.requests
    [page] = summary.endpoints
    assert (page.requests, page.errors, page.unanswered, page.meets_target) == (3, 3, 3, False)
    parts = rows[(rows["kind"] == "request") & rows["warmup"]]
    assert parts.loc[parts["endpoint"] == "GET /slow", "counted"].all()
    assert not parts.loc[parts["endpoint"] == "GET /fast", "counted"].any()
    assert summary.requests.failed == (rows["endpoint"] == "GET /slow").sum()
    assert adds_up(summary)


def test_workers_count_alike_what_began_in_warm_up(data: Path) -> None:
    run = drive(data, "light_load", lambda _: (NEVER, OK), workers=2)
    [row] = summarize(run).endpoints
    assert (row.unanswered, row.errors, row.requests) == (4, 4, 4)


def test_no_baseline_is_made_of_a_run_with_unanswered_requests(data: Path) -> None:
    run = drive(data, "light_load", lambda _: (3 * WINDOW_S, OK), timeout="20s")
    with pytest.raises(InputError, match="it has unanswered requests of GET /a"):
        baseline_of([run])


def test_an_endpoint_that_one_run_alone_answered_stays_in_their_comparison(data: Path) -> None:
    sound = drive(data, "light_load", lambda _: (0.01, OK), users=6)
    silent = drive(data, "light_load", lambda _: (3 * WINDOW_S, OK), users=6, timeout="20s")
    [row] = summarize(silent).endpoints
    assert (row.requests, row.judged_p50_ms) == (0, math.inf)
    assert {one.endpoint for one in perflib.compare_stored(sound, silent, Baselines())} == {"GET /a"}


def test_the_history_keeps_what_was_unanswered(data: Path) -> None:
    run = drive(data, "light_load", lambda _: (3 * WINDOW_S, OK), timeout="20s")
    kept = pd.read_parquet(data / "runs" / run.facts.run_id / "figures.parquet")
    assert kept["unanswered"].tolist() == [4]
    assert "unanswered" in tables.history(perflib.runs(endpoint="GET /a")).text()


async def driven_into(folder: Path, facts: Facts) -> None:
    with Spool(requests_spool(folder)) as spool, Spool(generator_spool(folder), GENERATOR_ROW) as health:
        await Worker(facts, spool, health).drive()


def test_what_a_dead_generator_has_spooled_says_what_was_unanswered(tmp_path: Path) -> None:
    with answering(lambda _: (NEVER, OK)) as server:
        settings = {"workload": Closed(users=3), "duration_s": 1.0, "warmup_s": 0.3, "timeout_s": 2.0}
        facts = facts_of(server.url, (Endpoint(path="/a", target_ms=300),), **settings)
        folder = RunFolder.create(tmp_path, facts)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(driven_into(folder.path, facts))
    folder.seal(folder.as_left(facts))
    left = folder.load()
    [row], [part] = summarize(left).endpoints, left.facts.parts
    assert part.duration_s == pytest.approx(1.0)
    assert (row.unanswered, row.errors, row.meets_target) == (3, 3, False)


def test_a_run_that_is_interrupted_says_what_was_unanswered_until_then(data: Path) -> None:
    with answering(lambda _: (NEVER, OK)) as server:
        target = target_file(data, server.url, "/a")
        command = [sys.executable, "-m", "perflib", "run", "light_load", "--target", target, "--users", "3", "--json"]
        process = subprocess.Popen([*command, "--duration", "60s", "--warmup", "0.5s"], stdout=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while len(server.requests) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    told = json.loads(said)
    [row] = told["endpoints"]
    assert (row["unanswered"], row["errors_by_kind"]) == (3, {"in_flight": 3})
    assert told["requests"] == {"scheduled": 3, "completed": 0, "failed": 0, "dropped": 0, "in_flight": 3}


def test_a_run_that_asked_nothing_after_warm_up_says_so(data: Path) -> None:
    run = drive(data, "light_load", OK, users=2, think_time="30s")
    assert run.slowest(10).empty
    assert tables.verdict(run).title.startswith("No request was sent after warm-up")
    assert perflib.check([run.facts.run_id]).exit_status == 3


def test_the_figures_of_a_sound_run_have_nothing_unanswered(data: Path) -> None:
    row: EndpointSummary
    for row in summarize(drive(data, "light_load", lambda _: (0.01, OK))).endpoints:
        assert (row.unanswered, row.unanswered_s, row.meets_target) == (0, None, True)
