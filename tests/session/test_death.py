"""Death at any moment: what was recorded is kept. `python -m tests.long.death` tries 200 moments."""

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import pytest

from perflib.judge.baseline import baseline_of
from perflib.spec import Run
from perflib.store.baselines import load_baselines, store_baseline
from perflib.store.runs import load_run
from perflib.store.spool import requests_spool
from tests.long.death import ENDS, KINDS, trial
from tests.servers import answer, answering
from tests.store.test_runs import FACTS, recorded
from tests.synthetic import make_run


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_keeps_all_but_its_last_second(kind: str, seed: int) -> None:
    died = trial(kind, seed)
    assert died.state == ENDS[kind]
    assert died.seconds_lost < 1.5  # a flush a second, on a machine that may be busy
    assert died.alive == 0
    assert died.files - {"memory.parquet", "figures.parquet"} == {"requests.parquet", "generator.parquet", "run.json"}


def record_for_ever(path: Path, number: int) -> None:
    entry = baseline_of([make_run()])
    while True:
        store_baseline(path, entry.replaced(target=f"target-{number}", setup=None))


def test_baselines_are_whole_whenever_their_writer_is_killed(tmp_path: Path) -> None:
    path, rng = tmp_path / "performance_baselines.json", random.Random(1)
    context = multiprocessing.get_context("fork")
    store_baseline(path, baseline_of([make_run()]))
    for number in range(20):
        writer = context.Process(target=record_for_ever, args=(path, number))
        writer.start()
        time.sleep(rng.uniform(0.1, 0.3))
        writer.kill()
        writer.join()
        assert len(load_baselines(path).baselines) >= 1
    names = {one.target for one in load_baselines(path).baselines}
    assert names <= {"dashboard", *(f"target-{number}" for number in range(20))}
    assert len(names) > 10


def test_a_run_killed_while_its_spools_were_cleared_keeps_every_row(tmp_path: Path) -> None:
    folder = recorded(tmp_path, 100)
    spooled = requests_spool(folder.path).read_bytes()
    folder.seal(FACTS.model_copy(update={"state": "finished"}))
    requests_spool(folder.path, 1).write_bytes(spooled[: len(spooled) // 2])  # of two workers' spools, one is gone
    (folder.path / "owner").write_text("999999999 1.0\n")
    run = load_run(tmp_path, FACTS.run_id)
    assert (len(run.requests), run.facts.state) == (100, "finished")
    assert not list(folder.path.glob("*.spool"))


def test_a_run_killed_while_a_table_was_written_keeps_every_row(tmp_path: Path) -> None:
    folder = recorded(tmp_path, 100)
    for name in ("requests.parquet.part", "memory.parquet.part", ".run.json.7.part"):
        (folder.path / name).write_bytes(b"PAR1 torn")
    (folder.path / "owner").write_text("999999999 1.0\n")
    assert len(load_run(tmp_path, FACTS.run_id).requests) == 100
    assert not list(folder.path.glob("*.part")) + list(folder.path.glob(".*.part"))


def read_it(runs: Path, said: "multiprocessing.Queue[int]") -> None:
    said.put(len(load_run(runs, FACTS.run_id).requests))


def test_processes_that_finish_an_abandoned_run_at_once_all_read_all_of_it(tmp_path: Path) -> None:
    folder = recorded(tmp_path, 20_000)
    (folder.path / "owner").write_text("999999999 1.0\n")
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    readers = [context.Process(target=read_it, args=(tmp_path, said)) for _ in range(4)]
    for reader in readers:
        reader.start()
    assert [said.get(timeout=30) for _ in readers] == [20_000] * 4
    for reader in readers:
        reader.join()


# The load generator


@dataclass(frozen=True)
class Driven:
    """A command that measures a target of its own for a minute, or as long as it is told, with two workers."""

    process: subprocess.Popen[str]
    workbook: Path
    served: list[str]

    @property
    def workers(self) -> list[psutil.Process]:
        return [one for one in psutil.Process(self.process.pid).children() if "perflib.load.worker" in one.cmdline()]

    def until_spooled(self) -> Self:
        """The first seconds are on the disk."""
        deadline_s = time.monotonic() + 60
        while not all(self._size(worker) for worker in range(2)):
            assert time.monotonic() < deadline_s
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        return self

    def _size(self, worker: int) -> int:
        return sum(path.stat().st_size for path in self.workbook.glob(f"data/runs/*/generator.{worker}.spool"))

    def end(self) -> tuple[int, str, str]:
        """The status of the command, and what it said."""
        said, errors = self.process.communicate(timeout=120)
        return self.process.returncode, said, errors

    def stored(self) -> Run:
        [facts] = self.workbook.glob("data/runs/*/run.json")
        return load_run(facts.parent.parent, facts.parent.name)


@contextmanager
def driven(workbook: Path, *words: str, **variables: str) -> Iterator[Driven]:
    (workbook / "pyproject.toml").touch()
    with answering(lambda _: (0.002, answer())) as server:
        text = f'[target]\nname = "t"\nbase_url = "{server.url}"\n[[endpoint]]\npath = "/a"\ntarget_ms = 60000\n'
        (workbook / "t.toml").write_text(text)
        options = ("--target", "t.toml", "--workers", "2", "--users", "4", "--warmup", "0")
        command = [sys.executable, "-m", "perflib", *(words or ("run", "light_load", "--json"))]
        environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"} | variables
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*command, *options], cwd=workbook, env=environment, stdout=pipe, stderr=pipe, text=True
        )
        try:
            yield Driven(process, workbook, server.requests)
        finally:
            process.kill()
            process.communicate()


