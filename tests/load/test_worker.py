"""The worker: every request is accounted for, whatever the target or the user does to the run."""

import asyncio
import errno
import gc
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

import perflib
from perflib import Options
from perflib.load import worker as driving
from perflib.load.event_loop import new_event_loop
from perflib.load.worker import Outcome, Worker
from perflib.session.floor import floor
from perflib.session.machine import this_machine
from perflib.session.stored import runs as stored_runs
from perflib.spec import Closed, Endpoint, Expect, Facts, InputError, Open, Page, Scenario, Target, Workload
from perflib.spec.run import Run
from perflib.store.runs import RunFolder, load_run
from perflib.store.spool import GENERATOR_ROW, Spool, generator_spool, requests_spool
from tests.servers import Do, answer, answering, closed_port, scripted
from tests.workbooks import entered

OK = answer()
ABC = tuple(Endpoint(path=f"/{letter}") for letter in "abc")


def facts_of(url: str, known: tuple[Endpoint, ...] = ABC, pages: tuple[Page, ...] = (), **scenario: object) -> Facts:
    settings = {"name": "s", "title": "s", "workload": Closed(users=2), "duration_s": 0.3, "warmup_s": 0.0}
    return Facts(
        run_id="r",
        scenario=Scenario.model_validate(settings | scenario),
        profile="quick",
        target=Target(name="t", base_url=url, endpoints=known, pages=pages),
        seed=1,
        started_at="2026-01-01T00:00:00+00:00",
        environment=this_machine(),
    )


class Driven:
    """A run driven in this process."""

    def __init__(self, folder: Path, facts: Facts, stop_after_s: float | None = None) -> None:
        self.facts, self.folder = facts, RunFolder.create(folder, facts)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            self.outcome: Outcome = runner.run(self._drive(stop_after_s))
        self.folder.seal(facts.model_copy(update={"state": "finished", "parts": self.outcome.parts}))
        self.rows: pd.DataFrame = self.folder.load().requests
        self.requests = self.rows[self.rows["kind"] == "request"]
        self.pages = self.rows[self.rows["kind"] == "page"]

    async def _drive(self, stop_after_s: float | None) -> Outcome:
        path = self.folder.path
        with Spool(requests_spool(path)) as spool, Spool(generator_spool(path), GENERATOR_ROW) as health:
            worker = Worker(self.facts, spool, health)
            if stop_after_s is not None:
                asyncio.get_running_loop().call_later(stop_after_s, worker.stop)
            return await asyncio.wait_for(worker.drive(), 20)


def errors_of(rows: pd.DataFrame) -> dict[str, int]:
    return dict(Counter(rows["error"].dropna()))


def in_order(rows: pd.DataFrame) -> bool:
    answered = rows[(rows["first_byte_ns"] >= 0) & (rows["end_ns"] >= 0)]
    times = answered[["intended_ns", "start_ns", "first_byte_ns", "end_ns"]]
    return bool((times.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)) and len(answered) > 0


# Every request is accounted for


def test_the_rows_are_the_requests_that_the_server_has_seen(tmp_path: Path) -> None:
    with answering(OK) as server:
        driven = Driven(tmp_path, facts_of(server.url, workload=Closed(users=4)))
    assert Counter(driven.requests["endpoint"].str.removeprefix("GET ")) == Counter(server.requests)
    assert len(driven.rows) == driven.outcome.generator.requests > 100
    assert server.connections == 4 == (driven.rows["connect_ns"] > 0).sum()
    assert set(driven.rows["user"]) == {0, 1, 2, 3}
    assert driven.rows["error"].isna().all()
    assert in_order(driven.rows)
    assert (driven.rows["bytes"] == len(OK)).all()


