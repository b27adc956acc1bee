"""Runs and baselines on disk: nothing recorded is lost, and plain pandas reads it."""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perflib.figures.row import figures_of
from perflib.judge.baseline import baseline_of
from perflib.spec import Facts, InputError, Run
from perflib.store import runs
from perflib.store.baselines import load_baselines, store_baseline
from perflib.store.figures import FIGURES, history
from perflib.store.folders import Workbook
from perflib.store.runs import RunFolder, load_run
from perflib.store.spool import REQUEST_ROW, WARMUP, Spool, read_spool, requests_spool
from tests.benchmarks.scale import make_up
from tests.servers import answer, answering
from tests.synthetic import make_run, make_target

CONTRACT_COLUMNS = [
    "run_id",
    "endpoint",
    "page",
    "kind",
    "intended_ns",
    "start_ns",
    "first_byte_ns",
    "end_ns",
    "status",
    "error",
    "bytes",
    "connect_ns",
    "user",
    "warmup",
    "cold",
]
FACTS = make_run(make_target("GET /a", "GET /b", page="home")).facts


def append(spool: Spool, number: int, *, item: int = 0, page: int = -1, error: int = -1, flags: int = 0) -> None:
    start = number * 1_000_000
    spool.append(start, start, start + 500, start + 1000, 77, 0, 0, 0, 0, 3, -1, item, page, 200, error, flags)


def recorded(tmp_path: Path, rows: int, facts: Facts = FACTS) -> RunFolder:
    folder = RunFolder.create(tmp_path, facts)
    with Spool(requests_spool(folder.path)) as spool:
        for number in range(rows):
            append(spool, number, flags=WARMUP if number < 10 else 0)
    return folder


def test_a_sealed_run_reads_with_plain_pandas(tmp_path: Path) -> None:
    recorded(tmp_path, 10_000).seal(FACTS)
    rows = pd.concat(map(pd.read_parquet, tmp_path.glob("*/requests.parquet")))
    assert len(rows) == 10_000
    assert list(rows.columns[:15]) == CONTRACT_COLUMNS
    assert rows["start_ns"].tolist() == [number * 1_000_000 for number in range(10_000)]
    assert set(rows["endpoint"]) == {"GET /a"}
    assert rows["warmup"].sum() == 10
    assert rows["page"].isna().all()
    assert json.loads((tmp_path / FACTS.run_id / "run.json").read_text())["run_id"] == FACTS.run_id


def test_the_handshake_is_told_apart_and_a_run_of_before_reads_without_it(tmp_path: Path) -> None:
    recorded(tmp_path, 10).seal(FACTS)
    path = tmp_path / FACTS.run_id / "requests.parquet"
    assert load_run(tmp_path, FACTS.run_id).requests["tls_ns"].tolist() == [0] * 10
    whole = pq.read_table(path, partitioning=None)
    pq.write_table(whole.drop_columns(["tls_ns"]), path)
    old = load_run(tmp_path, FACTS.run_id).requests
    assert "tls_ns" not in old
    assert len(old) == 10


def test_names_of_endpoints_pages_kinds_and_errors_are_those_of_the_target(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, FACTS)
    with Spool(requests_spool(folder.path)) as spool:
        append(spool, 0, item=1, page=2, error=2)
        append(spool, 1, item=2)
    folder.seal(FACTS)
    part, page = pd.read_parquet(tmp_path / FACTS.run_id / "requests.parquet").to_dict("records")
    assert (part["endpoint"], part["page"], part["kind"], part["error"]) == ("GET /b", "home", "request", "timeout")
    assert (page["endpoint"], page["kind"]) == ("home", "page")


def test_the_first_success_of_each_endpoint_and_page_is_cold_whatever_row_group_it_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_GROUP_ROWS", 3)
    folder = RunFolder.create(tmp_path, FACTS)
    with Spool(requests_spool(folder.path)) as spool:
        append(spool, 9, item=0)
        append(spool, 2, item=1, error=2)
        append(spool, 3, item=1)
        append(spool, 4, item=2)
        append(spool, 1, item=0)  # began before the first row, ended after it
        append(spool, 5, item=1)
        append(spool, 6, item=0)
    under_way = folder.load().requests
    folder.seal(FACTS)
    sealed = folder.load().requests
    assert sealed["cold"].tolist() == [False, False, True, True, True, False, False]
    pd.testing.assert_frame_equal(under_way, sealed, check_categorical=False)


def test_names_are_plain_strings_to_whoever_reads_a_sealed_run(tmp_path: Path) -> None:
    recorded(tmp_path, 10).seal(FACTS)
    rows = pd.read_parquet(tmp_path / FACTS.run_id / "requests.parquet")
    assert not any(isinstance(dtype, pd.CategoricalDtype) for dtype in rows.dtypes)
    assert pq.read_schema(tmp_path / FACTS.run_id / "requests.parquet").remove_metadata() == runs.REQUESTS


def test_a_request_takes_at_most_16_bytes_on_disk(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, FACTS)
    make_up(folder, 100_000)
    folder.seal(folder.read_facts())
    assert (folder.path / "requests.parquet").stat().st_size <= 16 * 100_000