MINUTE = ("run", "light_load", "--json", "--duration", "60s")


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV], ids=lambda one: one.name
)
def test_a_worker_that_dies_makes_the_run_broken_and_says_how_and_when(tmp_path: Path, how: signal.Signals) -> None:
    with driven(tmp_path, *MINUTE) as running:
        running.until_spooled().workers[0].send_signal(how)
        status, said, errors = running.end()
    told = json.loads(said)
    ended = "status 130" if how == signal.SIGINT else f"signal {how.value}"
    [reason] = told["invalid_reasons"]
    assert re.match(rf"load generator: worker [12] of 2 ended with {ended} at \d+\.\d s", reason)
    assert (status, told["state"], told["valid"], told["interrupted"]) == (3, "broken", False, False)
    assert reason in errors
    assert "Traceback" not in errors
    stored = running.stored()
    assert (stored.facts.state, stored.facts.invalid_reasons) == ("broken", (reason,))
    assert 0 < len(stored.requests) <= len(running.served)


def test_a_check_whose_worker_dies_exits_3_with_the_reason(tmp_path: Path) -> None:
    with driven(tmp_path, "check", "light_load", "--format", "json", "--duration", "60s") as running:
        running.until_spooled().workers[1].kill()
        status, said, _ = running.end()
    told = json.loads(said)
    assert (status, told["exit"]) == (3, 3)
    assert "ended with signal 9 at" in told["reasons"][0]


def test_the_users_own_interrupt_is_one_though_the_workers_get_it_too(tmp_path: Path) -> None:
    with driven(tmp_path, *MINUTE) as running:
        workers = running.until_spooled().workers
        for one in (*workers, psutil.Process(running.process.pid)):
            one.send_signal(signal.SIGTERM)
        status, said, _ = running.end()
    assert (status, json.loads(said)["state"]) == (130, "interrupted")


