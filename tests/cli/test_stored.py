"""What is done with stored runs from the shell: asked in SQL, removed, looked for in vain."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from perflib.judge.baseline import baseline_of
from perflib.spec.baselines import Baselines
from perflib.store.runs import RunFolder, load_run
from tests.cli.test_cli import ROOT

RUNS = ("sample-01-release-1.0", "sample-02-release-1.0", "sample-03-release-1.0")


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    """A workbook with three runs that were measured."""
    (tmp_path / "performance_baselines.json").write_text('{"schema_version": 2, "baselines": []}')
    for name in RUNS:
        shutil.copytree(ROOT / "data/runs" / name, tmp_path / "data/runs" / name)
    return tmp_path


def perflib(workbook: Path, *words: str, answers: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; with `answers` on a terminal that gives them."""
    environment = {key: value for key, value in os.environ.items() if key != "PERFLIB_DATA"}
    command = [sys.executable, "-m", "perflib", *words]
    theirs, ours = pty.openpty()
    if answers is not None:
        os.write(theirs, answers.encode())
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL if answers is None else ours,
            check=False, capture_output=True, cwd=workbook, env=environment, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(ours)


def stored(workbook: Path) -> list[str]:
    return sorted(path.name for path in (workbook / "data/runs").iterdir() if path.is_dir())


def test_a_query_is_printed_as_a_table_csv_or_json_and_written_to_a_file(workbook: Path) -> None:
    statement = "SELECT endpoint, count(*) AS n FROM requests GROUP BY ALL ORDER BY n DESC, endpoint LIMIT 2"
    table, as_csv = (perflib(workbook, "query", statement, "--format", form).stdout for form in ("table", "csv"))
    records = json.loads(perflib(workbook, "query", statement, "--format", "json").stdout)
    assert len(records) == 2
    assert [line.rpartition(",") for line in as_csv.splitlines()[1:]] == [
        (one["endpoint"], ",", str(one["n"])) for one in records
    ]
    assert table.splitlines()[0].split() == ["endpoint", "n"]
    done = perflib(workbook, "query", statement, "--format", "parquet", "-o", "found.parquet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 rows are in found.parquet\n")
    assert pd.read_parquet(workbook / "found.parquet").to_dict("records") == records


def test_a_long_answer_is_cut_on_the_terminal_and_whole_as_csv(workbook: Path) -> None:
    statement = "SELECT range AS i FROM range(1000)"
    assert perflib(workbook, "query", statement).stdout.rstrip().endswith("- 900 rows more")
    assert len(perflib(workbook, "query", statement, "--format", "csv").stdout.splitlines()) == 1001
    assert "No row was found." in perflib(workbook, "query", "SELECT 1 WHERE false").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("DROP TABLE runs",), "takes one SELECT statement alone"),
        (("SELECT 1", "--format", "parquet"), "name it: -o FILE"),
        (("SELECT 1", "-o", "data/runs/sample-01-release-1.0/run.json"), "lies among the stored runs"),
        (("SELECT 1", "-o", "data"), "is a folder"),
        (("SELECT 1", "-o", "missing/x.csv"), "its folder is missing"),
    ],
)
def test_a_query_that_cannot_be_is_one_line(workbook: Path, words: tuple[str, ...], says: str) -> None:
    done = perflib(workbook, "query", *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert says in done.stderr
    assert load_run(workbook / "data/runs", RUNS[0]).facts.run_id == RUNS[0]


def test_a_run_is_removed_after_a_yes_and_stays_after_anything_else(workbook: Path) -> None:
    done = perflib(workbook, "rm", RUNS[0], answers="\n")
    assert (done.returncode, stored(workbook)) == (0, [*RUNS])
    assert f"Remove {RUNS[0]}, " in done.stderr
    assert done.stderr.endswith("[y/N] nothing was removed\n")
    done = perflib(workbook, "rm", RUNS[0], RUNS[1], answers="y\n")
    assert (done.returncode, stored(workbook)) == (0, [RUNS[2]])
    assert RUNS[0] not in perflib(workbook, "history").stdout


def test_without_a_terminal_nothing_is_removed_unless_yes_is_said(workbook: Path) -> None:
    done = perflib(workbook, "rm", RUNS[0])
    assert (done.returncode, stored(workbook)) == (2, [*RUNS])
    assert "--yes goes on without asking" in done.stderr
    assert perflib(workbook, "rm", RUNS[0], "--yes").returncode == 0
    assert stored(workbook) == [*RUNS[1:]]


def test_a_run_of_a_baseline_is_never_removed(workbook: Path) -> None:
    recorded = Baselines().with_entry(baseline_of([load_run(workbook / "data/runs", RUNS[0])]))
    (workbook / "performance_baselines.json").write_text(recorded.model_dump_json())
    done = perflib(workbook, "rm", RUNS[0], "--yes")
    assert (done.returncode, stored(workbook)) == (2, [*RUNS])
    assert "a baseline of light_load stands on it" in done.stderr
    done = perflib(workbook, "prune", "--keep", "1", "--yes")
    assert (done.returncode, stored(workbook)) == (0, [RUNS[0], RUNS[2]])
    assert "1 older runs stay" in done.stderr


def test_prune_keeps_the_newest(workbook: Path) -> None:
    done = perflib(workbook, "prune", "--keep", "2", answers="y\n")
    assert (done.returncode, stored(workbook)) == (0, [*RUNS[1:]])
    assert "Remove 1 runs" in done.stderr
    done = perflib(workbook, "prune")
    assert (done.returncode, done.stderr) == (0, "nothing to remove: no other run is older than the newest 100\n")


def test_a_run_under_way_is_not_removed(workbook: Path) -> None:
    facts = load_run(workbook / "data/runs", RUNS[0]).facts.replaced(run_id="under-way", state="running")
    with RunFolder.create(workbook / "data/runs", facts):
        done = perflib(workbook, "rm", "under-way", "--yes")
        assert done.returncode == 2
        assert "under-way: is under way" in done.stderr
        assert "under-way" in stored(workbook)
    assert perflib(workbook, "rm", "no-such", "--yes").returncode == 2
    assert perflib(workbook, "rm", "../..", "--yes").returncode == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--endpoint", "GET"), "No stored run has the endpoint 'GET'; there are GET /clients, GET /health, "),
        (("--scenario", "spike"), "No stored run has the scenario 'spike'; there are light_load."),
        (("--target", "shop"), "No stored run has the target 'shop'; there are dashboard."),
        (("--since", "2030-01-01"), "there are runs of 2026-11-23 to 2026-11-23"),
    ],
)
def test_a_filter_that_leaves_no_run_says_what_there_is(workbook: Path, words: tuple[str, ...], says: str) -> None:
    done = perflib(workbook, "history", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