@pytest.mark.parametrize("torn_bytes", [0, 1, REQUEST_ROW.itemsize - 1])
def test_a_torn_last_row_is_left_out_and_the_others_are_kept(tmp_path: Path, torn_bytes: int) -> None:
    folder = recorded(tmp_path, 100)
    with requests_spool(folder.path).open("ab") as file:
        file.write(b"x" * torn_bytes)
    assert len(read_spool(requests_spool(folder.path))) == 100


def test_a_run_under_way_can_be_read(tmp_path: Path) -> None:
    recorded(tmp_path, 100)
    run = load_run(tmp_path, FACTS.run_id)
    assert len(run.requests) == 100


def test_what_a_dead_process_left_is_finished_and_marked_interrupted(tmp_path: Path) -> None:
    folder = recorded(tmp_path, 100)
    (folder.path / "owner").write_text("999999999 1.0\n")
    run = load_run(tmp_path, FACTS.run_id)
    assert run.facts.interrupted
    assert len(run.requests) == 100
    assert run.facts.duration_s == pytest.approx((99 - 10) / 1000, rel=0.01)
    assert sorted(path.name for path in folder.path.iterdir()) == ["generator.parquet", "requests.parquet", "run.json"]


def test_a_run_id_is_never_used_twice(tmp_path: Path) -> None:
    recorded(tmp_path, 1)
    with pytest.raises(InputError, match="this run exists"):
        RunFolder.create(tmp_path, FACTS)


@pytest.mark.parametrize("name", ["", ".", "..", "../elsewhere", "/elsewhere", "one/", "a\x00b"])
def test_a_run_is_looked_for_in_the_workbook_and_nowhere_else(tmp_path: Path, name: str) -> None:
    for place in (tmp_path / "runs", tmp_path, Path("/")):
        with pytest.raises(InputError, match="not the name of a run"):
            load_run(place, name)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', "\x00"])
def test_a_damaged_run_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    recorded(tmp_path, 1).seal(FACTS)
    (tmp_path / FACTS.run_id / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json") as refusal:
        load_run(tmp_path, FACTS.run_id)
    assert "\n" not in str(refusal.value)


def test_a_sound_run_that_there_is_no_memory_for_is_not_told_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path, 10).seal(FACTS)

    def short(*_: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 256 failed")

    monkeypatch.setattr("perflib.store.runs._fitting", short)
    with pytest.raises(MemoryError):
        load_run(tmp_path, FACTS.run_id)


def test_the_workbook_is_found_upward_from_its_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "performance_baselines.json").write_text("{}")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    assert Workbook.find(tmp_path / "notebooks").runs == tmp_path / "data" / "runs"
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "elsewhere"))
    assert Workbook.find(tmp_path / "notebooks").runs == tmp_path / "elsewhere" / "runs"