def failing(workbook: Path, what: str) -> AbstractContextManager[Driven]:
    """A command whose workers do this in the midst of the run, on the load's own path; they know a secret."""
    broken = f"""
        import sys
        if "perflib.load.worker" in " ".join(sys.orig_argv):
            import os, threading, asyncio
            from perflib.load import recorder
            def keep(self, *_): {what}
            threading.Timer(1.5, lambda: setattr(recorder.Recorder, "keep", keep)).start()
    """
    (workbook / "sitecustomize.py").write_text(textwrap.dedent(broken))
    known = {"PYTHONPATH": str(workbook), "TMPDIR": str(workbook), "PLANTED": "tok-5e0f9c3b7a61"}
    return driven(workbook, *MINUTE, "--token-env", "PLANTED", **known)


def kept_by(reason: str) -> str:
    """What stands in the file that the reason names."""
    found = re.search(r"; all of it is in (\S+?\.txt)", reason)
    assert found is not None, reason
    return Path(found[1]).read_text(encoding="utf-8")


def test_a_worker_that_raises_is_told_in_one_line_with_the_place_and_its_traceback_is_kept(tmp_path: Path) -> None:
    with failing(tmp_path, "raise ZeroDivisionError('of a test: ' + os.environ['PLANTED'])") as running:
        status, said, errors = running.end()
    [reason] = json.loads(said)["invalid_reasons"]
    assert re.match(
        r"load generator: worker [12] of 2 ended at \d+\.\d s: ZeroDivisionError: of a test: \*\*\* "
        r"\(sitecustomize.py, line \d+\); all of it is in /",
        reason,
    )
    assert (status, "Traceback" in errors, reason in errors) == (3, False, True)
    assert "ZeroDivisionError: of a test: ***" in kept_by(reason).splitlines()[-1]
    assert "in keep" in kept_by(reason)


def test_what_a_worker_said_before_it_died_is_told_in_one_line_and_kept(tmp_path: Path) -> None:
    with failing(tmp_path, "print('token', os.environ['PLANTED'], file=sys.stderr, flush=True), os.abort()") as running:
        status, said, errors = running.end()
    [reason] = json.loads(said)["invalid_reasons"]
    assert re.match(
        r"load generator: worker [12] of 2 ended with signal 6 at \d+\.\d s; it said: Fatal Python error: Aborted; ",
        reason,
    )
    assert reason.endswith("; its last second, and what it had under way, are in no row")
    assert (status, "Traceback" in errors) == (3, False)
    assert "token ***" in kept_by(reason)
    assert "in keep" in kept_by(reason)


@pytest.mark.parametrize(
    ("how", "status", "told"), [("signal.SIGKILL", 2, "lacks memory"), ("signal.SIGSEGV", 70, "Segmentation fault")]
)
def test_a_worker_that_dies_before_the_run_begins_leaves_no_run(
    tmp_path: Path, how: str, status: int, told: str
) -> None:
    dying = f'import os, signal, sys\nif "perflib.load.worker" in sys.orig_argv: os.kill(os.getpid(), {how})'
    (tmp_path / "sitecustomize.py").write_text(dying)
    with driven(tmp_path, *MINUTE, PYTHONPATH=str(tmp_path), TMPDIR=str(tmp_path)) as running:
        found, _, errors = running.end()
    [line] = errors.splitlines()
    assert (found, told in line) == (status, True), line
    assert not list(tmp_path.glob("data/runs/*"))


def test_what_is_printed_in_a_worker_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text('import sys\nif "-P" in sys.orig_argv: print("hello", end=""); print()')
    words = ("run", "light_load", "--json", "--duration", "1s")
    with driven(tmp_path, *words, PYTHONPATH=str(tmp_path)) as running:
        status, said, errors = running.end()
    told = json.loads(said)
    assert status in (0, 3), errors  # 3: the machine was too busy to judge
    assert told["state"] == "finished"
    assert told["generator"]["floor_p50_ms"] > 0
    assert told["requests"]["completed"] == len(running.served)


