"""The history reads each stored run once, trusts the runs over its table, and stays whole whatever becomes of it."""

import math
import multiprocessing
import shutil
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perflib.figures.row import figures_of
from perflib.figures.summary import judged_ms, measured, summarize
from perflib.spec import InputError, Run
from perflib.spec.figures import FigureRow
from perflib.stats.bootstrap import Series, intervals
from perflib.store import figures, table
from perflib.store.figures import FIGURES, history, write_figures
from perflib.store.runs import REQUESTS, RunFolder, load_run
from perflib.store.spool import Spool
from perflib.store.table import ROWS, TABLE_NAME
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


def seal(folder: Path, run_id: str, **others: Any) -> None:
    """The same, its figures written at the end."""
    store(folder, run_id, **others)
    write_figures(folder / run_id, figures_of(load_run(folder, run_id)))


def history_of(folder: Path, **filters: str) -> pd.DataFrame:
    """What a user gets."""
    return history(folder, figures_of, **filters)


def spoil_requests(folder: Path) -> None:
    """Make every run's requests unreadable, by nothing that a look at the folder tells."""
    for path in folder.glob("*/requests.parquet"):
        path.write_bytes(bytes(path.stat().st_size))


def folders_in_the_table(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / TABLE_NAME)) as file:
        return {name for (name,) in file.execute("SELECT DISTINCT folder FROM figures")}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs whose requests were read."""
    names: list[str] = []
    load = RunFolder.load

    def noting(run: RunFolder) -> Run:
        names.append(run.path.name)
        return load(run)

    monkeypatch.setattr(RunFolder, "load", noting)
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
    frame = history_of(folder)
    assert list(frame.columns) == ROWS.names
    assert frame["run_id"].tolist() == ["the-first"] * 3 + ["the-second"] * 2 + ["the-third"] * 3
    assert frame["endpoint"].tolist() == ["GET /a", "GET /b", "home", "GET /a", "GET /b", "GET /a", "GET /b", "home"]
    assert frame["started_at"].dtype == "datetime64[us, UTC]"
    assert frame.attrs["unreadable"] == {}


def test_the_figures_are_those_of_the_summary(folder: Path) -> None:
    frame = history_of(folder).set_index(["run_id", "endpoint"])
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
    frame = history_of(tmp_path).set_index("endpoint")
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
    frame = history_of(tmp_path)
    assert len(frame) == 3
    assert (frame["p95_low_ms"] < frame["p95_ms"]).all()
    assert (frame["p95_ms"] < frame["p95_high_ms"]).all()


def test_failures_push_an_interval_up_as_far_as_to_infinity(tmp_path: Path) -> None:
    store(tmp_path, "failing", seconds=60.0, failures=0.3)
    row = history_of(tmp_path).iloc[0]
    assert row["p50_low_ms"] > row["p50_ms"]
    assert row[["p95_low_ms", "p95_high_ms"]].tolist() == [math.inf, math.inf]


def test_a_run_below_50_seconds_has_no_interval(tmp_path: Path) -> None:
    store(tmp_path, "short", seconds=49.0)
    frame = history_of(tmp_path)
    assert frame["p95_ms"].notna().all()
    assert frame[ENDS].isna().all(axis=None)


def test_a_row_says_where_its_run_came_from(folder: Path) -> None:
    first = history_of(folder).iloc[0]
    assert (first["brief"], first["note"], first["git_commit"][:4]) == ("PS-5.1", "after the cache", "0123")
    assert (first["workload"], first["environment"]) == ("10 users, 10 s", "A made-up CPU, 2 cores, Linux 6.1 x86_64")
    assert history_of(folder, scenario="steady_rate").iloc[0]["workload"] == "50 requests/s, poisson, 10 s"


def test_a_second_look_reads_no_run_and_says_the_same(folder: Path, reads: list[str]) -> None:
    cold = history_of(folder)
    assert sorted(reads) == ["the-first", "the-second", "the-third"]
    warm = history_of(folder)
    assert len(reads) == 3
    pd.testing.assert_frame_equal(cold, warm)


def test_only_new_and_changed_runs_are_read_again_and_removed_ones_vanish(folder: Path, reads: list[str]) -> None:
    history_of(folder)
    reads.clear()
    store(folder, "the-fourth", day=4)
    noted = RunFolder(folder / "the-third")
    noted.write_facts(noted.read_facts().model_copy(update={"note": "written later"}))
    RunFolder(folder / "the-second").remove()
    frame = history_of(folder)
    assert reads == ["the-fourth", "the-third"]
    assert frame["run_id"].unique().tolist() == ["the-first", "the-third", "the-fourth"]
    assert set(frame.loc[frame["run_id"] == "the-third", "note"]) == {"written later"}
    assert folders_in_the_table(folder) == {"the-first", "the-third", "the-fourth"}


def test_a_changed_table_is_read_again(folder: Path, reads: list[str]) -> None:
    history_of(folder)
    reads.clear()
    path = folder / "the-third" / "requests.parquet"
    pq.write_table(pq.read_table(path).slice(0, 50), path)
    assert history_of(folder).query("run_id == 'the-third'")["requests"].sum() < 50
    assert reads == ["the-third"]


@pytest.mark.parametrize("damage", ["cut", "noise", "noise within", "empty", "other columns", "other table"])
def test_a_damaged_or_older_table_is_built_again(folder: Path, reads: list[str], damage: str) -> None:
    whole = history_of(folder)
    path = folder / TABLE_NAME
    noise = np.random.default_rng(1).bytes(5000)
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "noise":
            path.write_bytes(noise)
        case "noise within":
            path.write_bytes(path.read_bytes()[:4096] + noise + path.read_bytes()[4096 + len(noise) :])
        case "empty":
            path.write_bytes(b"")
        case _:
            older = "DROP COLUMN p95_ms" if damage == "other columns" else "RENAME TO runs"
            with closing(sqlite3.connect(path)) as file:
                file.execute(f"ALTER TABLE figures {older}")
    reads.clear()
    pd.testing.assert_frame_equal(history_of(folder), whole)
    assert len(reads) == 3
    history_of(folder)
    assert len(reads) == 3


def test_a_table_damaged_since_is_no_hindrance_to_the_next_seal(folder: Path) -> None:
    history_of(folder)
    (folder / TABLE_NAME).write_bytes(b"noise" * 1000)
    with suppress(sqlite3.DatabaseError):
        seal(folder, "the-fourth", day=4)
    assert history_of(folder)["run_id"].nunique() == 4


def test_a_folder_that_cannot_be_written_has_no_table_and_the_same_figures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(figures, "change_table", refuse)
    refused = history_of(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["the-first", "the-second", "the-third"]
    monkeypatch.undo()
    pd.testing.assert_frame_equal(refused, history_of(folder))


def test_a_run_that_cannot_be_read_is_left_out_and_named(folder: Path) -> None:
    (folder / "the-first" / "run.json").write_text("{")
    (folder / "the-second" / "requests.parquet").write_bytes(b"PAR1 but no more")
    (folder / "a-folder-without-a-run").mkdir()
    for _ in range(2):
        frame = history_of(folder)
        assert frame["run_id"].unique().tolist() == ["the-third"]
        assert set(frame.attrs["unreadable"]) == {"the-first", "the-second"}
        assert "run.json" in frame.attrs["unreadable"]["the-first"]
    assert set(history_of(folder, endpoint="GET /a").attrs["unreadable"]) == {"the-first", "the-second"}


def test_a_run_under_way_is_left_out_and_an_abandoned_one_finished(tmp_path: Path) -> None:
    for name in ("under-way", "abandoned"):
        facts = make_run(TARGET).facts.model_copy(update={"run_id": name, "state": "running", "parts": ()})
        with Spool(RunFolder.create(tmp_path, facts).path / "requests.0.spool") as spool:
            for number in range(100):
                spool.append(number, number, number + 5, number + 1_000_000, 7, 0, 0, 0, 0, 0, -1, 0, -1, 200, -1, 0)
    (tmp_path / "abandoned" / "owner").write_text("999999999 0.0\n")
    frame = history_of(tmp_path)
    assert frame["run_id"].unique().tolist() == ["abandoned"]
    assert set(frame["state"]) == {"interrupted"}
    assert (tmp_path / "abandoned" / "requests.parquet").exists()
    assert (tmp_path / "under-way" / "requests.0.spool").exists()


def test_an_interrupted_build_keeps_what_it_read(folder: Path) -> None:
    def stopped(run: Run) -> tuple[FigureRow, ...]:
        if run.facts.run_id == "the-third":
            raise KeyboardInterrupt
        return figures_of(run)

    with pytest.raises(KeyboardInterrupt):
        history(folder, stopped)
    assert folders_in_the_table(folder) == {"the-first", "the-second"}


def test_processes_at_once_all_get_the_whole_history(folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool:
        frames = pool.map(partial(history, figures_of=figures_of), [folder] * 4, chunksize=1)
    for frame in frames:
        pd.testing.assert_frame_equal(frame, frames[0])
    assert [path.name for path in folder.iterdir() if path.is_file()] == [TABLE_NAME]
    pd.testing.assert_frame_equal(history_of(folder), frames[0])


def test_a_table_that_another_process_writes_for_long_is_done_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = history_of(folder)
    monkeypatch.setattr(table, "PATIENCE_S", 0.05)
    store(folder, "the-fourth", day=4)
    with closing(sqlite3.connect(folder / TABLE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert len(history_of(folder)) == len(whole) + 3
    assert len(history_of(folder)) == len(whole) + 3


def test_the_table_does_no_harm_among_the_runs(folder: Path) -> None:
    history_of(folder)
    assert len(pd.concat(map(pd.read_parquet, folder.glob("*/requests.parquet")))) > 0


def test_a_sealed_run_s_figures_are_a_table_that_plain_pandas_reads(tmp_path: Path) -> None:
    seal(tmp_path, "sealed", seconds=60.0)
    rows = pd.read_parquet(tmp_path / "sealed" / FIGURES).astype({"meets_target": "boolean"})
    assert rows["endpoint"].tolist() == ["GET /a", "GET /b", "home"]
    pd.testing.assert_frame_equal(rows, history_of(tmp_path))


@pytest.mark.parametrize("table_lost", [False, True], ids=["with the table", "without it"])
def test_the_history_of_sealed_runs_opens_no_requests(tmp_path: Path, table_lost: bool) -> None:
    seal(tmp_path, "one", day=1)
    seal(tmp_path, "two", day=2, failures=0.3)
    expected = [row.p95_ms for name in ("one", "two") for row in summarize(load_run(tmp_path, name)).endpoints]
    spoil_requests(tmp_path)
    if table_lost:
        (tmp_path / TABLE_NAME).unlink()
    frame = history_of(tmp_path)
    assert frame["p95_ms"].tolist() == expected
    assert frame.attrs["unreadable"] == {}


def test_a_warm_history_of_runs_of_before_opens_no_requests_either(folder: Path) -> None:
    cold = history_of(folder)
    stamps = {path: path.stat() for path in folder.glob("*/requests.parquet")}
    spoil_requests(folder)
    assert [path.stat().st_size for path in stamps] == [stat.st_size for stat in stamps.values()]
    pd.testing.assert_frame_equal(history_of(folder), cold)


def test_the_figures_of_a_run_of_before_go_into_the_table_and_not_into_its_folder(folder: Path) -> None:
    before = sorted(folder.glob("*/*"))
    history_of(folder)
    assert sorted(folder.glob("*/*")) == before


def test_figures_of_another_form_or_of_other_files_are_computed_anew(tmp_path: Path, reads: list[str]) -> None:
    for name in ("older", "changed", "cut"):
        seal(tmp_path, name)
    older = tmp_path / "older" / FIGURES
    pq.write_table(pq.read_table(older, partitioning=None).drop_columns(["setup"]), older)
    noted = RunFolder(tmp_path / "changed")
    noted.write_facts(noted.read_facts().model_copy(update={"note": "written later"}))
    (tmp_path / "cut" / FIGURES).write_bytes(b"PAR1")
    (tmp_path / TABLE_NAME).unlink()
    reads.clear()
    frame = history_of(tmp_path)
    assert sorted(reads) == ["changed", "cut", "older"]
    assert set(frame.loc[frame["run_id"] == "changed", "note"]) == {"written later"}


def test_a_torn_or_mutated_figures_file_is_never_a_wrong_figure(tmp_path: Path) -> None:
    seal(tmp_path, "run", seconds=60.0)
    whole, path, rng = history_of(tmp_path), tmp_path / "run" / FIGURES, np.random.default_rng(3)
    written = path.read_bytes()
    for _ in range(100):
        mutated = bytearray(written[: int(rng.integers(len(written) * 2))])
        for place in rng.integers(len(mutated), size=rng.integers(4)) if mutated else ():
            mutated[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutated)
        (tmp_path / TABLE_NAME).unlink()
        pd.testing.assert_frame_equal(history_of(tmp_path), whole)


def test_a_copied_runs_folder_keeps_its_figures_though_its_files_are_newer(tmp_path: Path, reads: list[str]) -> None:
    seal(tmp_path / "here", "run")
    shutil.copytree(tmp_path / "here" / "run", tmp_path / "there" / "run", copy_function=shutil.copyfile)
    reads.clear()
    pd.testing.assert_frame_equal(history_of(tmp_path / "there"), history_of(tmp_path / "here"))
    assert reads == []


def test_a_copied_run_is_counted_once_and_named(folder: Path) -> None:
    before = history_of(folder)
    shutil.copytree(folder / "the-first", folder / "a-copy")
    for _ in range(2):
        frame = history_of(folder)
        pd.testing.assert_frame_equal(frame, before)
        assert frame.attrs["unreadable"] == {
            "a-copy": "a copy of run the-first, which is counted once; remove this folder or the-first"
        }
    shutil.rmtree(folder / "the-first")
    renamed = history_of(folder)
    assert renamed.attrs["unreadable"] == {}
    assert set(renamed["run_id"]) == {"the-first", "the-second", "the-third"}


@pytest.mark.parametrize("missing", [True, False], ids=["no folder", "an empty one"])
def test_without_runs_the_frame_is_empty_and_has_its_columns(tmp_path: Path, missing: bool) -> None:
    where = tmp_path / "runs" if missing else tmp_path
    frame = history_of(where, scenario="light_load", environment="cpu", since="2026-01-01")
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
    assert set(history_of(folder, **filters)["run_id"]) == expected


@pytest.mark.parametrize("text", ["yesterday-ish", "2026-13-01", "nan"])
def test_a_date_that_is_none_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(InputError, match=f"since: '{text}' is no date; write it as 2026-03-01"):
        history_of(folder, since=text)


def test_the_frame_exports_to_csv_and_parquet(folder: Path, tmp_path: Path) -> None:
    frame = history_of(folder)
    frame.to_csv(tmp_path / "history.csv", index=False)
    frame.to_parquet(tmp_path / "history.parquet")
    assert len(pd.read_csv(tmp_path / "history.csv")) == len(frame)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "history.parquet"), frame)
