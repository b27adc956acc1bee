"""The owner of a run: a run that lives is never taken for dead, wherever and by whatever clock one asks."""

import errno
import fcntl
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from perflib.figures.row import figures_of
from perflib.spec import Facts
from perflib.store import owner
from perflib.store.figures import history
from perflib.store.owner import Fate
from perflib.store.runs import RunFolder, load_run
from perflib.store.spool import Spool, requests_spool
from perflib.text import tables
from perflib.text.answers import history as told
from tests.synthetic import make_run, make_target

FACTS = make_run(make_target("GET /a")).facts.model_copy(update={"state": "running", "parts": ()})


def under_way(runs: Path, rows: int = 50, facts: Facts = FACTS) -> RunFolder:
    """A run that this process owns."""
    folder = RunFolder.create(runs, facts)
    with Spool(requests_spool(folder.path)) as spool:
        for number in range(rows):
            spool.append(number, number, number + 5, number + 1_000_000, 7, 0, 0, 0, 0, 0, -1, 0, -1, 200, -1, 0)
    return folder


def rewrite(folder: RunFolder, **changed: object) -> None:
    """Other facts in the owner file, the lock as it is."""
    path = folder.path / "owner"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@contextmanager
def somebody_writes(path: Path) -> Iterator[None]:
    """A process that goes on writing a spool."""
    script = f"import time\nwith open({str(path)!r}, 'ab') as file:\n while True: file.write(bytes(64)); file.flush(); "
    writing = subprocess.Popen([sys.executable, "-c", script + "time.sleep(0.3)"])
    try:
        yield
    finally:
        writing.kill()
        writing.wait()


def test_a_run_is_under_way_until_its_owner_leaves_it(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    assert RunFolder(folder.path).fate() == Fate.HERE
    assert load_run(tmp_path, FACTS.run_id).facts.state == "running"
    folder.leave()
    assert RunFolder(folder.path).fate() == Fate.GONE
    assert load_run(tmp_path, FACTS.run_id).facts.state == "interrupted"
    assert RunFolder(folder.path).fate() is None


def test_a_wall_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, now = under_way(tmp_path), time.time
    for jump_s in (-86_400, 86_400, 10 * 365 * 86_400):
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s: now() + jump_s)
        monkeypatch.setattr(psutil.Process, "create_time", lambda _, jump_s=jump_s: 1.0 + jump_s)
        assert folder.fate() == Fate.HERE
    folder.leave()
    assert folder.fate() == Fate.GONE


def test_a_child_that_was_forked_holds_no_run_of_its_parent(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    folder.leave()
    deadline_s = time.monotonic() + 30
    while folder.fate() == Fate.HERE and time.monotonic() < deadline_s:  # it may not have begun yet
        time.sleep(0.05)
    assert child.is_alive()
    assert folder.fate() == Fate.GONE
    child.kill()
    child.join()


def test_a_run_of_another_machine_is_left_alone_and_told(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    folder.leave()
    rewrite(folder, host="far-away 1234", boot="another")
    frame = history(tmp_path, figures_of)
    [line] = told(frame).notes
    assert tables.runs(frame, 20).notes == (line,)
    assert line.startswith(f"Left out: {FACTS.run_id} (is under way on far-away, and left alone;")
    assert load_run(tmp_path, FACTS.run_id).facts.state == "running"
    assert requests_spool(folder.path).exists()
    (folder.path / "owner").unlink()  # as the line says
    assert set(history(tmp_path, figures_of)["state"]) == {"interrupted"}


def test_containers_of_one_machine_know_each_others_runs_by_the_lock(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    rewrite(folder, host="a-container", namespace="pid:[1]", pid=1)
    assert folder.fate() == Fate.HERE
    folder.leave()
    assert folder.fate() == Fate.GONE


def test_a_run_from_before_the_machine_was_started_anew_is_finished_unless_somebody_writes_it(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    folder.leave()
    rewrite(folder, boot="the last one")
    with somebody_writes(requests_spool(folder.path)):
        assert folder.fate() == Fate.HERE
    assert folder.fate() == Fate.GONE


@pytest.mark.parametrize("how", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_the_process_itself_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: int) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(how, os.strerror(how))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    folder = under_way(tmp_path)
    assert folder.fate() == Fate.HERE
    monkeypatch.setattr(owner, "_GROWS_WITHIN_S", 0.5)
    rewrite(folder, started="1")  # another process has its number now
    assert folder.fate() == Fate.GONE
    rewrite(folder, namespace="pid:[1]")
    assert folder.fate() == Fate.ELSEWHERE


def test_an_owner_file_of_before_is_judged_by_its_process_and_by_what_is_written(tmp_path: Path) -> None:
    folder, me = under_way(tmp_path), psutil.Process()
    folder.leave()
    (folder.path / "owner").write_text(f"{me.pid} {me.create_time()}\n")
    assert folder.fate() == Fate.HERE
    (folder.path / "owner").write_text(f"{me.pid} {me.create_time() + 3600}\n")  # or its clock has jumped
    with somebody_writes(requests_spool(folder.path)):
        assert folder.fate() == Fate.HERE
    assert folder.fate() == Fate.GONE


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": 1}', "1 2 3", "\udcff"])
def test_an_owner_file_that_says_nothing_holds_up_no_run(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "_GROWS_WITHIN_S", 0.2)
    folder = under_way(tmp_path)
    folder.leave()
    (folder.path / "owner").write_bytes(text.encode(errors="surrogateescape"))
    assert load_run(tmp_path, FACTS.run_id).facts.state == "interrupted"


def test_a_seal_that_was_broken_off_is_finished_with_the_facts_that_were_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with under_way(tmp_path) as folder, monkeypatch.context() as full:
        full.setattr(RunFolder, "_write_tables", no_room)
        with pytest.raises(Exception, match="make room"):
            folder.seal(FACTS.model_copy(update={"state": "finished"}))
    run = load_run(tmp_path, FACTS.run_id)
    assert (run.facts.state, len(run.requests)) == ("finished", 50)
    assert {path.name for path in folder.path.iterdir()} == {"requests.parquet", "generator.parquet", "run.json"}


def test_a_seal_never_replaces_a_fuller_table(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    RunFolder(folder.path).seal(FACTS.model_copy(update={"state": "interrupted"}))  # as a perflib of before did
    folder.seal(FACTS.model_copy(update={"state": "finished"}))
    run = load_run(tmp_path, FACTS.run_id)
    assert len(run.requests) == 50
    assert run.facts.state == "broken"
    assert "only 50 rows are kept" in run.facts.invalid_reasons[0]


def test_a_folder_that_was_copied_while_it_was_measured_counts_once(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    subprocess.run(["cp", "-r", folder.path, tmp_path / "copy"], check=True)
    folder.seal(FACTS.model_copy(update={"state": "finished"}))
    frame = history(tmp_path, figures_of)
    assert len(frame) == 1
    assert set(frame["state"]) == {"finished"}
    assert set(frame.attrs["unreadable"]) == {"copy"}