def test_failures_of_each_kind_are_counted_and_end_nothing(tmp_path: Path) -> None:
    def answers(path: str) -> bytes | tuple[float, bytes]:
        wrong = {"/500": answer(status="500 Oops"), "/302": answer(b"", "Location: /a", status="302 Found")}
        wrong |= {"/html": answer(b"<p>", "Content-Type: text/html"), "/garbage": b"garbage\r\n\r\n"}
        wrong |= {"/nokey": answer(b'{"other": 1}')}
        return (0.5, OK) if path == "/late" else wrong.get(path, OK)

    expect = Expect(content_type="application/json", keys=("data",))
    names = ["500", "302", "html", "garbage", "nokey", "late", "fine"]
    endpoints = tuple(Endpoint(path=f"/{name}", expect=expect) for name in names)
    with answering(answers) as server:
        driven = Driven(tmp_path, facts_of(server.url, endpoints, timeout_s=0.1, duration_s=1.0))
    kinds = driven.rows.groupby(driven.rows["endpoint"].astype(str))["error"].agg(lambda some: set(some.astype(object)))
    assert {name: kinds[f"GET /{name}"] for name in names[:-1]} == {
        "500": {"status"},
        "302": {"status"},
        "html": {"content"},
        "garbage": {"protocol"},
        "nokey": {"content"},
        "late": {"timeout"},
    }
    assert driven.rows[driven.rows["endpoint"] == "GET /fine"]["error"].isna().all()
    assert Counter(driven.requests["endpoint"].str.removeprefix("GET ")) == Counter(server.requests)
    assert "/a" not in server.requests
    late = driven.rows[driven.rows["error"] == "timeout"]
    assert (late["end_ns"] - late["start_ns"]).between(0.1e9, 0.4e9).all()


def test_a_target_that_is_away_is_asked_now_and_then(tmp_path: Path) -> None:
    driven = Driven(tmp_path, facts_of(closed_port()))
    assert set(errors_of(driven.rows)) == {"connect"}
    assert 4 <= len(driven.rows) <= 10
    assert (driven.rows["first_byte_ns"] == -1).all()


def test_a_retry_is_the_same_request_and_counted(tmp_path: Path) -> None:
    with scripted([(OK,), (Do.CLOSE,)]) as server:
        driven = Driven(tmp_path, facts_of(server.url, workload=Closed(users=1), duration_s=0.1))
    retried = driven.rows[driven.rows["retried"]]
    assert len(retried) == driven.outcome.generator.retries > 0
    assert len(server.requests) == len(driven.rows) + len(retried)


