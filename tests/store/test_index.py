"""The history reads every stored run once, trusts the runs over its index, and stays whole whatever becomes of it."""

import math
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perflib.figures.summary import judged_ms, measured, summarize
from perflib.spec import InputError
from perflib.stats.bootstrap import Series, intervals
from perflib.store import index
from perflib.store.index import INDEX, ROWS, history
from perflib.store.runs import REQUESTS, RunFolder, list_runs, load_run
from perflib.store.spool import Spool
from tests.synthetic import make_run, make_target

TARGET = make_target("GET /a", "GET /b", page="home")
ENDS = ["p50_low_ms", "p50_high_ms", "p95_low_ms", "p95_high_ms"]


def store(folder: Path, run_id: str, day: int = 1, **others: Any) -> None:
    """A run made up and stored, started on this day of March."""
    started_at = f"2026-03-{day:02}T12:00:00+00:00"
    run = make_run(**{"target": TARGET, "per_s": 20} | others, run_id=run_id, started_at=started_at)
    path = RunFolder.create(folder, run.facts).path
    pq.write_table(pa.Table.from_pandas(run.requests, REQUESTS, preserve_index=False), path / "requests.parquet")
    (path / "owner").unlink()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs that were read for their figures."""
    names: list[str] = []

    def noting(runs: Path, run_id: str) -> object:
        names.append(run_id)
        return load_run(runs, run_id)

    monkeypatch.setattr(index, "load_run", noting)
    return names


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    store(folder, "the-third", day=3, seed=3)
    store(folder, "the-first", day=1, seed=1, failures=0.3, brief="PS-5.1", note="after the cache")
    store(folder, "the-second", day=2, seed=2, scenario="steady_rate")
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "runs"))


def test_every_run_has_a_row_for_each_endpoint_and_page_oldest_first(folder: Path) -> None:
    frame = history(folder)
    assert list(frame.columns) == ROWS.names
    assert frame["run_id"].tolist() == ["the-first"] * 3 + ["the-second"] * 2 + ["the-third"] * 3
    assert frame["endpoint"].tolist() == ["GET /a", "GET /b", "home", "GET /a", "GET /b", "GET /a", "GET /b", "home"]
    assert frame["started_at"].dtype == "datetime64[us, UTC]"
    assert frame.attrs["unreadable"] == {}


def test_the_figures_are_those_of_the_summary(folder: Path) -> None:
    frame = history(folder).set_index(["run_id", "endpoint"])
    for run_id in ("the-first", "the-second", "the-third"):
        for row in summarize(load_run(folder, run_id)).endpoints:
            stored = frame.loc[(run_id, row.endpoint)]
            for name in ("requests", "errors", "p50_ms", "p95_ms", "p99_ms", "max_ms", "judged_p95_ms", "target_ms"):
                expected = getattr(row, name)
                assert stored[name] == expected or (expected is None and math.isnan(stored[name])), name
            assert stored["meets_target"] is row.meets_target or stored["meets_target"] == row.meets_target
    assert frame.loc[("the-first", "GET /a"), "judged_p95_ms"] == math.inf


def test_a_run_long_enough_has_the_bootstrap_s_intervals_around_its_percentiles(tmp_path: Path) -> None:
    store(tmp_path, "a-minute", seconds=60.0, cold=0.05)
    frame = history(tmp_path).set_index("endpoint")
    run = load_run(tmp_path, "a-minute")
    rows = measured(run)
    for name, row in frame.iterrows():
        own = rows[(rows["endpoint"] == name) & rows["page"].isna() & ~rows["cold"]]
        at_s = (own["intended_ns"].to_numpy() - run.facts.parts[0].measured_from_ns) / 1e9
        p50, p95 = intervals(Series(at_s, judged_ms(own), 60.0), (0.50, 0.95))
        assert p50.interval is not None
        assert p95.interval is not None
        expected = [p50.interval.low, p50.interval.high, p95.interval.low, p95.interval.high]
        assert row[ENDS].tolist() == expected
        assert row["p50_low_ms"] < row["p50_ms"] < row["p50_high_ms"] < row["p95_low_ms"] < row["p95_ms"]
        assert row["p95_ms"] < row["p95_high_ms"]


def test_endpoints_measured_one_after_the_other_have_intervals_of_their_own_stretch(tmp_path: Path) -> None:
    store(tmp_path, "alone", scenario="baseline", seconds=60.0)
    frame = history(tmp_path)
    assert len(frame) == 3
    assert (frame["p95_low_ms"] < frame["p95_ms"]).all()
    assert (frame["p95_ms"] < frame["p95_high_ms"]).all()


def test_failures_push_an_interval_up_as_far_as_to_infinity(tmp_path: Path) -> None:
    store(tmp_path, "failing", seconds=60.0, failures=0.3)
    row = history(tmp_path).iloc[0]
    assert row["p50_low_ms"] > row["p50_ms"]
    assert row[["p95_low_ms", "p95_high_ms"]].tolist() == [math.inf, math.inf]


def test_a_run_below_50_seconds_has_no_interval(tmp_path: Path) -> None:
    store(tmp_path, "short", seconds=49.0)
    frame = history(tmp_path)
    assert frame["p95_ms"].notna().all()
    assert frame[ENDS].isna().all(axis=None)


def test_a_row_says_where_its_run_came_from(folder: Path) -> None:
    first = history(folder).iloc[0]
    assert (first["brief"], first["note"], first["git_commit"][:4]) == ("PS-5.1", "after the cache", "0123")
    assert (first["workload"], first["environment"]) == ("10 users, 10 s", "A made-up CPU, 2 cores, Linux 6.1 x86_64")
    assert history(folder, scenario="steady_rate").iloc[0]["workload"] == "50 requests/s, poisson, 10 s"


def test_a_second_look_reads_no_run_and_says_the_same(folder: Path, reads: list[str]) -> None:
    cold = history(folder)
    assert sorted(reads) == ["the-first", "the-second", "the-third"]
    warm = history(folder)
    assert len(reads) == 3
    pd.testing.assert_frame_equal(cold, warm)


def test_only_new_and_changed_runs_are_read_again_and_removed_ones_vanish(folder: Path, reads: list[str]) -> None:
    history(folder)
    reads.clear()
    store(folder, "the-fourth", day=4)
    noted = RunFolder(folder / "the-third")
    noted.write_facts(noted.read_facts().model_copy(update={"note": "written later"}))
    RunFolder(folder / "the-second").remove()
    frame = history(folder)
    assert reads == ["the-fourth", "the-third"]
    assert frame["run_id"].unique().tolist() == ["the-first", "the-third", "the-fourth"]
    assert set(frame.loc[frame["run_id"] == "the-third", "note"]) == {"written later"}
    assert set(pq.read_table(folder / INDEX)["run_id"].to_pylist()) == {"the-first", "the-third", "the-fourth"}


def test_a_changed_table_is_read_again(folder: Path, reads: list[str]) -> None:
    history(folder)
    reads.clear()
    path = folder / "the-third" / "requests.parquet"
    pq.write_table(pq.read_table(path).slice(0, 50), path)
    assert history(folder).query("run_id == 'the-third'")["requests"].sum() < 50
    assert reads == ["the-third"]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "other columns", "other version"])
def test_a_damaged_or_older_index_is_built_again(folder: Path, reads: list[str], damage: str) -> None:
    whole = history(folder)
    path = folder / INDEX
    table = pq.read_table(path)
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-20])
        case "noise":
            path.write_bytes(np.random.default_rng(1).bytes(5000))
        case "empty":
            path.write_bytes(b"")
        case "other columns":
            pq.write_table(table.drop_columns(["p95_ms"]), path)
        case _:
            pq.write_table(table.replace_schema_metadata({"perflib.index": "0"}), path)
    reads.clear()
    pd.testing.assert_frame_equal(history(folder), whole)
    assert len(reads) == 3
    history(folder)
    assert len(reads) == 3


def test_a_folder_that_cannot_be_written_has_no_index_and_the_same_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(index.pq, "write_table", refuse)
    refused = history(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["the-first", "the-second", "the-third"]
    monkeypatch.undo()
    pd.testing.assert_frame_equal(refused, history(folder))


def test_a_run_that_cannot_be_read_is_left_out_and_named(folder: Path) -> None:
    (folder / "the-first" / "run.json").write_text("{")
    (folder / "the-second" / "requests.parquet").write_bytes(b"PAR1 but no more")
    (folder / "a-folder-without-a-run").mkdir()
    for _ in range(2):
        frame = history(folder)
        assert frame["run_id"].unique().tolist() == ["the-third"]
        assert set(frame.attrs["unreadable"]) == {"the-first", "the-second"}
        assert "run.json" in frame.attrs["unreadable"]["the-first"]
    assert set(history(folder, endpoint="GET /a").attrs["unreadable"]) == {"the-first", "the-second"}


def test_a_run_under_way_is_left_out_and_an_abandoned_one_finished(tmp_path: Path) -> None:
    for name in ("under-way", "abandoned"):
        facts = make_run(TARGET).facts.model_copy(update={"run_id": name, "state": "running", "parts": ()})
        with Spool(RunFolder.create(tmp_path, facts).path / "requests.0.spool") as spool:
            for number in range(100):
                spool.append(number, number, number + 5, number + 1_000_000, 7, 0, 0, 0, -1, 200, -1, 0)
    (tmp_path / "abandoned" / "owner").write_text("999999999 0.0\n")
    frame = history(tmp_path)
    assert frame["run_id"].unique().tolist() == ["abandoned"]
    assert set(frame["state"]) == {"interrupted"}
    assert (tmp_path / "abandoned" / "requests.parquet").exists()
    assert (tmp_path / "under-way" / "requests.0.spool").exists()


def test_an_interrupted_build_keeps_what_it_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(runs: Path, run_id: str) -> object:
        if run_id == "the-third":
            raise KeyboardInterrupt
        return load_run(runs, run_id)

    monkeypatch.setattr(index, "load_run", stopped)
    with pytest.raises(KeyboardInterrupt):
        history(folder)
    assert set(pq.read_table(folder / INDEX)["run_id"].to_pylist()) == {"the-first", "the-second"}


def test_two_processes_at_once_both_get_the_whole_history(folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool:
        frames = pool.map(history, [folder] * 2, chunksize=1)
    for frame in frames:
        pd.testing.assert_frame_equal(frame, frames[0])
    assert [path.name for path in folder.iterdir() if path.is_file()] == [INDEX]
    pd.testing.assert_frame_equal(history(folder), frames[0])


def test_the_index_does_no_harm_among_the_runs(folder: Path) -> None:
    history(folder)
    assert len(list_runs(folder)) == 3
    assert len(pd.concat(map(pd.read_parquet, folder.glob("*/requests.parquet")))) > 0


@pytest.mark.parametrize("missing", [True, False], ids=["no folder", "an empty one"])
def test_without_runs_the_frame_is_empty_and_has_its_columns(tmp_path: Path, missing: bool) -> None:
    where = tmp_path / "runs" if missing else tmp_path
    frame = history(where, scenario="light_load", environment="cpu", since="2026-01-01")
    assert list(frame.columns) == ROWS.names
    assert frame.empty
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"scenario": "light_load"}, {"the-first", "the-third"}),
        ({"endpoint": "home"}, {"the-first", "the-third"}),
        ({"environment": "MADE-UP cpu"}, {"the-first", "the-second", "the-third"}),
        ({"environment": "other"}, set()),
        ({"since": "2026-03-02"}, {"the-second", "the-third"}),
        ({"until": "2026-03-02"}, {"the-first", "the-second"}),
        ({"until": "2026-03-02 11:00"}, {"the-first"}),
        ({"since": "2026-03-02T14:00+02:00", "until": "2026-03-02"}, {"the-second"}),
    ],
)
def test_a_filter_keeps_what_it_says(folder: Path, filters: dict[str, str], expected: set[str]) -> None:
    assert set(history(folder, **filters)["run_id"]) == expected


@pytest.mark.parametrize("text", ["yesterday-ish", "2026-13-01", "nan"])
def test_a_date_that_is_none_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(InputError, match=f"since: '{text}' is no date; write it as 2026-03-01"):
        history(folder, since=text)


def test_the_frame_exports_to_csv_and_parquet(folder: Path, tmp_path: Path) -> None:
    frame = history(folder)
    frame.to_csv(tmp_path / "history.csv", index=False)
    frame.to_parquet(tmp_path / "history.parquet")
    assert len(pd.read_csv(tmp_path / "history.csv")) == len(frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "history.parquet"), frame)
