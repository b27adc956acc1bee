"""SQL over the stored runs: the views have what the runs have, and a query reaches and changes nothing else."""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perflib.figures.row import figures_of
from perflib.spec import InputError
from perflib.store.failures import FAILURES
from perflib.store.figures import history
from perflib.store.query import query
from perflib.store.runs import REQUESTS, RunFolder
from tests.synthetic import make_run, make_target, sampled

TARGET = make_target("GET /a", "GET /b", page="home")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: one of them sampled, one with failures of which a sample is kept, one in a renamed folder."""
    folder = tmp_path_factory.mktemp("runs")
    for number, failures in enumerate((0.0, 0.1, 0.0), 1):
        run = make_run(
            TARGET, seed=number, failures=failures, run_id=f"r{number}", started_at=f"2026-03-0{number}T12:00:00+00:00"
        )
        path = RunFolder.create(folder, run.facts).path
        pq.write_table(pa.Table.from_pandas(run.requests, REQUESTS, preserve_index=False), path / "requests.parquet")
        (path / "owner").unlink()
    memory = sampled(run, 2.0).memory
    assert memory is not None
    memory.to_parquet(folder / "r3/memory.parquet")
    sample = {
        "run_id": "r2",
        "endpoint": "GET /a",
        "kind": "status",
        "status": 500,
        "t_ns": 1,
        "reason": "",
        "body": "no",
    }
    failed = pa.Table.from_pylist([sample | {"content_type": "", "headers": [("A", "b")]}], FAILURES)
    pq.write_table(failed, folder / "r2/failures.parquet")
    (folder / "r3").rename(folder / "renamed")
    return folder


def asked(folder: Path, statement: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = query(folder, figures_of, statement).to_dict("records")
    return found


def test_the_figures_are_those_of_the_history(runs: Path) -> None:
    pd.testing.assert_frame_equal(
        query(runs, figures_of, "SELECT run_id, endpoint, p95_ms, setup FROM figures"),
        history(runs, figures_of)[["run_id", "endpoint", "p95_ms", "setup"]],
        check_dtype=False,
    )


def test_a_run_is_a_row_with_its_requests_and_failures(runs: Path) -> None:
    rows = asked(runs, "SELECT run_id, scenario, requests, errors FROM runs ORDER BY run_id")
    stored = pd.read_parquet(runs / "r2/requests.parquet")
    own = stored[(stored["kind"] == "request") & stored["page"].isna() & ~stored["warmup"]]
    assert [row["run_id"] for row in rows] == ["r1", "r2", "r3"]
    assert rows[1] == {
        "run_id": "r2", "scenario": "light_load", "requests": len(own), "errors": int(own["error"].notna().sum())
    }  # fmt: skip


def test_the_requests_are_all_there_with_their_time(runs: Path) -> None:
    [row] = asked(runs, "SELECT count(*) AS n, max(ms) AS most FROM requests WHERE run_id = 'r3'")
    stored = pd.read_parquet(runs / "renamed/requests.parquet")
    assert row["n"] == len(stored)
    assert row["most"] == pytest.approx((stored["end_ns"] - stored["intended_ns"]).max() / 1e6)
    unanswered = "SELECT count(ms) AS n FROM requests WHERE end_ns < 0"
    assert asked(runs, unanswered) == [{"n": 0}]


def test_memory_and_failures_know_their_run_though_its_folder_was_renamed(runs: Path) -> None:
    assert {row["run_id"] for row in asked(runs, "SELECT DISTINCT run_id FROM memory")} == {"r3"}
    [failure] = asked(runs, "SELECT run_id, status, body FROM failures")
    assert failure == {"run_id": "r2", "status": 500, "body": "no"}


def test_views_join(runs: Path) -> None:
    joined = "SELECT count(*) AS n FROM requests JOIN runs USING (run_id) WHERE scenario = 'light_load'"
    assert asked(runs, joined) == asked(runs, "SELECT count(*) AS n FROM requests")


def test_a_workbook_without_runs_has_the_same_columns(runs: Path, tmp_path: Path) -> None:
    for view in ("runs", "figures", "requests", "memory", "failures"):
        empty = query(tmp_path / "none", figures_of, f"SELECT * FROM {view}")
        assert empty.empty
        assert {*query(runs, figures_of, f"SELECT * FROM {view}").columns} <= {*empty.columns}


def test_the_views_are_listed_and_described(runs: Path) -> None:
    assert {"runs", "figures", "requests", "memory", "failures"} <= {row["name"] for row in asked(runs, "SHOW TABLES")}
    assert "ms" in {row["column_name"] for row in asked(runs, "DESCRIBE requests")}


@pytest.mark.parametrize(
    "statement",
    [
        "COPY runs TO '{runs}/r1/requests.parquet'",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SET memory_limit = '9GB'",
        "ATTACH '{runs}/x.db'",
        "EXPORT DATABASE '{runs}/x'",
        "INSTALL httpfs",
        "",
        "-- nothing",
    ],
)
def test_nothing_but_one_select_is_taken(runs: Path, statement: str) -> None:
    before = digests(runs)
    with pytest.raises(InputError, match="takes one SELECT statement alone"):
        asked(runs, statement.format(runs=runs))
    assert digests(runs) == before


@pytest.mark.parametrize(
    "source", ["read_text('/etc/hostname')", "read_csv('/etc/hostname')", "'/etc/hostname'", "glob('/etc/*')"]
)
def test_no_file_but_those_of_the_runs_is_read(runs: Path, source: str) -> None:
    with pytest.raises(InputError, match=r"query: .*(disabled by configuration|does not exist)"):
        asked(runs, f"SELECT * FROM {source}")


def test_variables_of_the_caller_are_no_tables(runs: Path) -> None:
    secret = pd.DataFrame({"token": ["x"]})
    with pytest.raises(InputError, match="secret"):
        asked(runs, "SELECT * FROM secret")
    assert len(secret) == 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT p95 FROM figures", "p95_ms"),
        ("SELECT * FROM request", "the views are runs, figures, requests, memory, failures"),
        ("SELECT 'a' + 1", "query: "),
    ],
)
def test_a_mistake_is_told_in_one_line_with_what_there_is(runs: Path, statement: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(runs, statement)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_query_that_needs_too_much_memory_is_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflib.store.query.MOST_BYTES", 50_000_000)
    with pytest.raises(InputError, match=r"more than 0\.05 GB of memory; narrow it"):
        asked(runs, "SELECT range FROM range(50000000) ORDER BY hash(range)")


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