# The mix


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1, 2)])
def test_shares_follow_the_weights_to_the_last_cycle(tmp_path: Path, weights: tuple[int, ...]) -> None:
    endpoints = tuple(Endpoint(path=f"/{number}", weight=weight) for number, weight in enumerate(weights))
    with answering(OK) as server:
        driven = Driven(tmp_path, facts_of(server.url, endpoints, workload=Closed(users=3)))
    for _, rows in driven.rows.groupby("user"):
        whole = rows.head(len(rows) // sum(weights) * sum(weights))["endpoint"].value_counts()
        assert len({whole[f"GET /{number}"] / weight for number, weight in enumerate(weights)}) == 1


# Pages

HOME = Page(name="Home", loads=("GET /a", "GET /b", "GET /c"))


def test_a_page_loads_its_parts_in_parallel_and_ends_with_the_last(tmp_path: Path) -> None:
    def answers(path: str) -> tuple[float, bytes]:
        return {"/a": 0.02, "/b": 0.06, "/c": 0.04}[path], OK

    with answering(answers) as server:
        driven = Driven(tmp_path, facts_of(server.url, pages=(HOME,), endpoints=("Home",), workload=Closed(users=1)))
    parts = driven.requests[driven.requests["page"] == "Home"]
    assert server.most_at_once == 3
    assert driven.pages["page"].isna().all()
    assert len(parts) == 3 * len(driven.pages) > 0
    for _, page in driven.pages.iterrows():
        mine = parts[parts["start_ns"].between(page["start_ns"], page["end_ns"])]
        assert Counter(mine["endpoint"]) == {"GET /a": 1, "GET /b": 1, "GET /c": 1}
        assert page["end_ns"] == mine["end_ns"].max()
        assert page["first_byte_ns"] == mine["first_byte_ns"].min()
        assert page["bytes"] == mine["bytes"].sum()
        assert page["end_ns"] - page["start_ns"] >= 0.058e9
    assert in_order(driven.rows)


def test_a_page_uses_six_connections_at_most(tmp_path: Path) -> None:
    endpoints = tuple(Endpoint(path=f"/{number}") for number in range(9))
    page = Page(name="Wide", loads=tuple(endpoint.name for endpoint in endpoints))
    with answering(lambda _: (0.02, OK)) as server:
        driven = Driven(
            tmp_path, facts_of(server.url, endpoints, (page,), endpoints=("Wide",), workload=Closed(users=1))
        )
    assert server.connections == server.most_at_once == 6
    assert len(driven.requests) == 9 * len(driven.pages)
    assert (driven.pages["end_ns"] - driven.pages["start_ns"]).median() == pytest.approx(0.04e9, rel=0.5)


def test_a_page_fails_when_a_part_fails(tmp_path: Path) -> None:
    with answering(lambda path: answer(status="503 Busy") if path == "/b" else OK) as server:
        driven = Driven(tmp_path, facts_of(server.url, pages=(HOME,)))
    assert (driven.pages["error"] == "status").all()
    assert (driven.pages["status"] == 503).all()
    assert (driven.pages["end_ns"] > 0).all()


# Stretches


def test_what_begins_in_the_warm_up_is_flagged(tmp_path: Path) -> None:
    with answering(lambda _: (0.01, OK)) as server:
        driven = Driven(tmp_path, facts_of(server.url, warmup_s=0.2))
    [part] = driven.outcome.parts
    assert (driven.rows["warmup"] == (driven.rows["start_ns"] < part.measured_from_ns)).all()
    assert driven.rows["warmup"].sum() > 10 < (~driven.rows["warmup"]).sum()
    assert part.duration_s == pytest.approx(0.3, abs=1e-6)


def test_an_isolated_part_ends_when_it_has_enough_successes(tmp_path: Path) -> None:
    alone = {"isolated": True, "enough_successes": 20, "workload": Closed(users=1), "warmup_s": 0.05}
    with answering(lambda path: answer(status="500 Oops") if path == "/c" else OK) as server:
        driven = Driven(
            tmp_path, facts_of(server.url, pages=(HOME.model_copy(update={"loads": ("GET /a",)}),), **alone)
        )
    measured = driven.rows[~driven.rows["warmup"] & driven.rows["page"].isna()]
    successes = measured[measured["error"].isna()]["endpoint"].value_counts()
    assert [part.items for part in driven.outcome.parts] == [("GET /a",), ("GET /b",), ("GET /c",), ("Home",)]
    assert [successes[name] for name in ("GET /a", "GET /b", "GET /c", "Home")] == [20, 20, 0, 20]
    short, failing = driven.outcome.parts[0], driven.outcome.parts[2]
    assert short.duration_s < 0.2 < failing.duration_s


def test_a_user_thinks_between_its_requests(tmp_path: Path) -> None:
    with answering(OK) as server:
        driven = Driven(tmp_path, facts_of(server.url, workload=Closed(users=1, think_time_s=0.05)))
    assert 4 <= len(driven.rows) <= 7
    assert driven.rows["start_ns"].diff().min() >= 0.048e9


@pytest.mark.parametrize("stop_after_s", [None, 0.1])
def test_a_thinking_user_holds_no_run_up(tmp_path: Path, stop_after_s: float | None) -> None:
    with answering(OK) as server:
        facts = facts_of(server.url, workload=Closed(users=1, think_time_s=15.0))
        driven = Driven(tmp_path, facts, stop_after_s)
    assert len(driven.rows) == 1
    assert driven.outcome.generator.wall_s < 2


# The end


def test_answers_under_way_at_the_end_are_waited_for(tmp_path: Path) -> None:
    with answering(lambda _: (0.5, OK)) as server:
        driven = Driven(tmp_path, facts_of(server.url, workload=Closed(users=5), duration_s=0.2))
    assert len(driven.rows) == 5
    assert driven.rows["error"].isna().all()
    assert (driven.rows["end_ns"] - driven.rows["start_ns"] > 0.49e9).all()
    assert driven.outcome.parts[0].duration_s == pytest.approx(0.2, abs=1e-6)


def test_a_stopped_run_waits_a_moment_for_its_answers(tmp_path: Path) -> None:
    with answering(lambda _: (0.5, OK)) as server:
        driven = Driven(tmp_path, facts_of(server.url, duration_s=30), stop_after_s=0.1)
    assert driven.outcome.stopped
    assert len(driven.rows) == 2
    assert driven.rows["error"].isna().all()


def test_requests_unanswered_when_a_stopped_run_ends_are_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "_STOP_GRACE_S", 0.2)
    wide = Page(name="Wide", loads=tuple(f"GET /{number}" for number in range(9)))
    endpoints = tuple(Endpoint(path=f"/{number}") for number in range(9))
    with answering(lambda path: OK if path == "/0" else (10.0, OK)) as server:
        facts = facts_of(server.url, endpoints, (wide,), duration_s=30)
        driven = Driven(tmp_path, facts, stop_after_s=0.2)
    assert driven.outcome.generator.wall_s < 2
    open_ones = driven.rows[driven.rows["error"] == "in_flight"]
    assert (open_ones["end_ns"] == -1).all()
    assert (open_ones["status"] == 0).all()
    assert len(open_ones) + driven.rows["error"].isna().sum() == len(driven.rows)
    assert len(open_ones) >= 2


