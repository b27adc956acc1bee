"""Death at any moment: what was recorded is kept. `python -m tests.long.death` tries 200 moments."""

import multiprocessing
import random
import time
from pathlib import Path

import pytest

from perflib.judge.baseline import baseline_of
from perflib.store.baselines import load_baselines, store_baseline
from perflib.store.runs import load_run
from perflib.store.spool import requests_spool
from tests.long.death import ENDS, KINDS, trial
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