def test_outside_of_any_workbook_the_clones_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for papermill, started in / by a timer, with a notebook of the clone."""
    monkeypatch.chdir(tmp_path)
    assert Workbook.find().root == Path(__file__).parents[2]
    (tmp_path / "data").mkdir()
    assert Workbook.find().root == tmp_path


RUNS = [make_run(seed=seed, run_id=f"run-{seed}") for seed in (1, 2, 3)]


def test_a_baseline_is_the_median_over_runs_and_their_maximum(tmp_path: Path) -> None:
    path = tmp_path / "performance_baselines.json"
    store_baseline(path, baseline_of(RUNS))
    stored = json.loads(path.read_text())
    [entry] = stored["baselines"]
    health = entry["endpoints"]["GET /health"]
    assert stored["schema_version"] == 2
    assert entry["runs"] == ["run-1", "run-2", "run-3"]
    assert entry["workload"] == {"kind": "closed", "users": 10}
    assert set(entry["environment"]) == {"os", "arch", "cpu", "cores"}
    assert health["p95_ms"] == np.median(health["per_run"]["p95_ms"])
    assert health["max_ms"] >= max(health["per_run"]["p95_ms"])
    assert health["meets_target"] == (health["p95_ms"] < health["target_ms"])


def test_recording_again_replaces_the_entry_of_the_same_key_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "performance_baselines.json"
    other = baseline_of([make_run(scenario="baseline")])
    store_baseline(path, other)
    store_baseline(path, baseline_of(RUNS[:1]))
    store_baseline(path, baseline_of(RUNS))
    assert [(one.scenario, len(one.runs)) for one in load_baselines(path).baselines] == [
        ("baseline", 1),
        ("light_load", 3),
    ]
    text = path.read_text()
    store_baseline(path, baseline_of(RUNS))
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (make_run(failures=0.1), "failed requests"),
        (make_run(invalid_reasons=("the generator was saturated",)), "the generator was saturated"),
        (make_run(state="interrupted"), "was interrupted"),
        (make_run(scenario="baseline"), "another setup"),
    ],
)
def test_a_run_that_is_no_baseline_is_refused_with_the_reason(bad: Run, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        baseline_of([RUNS[0], bad])


def record_one(path: Path, number: int) -> None:
    entry = baseline_of(RUNS)
    for repeat in range(5):
        store_baseline(path, entry.replaced(target=f"target-{number}-{repeat}", setup=None))


def test_processes_that_record_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "performance_baselines.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=record_one, args=(path, number)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(load_baselines(path).baselines) == 40


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 3}', '{"schema_version": 1, "baselines": [{}]}'])
def test_damaged_baselines_are_refused_and_left_as_they_are(tmp_path: Path, text: str) -> None:
    path = tmp_path / "performance_baselines.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"performance_baselines\.json"):
        store_baseline(path, baseline_of(RUNS))
    assert path.read_text() == text


@contextmanager
def files_of_at_most(some_bytes: int) -> Iterator[None]:
    """A disk that is full, as far as a writer can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (some_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_in_one_line_and_what_was_written_is_kept(tmp_path: Path) -> None:
    folder = recorded(tmp_path, 10_000)
    with files_of_at_most(2_000), pytest.raises(InputError, match="what was recorded is kept") as refusal:
        folder.seal(FACTS)
    assert str(folder.path) in str(refusal.value)
    folder.seal(FACTS)
    assert len(folder.load().requests) == 10_000


def test_rows_that_a_full_disk_refused_are_written_once_when_it_has_room(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with Spool(path) as spool:
        for number in range(100):
            append(spool, number)
        with files_of_at_most(REQUEST_ROW.itemsize * 30 + 7), pytest.raises(InputError, match="too large"):
            spool.flush()
        assert len(read_spool(path)) == 30
    assert read_spool(path)["start_ns"].tolist() == [number * 1_000_000 for number in range(100)]


@pytest.mark.parametrize("where", ["data", "/proc/nowhere"])
def test_a_data_folder_that_cannot_be_written_is_told_in_one_line_naming_it(tmp_path: Path, where: str) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(InputError, match=rf"{tmp_path / where}.*point PERFLIB_DATA at a folder"):
        RunFolder.create(tmp_path / where / "runs", FACTS)


def perflib(workbook: Path, *words: str) -> subprocess.Popen[str]:
    """A command that has begun, in a workbook of its own."""
    (workbook / "pyproject.toml").touch()
    (workbook / "t.toml").write_text('[target]\nname = "t"\nbase_url = "http://h"\n[[endpoint]]\npath = "/a"\n')
    environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"}
    pipe, command = subprocess.PIPE, [sys.executable, "-m", "perflib", *words]
    return subprocess.Popen(command, cwd=workbook, env=environment, stdout=pipe, stderr=pipe, text=True)


RUN = ("run", "light_load", "--target", "t.toml", "--warmup", "0")


@pytest.mark.parametrize("rows", [1_000, 6_000], ids=["before a second is over", "while rows are written"])
def test_a_disk_that_fills_up_ends_a_run_in_one_line_and_keeps_its_rows(tmp_path: Path, rows: int) -> None:
    with answering(answer()) as server, files_of_at_most(rows * REQUEST_ROW.itemsize):
        running = perflib(tmp_path, *RUN, "--users", "10", "--duration", "20s", "--url", server.url)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 3, said
    [folder] = [path.parent for path in tmp_path.glob("data/runs/*/run.json")]
    [line] = [line for line in said.splitlines() if line.startswith("broken: ")]
    assert str(folder) in line
    assert "make room; what was recorded is kept" in line
    assert "Traceback" not in said
    kept = load_run(folder.parent, folder.name)
    assert len(kept.requests) == rows
    assert kept.facts.state == "broken"
    assert "load generator: worker 1 of 1 ended at" in kept.facts.invalid_reasons[0]


def test_two_commands_that_run_at_once_keep_all_that_was_served(tmp_path: Path) -> None:
    with answering(answer()) as server:
        both = [perflib(tmp_path, *RUN, "--users", "2", "--duration", "1s", "--url", server.url) for _ in range(2)]
        said = [one.communicate(timeout=60)[1] for one in both]
        served = len(server.requests)
    assert [one.returncode in (0, 3) for one in both] == [True, True], said  # 3: the machine was too busy to judge
    folder = tmp_path / "data/runs"
    stored = [load_run(folder, path.parent.name) for path in folder.glob("*/run.json")]
    assert len(stored) == 2
    assert sum(len(run.requests) for run in stored) == served
    assert {path.parent.name for path in folder.glob(f"*/{FIGURES}")} == {run.facts.run_id for run in stored}
    assert set(history(folder, figures_of)["run_id"]) == {run.facts.run_id for run in stored}
    assert {run.facts.state for run in stored} == {"finished"}


def test_two_commands_that_record_baselines_at_once_lose_none(tmp_path: Path) -> None:
    for name in ("first", "second"):
        target = FACTS.target.model_copy(update={"name": name})
        facts = FACTS.model_copy(update={"run_id": name, "target": target})
        recorded(tmp_path / "data/runs", 2_000, facts).seal(facts)
    both = [perflib(tmp_path, "baseline", "record", "--from", name) for name in ("first", "second")]
    said = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    entries = load_baselines(tmp_path / "performance_baselines.json").baselines
    assert {entry.target for entry in entries} == {"first", "second"}