class _Full(Spool):
    """A spool whose disk is full after a few rows."""

    _rows = 0

    def append(self, *row: float) -> None:
        self._rows += 1
        if self._rows > 20:
            raise OSError("No space left on device")
        super().append(*row)


@pytest.mark.parametrize(
    "workload", [Closed(users=3), Closed(users=3, think_time_s=0.001), Open(rate_per_s=200)], ids=str
)
def test_a_spool_that_cannot_be_written_ends_the_run(tmp_path: Path, workload: Workload) -> None:
    async def drive(facts: Facts) -> None:
        with _Full(requests_spool(tmp_path)) as spool, Spool(generator_spool(tmp_path), GENERATOR_ROW) as health:
            await asyncio.wait_for(Worker(facts, spool, health).drive(), 5)
        assert len(asyncio.all_tasks()) == 1

    with (
        answering(OK) as server,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
        pytest.raises(OSError, match="No space"),
    ):
        runner.run(drive(facts_of(server.url, workload=workload, duration_s=20)))


# Memory


def test_a_disk_that_holds_up_a_write_makes_the_worker_stand_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(spool: Spool) -> None:
        time.sleep(0.3)
        at_once(spool)

    at_once = Spool.flush
    monkeypatch.setattr(Spool, "flush", slowly)
    with answering(lambda _: (0.01, OK)) as server:
        run = Driven(tmp_path, facts_of(server.url, duration_s=1.5))
    [still] = run.outcome.generator.standstills
    assert still.lasted_s > 0.5
    assert still.touched == 2


def test_memory_stays_flat_however_many_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def note(worker: Worker) -> None:
        gc.collect()
        seen.append((worker._recorder.recorded, sys.getallocatedblocks()))

    flush = Worker._flush
    monkeypatch.setattr(Worker, "_flush", lambda worker: (flush(worker), note(worker)))
    with answering(OK) as server:
        facts = facts_of(server.url, pages=(HOME,), workload=Closed(users=10), duration_s=4.0)
        monkeypatch.setattr(server, "requests", _Forgetful())
        driven = Driven(tmp_path, facts)
    (early, early_blocks), (late, late_blocks) = seen[1], seen[-1]
    assert late - early > 5000
    assert late_blocks - early_blocks < 500
    assert len(driven.rows) > late


class _Forgetful(list[str]):
    def append(self, item: str) -> None: ...


# The process


