"""`check` and `compare` beside what is stored: which runs serve, which command mends, and what is never opened."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perflib.cli.app import main
from perflib.figures.row import figures_of
from perflib.store import figures, table
from perflib.store.runs import REQUESTS, RunFolder
from tests.synthetic import make_run, make_target
from tests.workbooks import entered

if TYPE_CHECKING:
    from pathlib import Path

    from perflib.spec import Run

OTHERS, ENDPOINTS = 1_000, 10
ASKED = {"target": "shop.toml", "profile": "quick"}


def a_run(day: int, slower: float = 1.0) -> Run:
    moment = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(day, "D")
    run = make_run(
        make_target("GET /a", target_ms=None),
        seconds=3.0,
        per_s=100.0,
        seed=day,
        run_id=f"day-{day}",
        started_at=moment.isoformat(),
        slowdown=lambda at_s: slower + 0 * at_s,
    )
    return replace(run, facts=run.facts.replaced(asked=ASKED))


def store(runs: Path, run: Run) -> None:
    path = RunFolder.create(runs, run.facts).path
    pq.write_table(pa.Table.from_pandas(run.requests, REQUESTS, preserve_index=False), path / "requests.parquet")
    (path / "owner").unlink()
    figures.write_figures(path, figures_of(run))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs of a workbook: ten of a shop, one a day, the eleventh twice as slow."""
    folder = entered(tmp_path, monkeypatch, "") / "data" / "runs"
    for day in range(10):
        store(folder, a_run(day))
    store(folder, a_run(10, slower=2.0))
    return folder


def fill(runs: Path, like: Run) -> None:
    """Beside them 10,000 rows of figures of other targets, in folders that hold nothing else."""
    [row] = figures_of(like)
    others = []
    for number in range(OTHERS):
        (path := runs / f"other-{number}").mkdir()
        (path / "run.json").write_text("{}")
        own = replace(row, run_id=path.name, target="other", setup="0" * 16)
        rows = tuple(replace(own, endpoint=f"GET /{place}") for place in range(ENDPOINTS))
        others.append(table.Kept(path.name, figures._stamp(path), rows))
    table.change_table(runs / table.TABLE_NAME, [], table.as_table(others))


def test_a_check_beside_ten_thousand_rows_of_other_targets_opens_no_run_but_its_own(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(runs, a_run(10))
    opened, rows_read, load, columns = [], [], RunFolder.load, table._columns
    monkeypatch.setattr(RunFolder, "load", lambda run: opened.append(run.path.name) or load(run))
    monkeypatch.setattr(table, "_columns", lambda rows: rows_read.append(len(rows)) or columns(rows))
    assert main(["check", "day-9", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["against"]["runs"] == [f"day-{day}" for day in range(9)]
    assert opened == ["day-9"]
    assert max(rows_read) == 11


def test_a_slower_run_fails_only_where_the_history_was_asked_for(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "day-10"]) == 0
    told = capsys.readouterr().out
    assert "slower than the history" in told
    assert "`perflib check --against history light_load --target shop.toml --profile quick`" in told
    assert main(["check", "day-10", "--against", "history"]) == 1
    assert main(["check", "day-10", "--against", "day-8"]) == 1
    assert main(["check", "day-9", "--against", "day-8"]) == 0


def test_a_required_baseline_that_lacks_exits_3_with_the_command_that_records_it(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "day-9", "--require-baseline"]) == 3
    assert (
        "`perflib baseline record light_load --target shop.toml --profile quick` makes one" in capsys.readouterr().out
    )


def test_what_is_neither_a_kind_of_knowledge_nor_a_run_is_wrong_use(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "day-9", "--against", "yesterday"]) == 2
    assert "--against 'yesterday': neither baseline, nor history, nor a stored run" in capsys.readouterr().err


def test_two_stored_runs_are_compared_by_the_runs_beside_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "day-9", "day-10"]) == 1
    assert "B answers GET /a in" in capsys.readouterr().out
    assert main(["compare", "day-8", "day-9"]) in (0, 3)