def test_a_worker_that_stood_still_for_seconds_makes_the_run_invalid_and_says_when(tmp_path: Path) -> None:
    with driven(tmp_path, "run", "light_load", "--json", "--duration", "8s") as running:
        worker = running.until_spooled().workers[0]
        worker.suspend()
        time.sleep(2)
        worker.resume()
        status, said, _ = running.end()
    told = json.loads(said)
    assert (status, told["state"], told["valid"]) == (3, "finished", False)
    reasons = [one for one in told["invalid_reasons"] if one.startswith("load generator: worker ")]
    found = re.search(r"stood still for (\d+\.\d) s at (\d+\.\d) s.*: (\d+) requests? due or under way", reasons[0])
    assert found is not None
    assert 1.5 <= float(found[1]) <= 5
    assert 0 < int(found[3]) <= 4


def test_a_worker_that_never_goes_on_is_ended_and_holds_up_no_command(tmp_path: Path) -> None:
    sooner = (
        'import sys\nif "perflib" in sys.orig_argv:\n    from perflib.load import engine\n    engine._MOST_SILENT_S = 6'
    )
    (tmp_path / "sitecustomize.py").write_text(sooner)
    words = ("run", "light_load", "--json", "--duration", "3s")
    with driven(tmp_path, *words, PYTHONPATH=str(tmp_path)) as running:
        running.until_spooled().workers[0].suspend()
        status, said, _ = running.end()
    told = json.loads(said)
    [reason] = [one for one in told["invalid_reasons"] if "and was ended" in one]
    assert re.match(r"load generator: worker [12] of 2 stood still for [6-9] s and was ended at \d+\.\d s", reason)
    assert (status, told["state"]) == (3, "broken")
    assert len(running.stored().requests) > 100


def test_two_interrupts_leave_a_frozen_worker_at_once_and_keep_what_was_measured(tmp_path: Path) -> None:
    with driven(tmp_path, *MINUTE) as running:
        running.until_spooled().workers[0].suspend()
        for _ in range(2):
            running.process.send_signal(signal.SIGINT)
            time.sleep(1)
        status, _, errors = running.end()
    assert (status, errors.splitlines()[-1]) == (130, "perflib: interrupted")
    assert running.stored().facts.state == "interrupted"
    assert len(running.stored().requests) > 0


# Another PID namespace


def elsewhere(*command: str) -> list[str]:
    """The command in a PID namespace of its own; skipped where none may be made, or a failure where CI is set."""
    tries = (("--pid", "--fork", "--mount-proc"), ("--user", "--map-root-user", "--pid", "--fork", "--mount-proc"))
    found = [["unshare", *flags] for flags in tries if shutil.which("unshare") and _works("unshare", *flags, "true")]
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no PID namespace can be made (unshare)")
    return [*found[0], *command]


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def history_elsewhere(workbook: Path) -> str:
    command = elsewhere(sys.executable, "-m", "perflib", "runs")
    environment = os.environ | {"PERFLIB_DATA": str(workbook / "data")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_run_that_goes_on_is_left_alone_by_who_sees_it_from_another_namespace(tmp_path: Path) -> None:
    with driven(tmp_path, "run", "light_load", "--json", "--duration", "6s") as running:
        running.until_spooled()
        history_elsewhere(tmp_path)
        assert list(tmp_path.glob("data/runs/*/requests.0.spool"))
        assert running.process.poll() is None, "too slow: nothing was tried"
        status, said, _ = running.end()
    told = json.loads(said)
    assert status in (0, 3)
    assert told["state"] == "finished"
    assert told["requests"]["completed"] == len(running.served) == len(running.stored().requests)


def test_a_run_that_died_in_another_namespace_is_finished(tmp_path: Path) -> None:
    with driven(tmp_path, *MINUTE) as running:
        workers = running.until_spooled().workers
        running.process.kill()
        psutil.wait_procs(workers, timeout=30)
        assert "interrupted" in history_elsewhere(tmp_path)
    assert running.stored().facts.state == "interrupted"