@pytest.fixture
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook of its own: a target file with a token, runs in data/runs."""
    target = (
        '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\ntoken_env = "TOKEN_OF_THE_TESTS"\n'
        '[[endpoint]]\npath = "/a"\n[[endpoint]]\npath = "/b"\nparams = { q = "x" }\n'
    )
    return entered(tmp_path, monkeypatch, target, TOKEN_OF_THE_TESTS="a-very-secret-token")


def run(url: str, report: Callable[[object], None] = lambda _: None, **options: object) -> Run:
    named = {"target": "t.toml", "url": url, "duration": 0.4, "users": 2, "warmup": 0} | options
    return perflib.run("light_load", Options.model_validate(named), report=report)


def worker_process() -> psutil.Process:
    [worker] = [child for child in psutil.Process().children() if "perflib.load.worker" in child.cmdline()]
    return worker


def test_a_killed_worker_leaves_a_readable_run_marked_broken(workbook: Path) -> None:
    with answering(OK) as server:
        kept = run(server.url, lambda _: worker_process().kill(), duration=20)
    assert kept.facts.state == "broken"
    [reason] = kept.facts.invalid_reasons
    assert re.match(r"load generator: worker 1 of 1 ended with signal 9 at \d+\.\d s", reason)
    assert 0 < len(kept.requests) <= len(server.requests)
    assert load_run(workbook / "data/runs", kept.facts.run_id).requests.equals(kept.requests)
    assert 0.5 < kept.facts.duration_s < 5


def test_a_run_whose_owner_died_is_finished_by_the_next_reader(workbook: Path) -> None:
    script = """
        import os, signal, perflib
        options = perflib.Options(target="t.toml", url=URL, duration=60, users=2, run_id="lost")
        perflib.run("light_load", options, report=lambda _: os.kill(os.getpid(), signal.SIGKILL))
    """
    with answering(OK) as server:
        done = as_script(script, server.url)
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
        deadline_s = time.monotonic() + 30
        while (found := load_run(workbook / "data/runs", "lost")).facts.state == "running":  # its worker still ends
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        sent = len(server.requests)
    assert found.facts.interrupted
    assert 0 < len(found.requests) <= sent
    assert sorted(path.name for path in (workbook / "data/runs/lost").glob("*.parquet"))
    assert not list((workbook / "data/runs/lost").glob("*.spool"))


def test_figures_that_cannot_be_written_lose_no_run_and_are_made_up_for(
    workbook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("perflib.session.drive.write_figures", full)
    with answering(OK) as server:
        kept = run(server.url)
    [line] = capsys.readouterr().err.splitlines()
    assert "the run is kept" in line
    assert "No space left on device" in line
    assert set(stored_runs()["run_id"]) == {kept.facts.run_id}


def test_the_token_is_sent_but_neither_in_the_arguments_nor_in_the_run(workbook: Path) -> None:
    arguments: list[str] = []
    with scripted([(OK,)]) as server:
        kept = run(server.url, lambda _: arguments.extend(worker_process().cmdline()), duration=1.3, timeout=0.5)
    assert all(b"Authorization: Bearer a-very-secret-token\r\n" in request for request in server.requests)
    assert server.requests
    assert arguments
    assert not any("secret" in argument for argument in arguments)
    for path in (workbook / "data/runs" / kept.facts.run_id).iterdir():
        assert b"a-very-secret-token" not in path.read_bytes()


def test_a_bad_order_is_one_line_of_bad_input_and_leaves_no_run(workbook: Path) -> None:
    with pytest.raises(InputError, match=r"no-such-host\.invalid"):
        run("http://no-such-host.invalid")
    assert not list((workbook / "data/runs").iterdir())


def as_script(text: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a file until it and all that it has started have ended."""
    Path("script.py").write_text(textwrap.dedent(text).replace("URL", repr(url)), encoding="utf-8")
    return subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=30, check=False)


def test_a_plain_script_needs_no_main_guard(workbook: Path) -> None:
    script = """
        import perflib
        run = perflib.run("light_load", perflib.Options(target="t.toml", url=URL, duration=0.3, users=2))
        print(len(run.requests), run.facts.state)
    """
    with answering(OK) as server:
        done = as_script(script, server.url)
        assert done.stdout.split() == [str(len(server.requests)), "finished"], done.stderr


def test_a_quick_look_works_where_a_loop_already_runs(workbook: Path) -> None:
    look = """
        import asyncio
        from functools import partial
        from perflib import run_in_process
        look = partial(run_in_process, "light_load", target="t.toml", url=URL, duration=0.5, users=3)

        async def cell():
            before = asyncio.create_task(asyncio.sleep(0.1, "other work"))
            run = look()
            print(len(run.requests), run.facts.state, run.requests["error"].notna().sum(), await before)

        asyncio.run(cell())
        print(look().facts.state)
    """
    with answering(OK) as server:
        done = as_script(look, server.url)
    first, second = done.stdout.splitlines()
    assert first.split(" ", 1)[1] == "finished 0 other work"
    assert (second, done.stderr) == ("finished", "")


def test_a_quick_look_can_be_awaited_and_a_cancelled_one_is_kept(workbook: Path) -> None:
    async def cancelled(url: str) -> tuple[Run, int]:
        looking = asyncio.create_task(perflib.run_async("light_load", target="t.toml", url=url, duration=20, users=2))
        asyncio.get_running_loop().call_later(0.3, looking.cancel)
        kept = await looking
        await asyncio.sleep(0.05)
        return kept, len(asyncio.all_tasks())

    floor()  # measured once per process; what is cancelled before its run begins keeps nothing
    with answering(OK) as server:
        kept, tasks = asyncio.run(cancelled(server.url))
    assert kept.facts.interrupted
    assert len(kept.requests) > 10
    assert tasks == 1
