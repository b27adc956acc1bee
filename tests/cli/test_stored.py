"""What is done with stored runs from the shell: asked in SQL, removed, looked for in vain."""

import io
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from perflib.cli.app import main
from perflib.judge.baseline import baseline_of
from perflib.spec.baselines import Baselines
from perflib.store.runs import RunFolder, load_run
from tests.cli.test_cli import ROOT

RUNS = ("sample-01-release-1.0", "sample-02-release-1.0", "sample-03-release-1.0")


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


class Terminal(io.StringIO):
    """A user who answers."""

    def isatty(self) -> bool:
        return True


class Shell:
    """A workbook with three runs that were measured, and the commands given in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, out: pytest.CaptureFixture[str]) -> None:
        self.folder, self._out, self._monkeypatch = folder, out, monkeypatch
        (folder / "performance_baselines.json").write_text('{"schema_version": 2, "baselines": []}')
        for name in RUNS:
            shutil.copytree(ROOT / "data/runs" / name, self.runs / name)
        monkeypatch.chdir(folder)
        monkeypatch.delenv("PERFLIB_DATA", raising=False)

    @property
    def runs(self) -> Path:
        return self.folder / "data/runs"

    @property
    def stored(self) -> list[str]:
        return sorted(path.name for path in self.runs.iterdir() if path.is_dir())

    def perflib(self, *words: str, answers: str | None = None) -> Done:
        """Carry a command out; with `answers` on a terminal that gives them."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO() if answers is None else Terminal(answers))
        status = main(words)
        return Done(status, *self._out.readouterr())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


def test_a_query_is_printed_as_a_table_csv_or_json_and_written_to_a_file(shell: Shell) -> None:
    statement = "SELECT endpoint, count(*) AS n FROM requests GROUP BY ALL ORDER BY n DESC, endpoint LIMIT 2"
    table, as_csv = (shell.perflib("query", statement, "--format", form).stdout for form in ("table", "csv"))
    records = json.loads(shell.perflib("query", statement, "--format", "json").stdout)
    assert len(records) == 2
    assert [line.rpartition(",") for line in as_csv.splitlines()[1:]] == [
        (one["endpoint"], ",", str(one["n"])) for one in records
    ]
    assert table.splitlines()[0].split() == ["endpoint", "n"]
    done = shell.perflib("query", statement, "--format", "parquet", "-o", "found.parquet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 rows are in found.parquet\n")
    assert pd.read_parquet(shell.folder / "found.parquet").to_dict("records") == records


def test_a_long_answer_is_cut_on_the_terminal_and_whole_as_csv(shell: Shell) -> None:
    statement = "SELECT range AS i FROM range(1000)"
    assert shell.perflib("query", statement).stdout.rstrip().endswith("- 900 rows more")
    assert len(shell.perflib("query", statement, "--format", "csv").stdout.splitlines()) == 1001
    assert "No row was found." in shell.perflib("query", "SELECT 1 WHERE false").stdout


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
def test_a_query_that_cannot_be_is_one_line(shell: Shell, words: tuple[str, ...], says: str) -> None:
    done = shell.perflib("query", *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert says in done.stderr
    assert load_run(shell.runs, RUNS[0]).facts.run_id == RUNS[0]


def test_a_stored_run_is_shown_in_every_form(shell: Shell) -> None:
    shown = {
        form: shell.perflib("show", RUNS[0], "--format", form).stdout
        for form in ("table", "markdown", "short", "csv", "json")
    }
    run = json.loads(shown["json"])
    assert (run["run_id"], len(run["endpoints"])) == (RUNS[0], 4)
    assert shown["csv"].splitlines()[0].startswith("Endpoint,Requests,")
    assert len(shown["csv"].splitlines()) == 5
    assert "<details>" in shown["short"]
    assert "<details>" not in shown["markdown"]
    assert all("GET /clients" in text for text in shown.values())


def test_a_comparison_and_a_check_are_ten_lines_at_most_for_a_chat(shell: Shell) -> None:
    for words in (("compare", *RUNS[:2]), ("check", RUNS[0])):
        short = shell.perflib(*words, "--format", "short").stdout
        open_lines = short.partition("<details>")[0].strip().splitlines()
        assert 1 <= len(open_lines) <= 10
        assert "GET /clients" in short
        assert short.count("<details>") == short.count("</details>") == 1


def test_a_run_is_removed_after_a_yes_and_stays_after_anything_else(shell: Shell) -> None:
    done = shell.perflib("rm", RUNS[0], answers="\n")
    assert (done.returncode, shell.stored) == (0, [*RUNS])
    assert f"Remove {RUNS[0]}, " in done.stderr
    assert done.stderr.endswith("[y/N] nothing was removed\n")
    done = shell.perflib("rm", RUNS[0], RUNS[1], answers="y\n")
    assert (done.returncode, shell.stored) == (0, [RUNS[2]])
    assert RUNS[0] not in shell.perflib("history").stdout


def test_without_a_terminal_nothing_is_removed_unless_yes_is_said(shell: Shell) -> None:
    done = shell.perflib("rm", RUNS[0])
    assert (done.returncode, shell.stored) == (2, [*RUNS])
    assert "--yes goes on without asking" in done.stderr
    assert shell.perflib("rm", RUNS[0], "--yes").returncode == 0
    assert shell.stored == [*RUNS[1:]]


def test_a_run_of_a_baseline_is_never_removed(shell: Shell) -> None:
    recorded = Baselines().with_entry(baseline_of([load_run(shell.runs, RUNS[0])]))
    (shell.folder / "performance_baselines.json").write_text(recorded.model_dump_json())
    done = shell.perflib("rm", RUNS[0], "--yes")
    assert (done.returncode, shell.stored) == (2, [*RUNS])
    assert "a baseline of light_load was made from it" in done.stderr
    shell.runs.joinpath(RUNS[0]).rename(shell.runs / "renamed")
    assert shell.perflib("rm", "renamed", "--yes").returncode == 2
    (shell.runs / "renamed").rename(shell.runs / RUNS[0])
    done = shell.perflib("prune", "--keep", "1", "--yes")
    assert (done.returncode, shell.stored) == (0, [RUNS[0], RUNS[2]])
    assert "older runs that stay, because baselines were made from them: 1" in done.stderr


def test_prune_keeps_the_newest(shell: Shell) -> None:
    done = shell.perflib("prune", "--keep", "2", answers="y\n")
    assert (done.returncode, shell.stored) == (0, [*RUNS[1:]])
    assert "Remove 1 run (" in done.stderr
    done = shell.perflib("prune")
    assert (done.returncode, done.stderr) == (0, "nothing to remove: no other run is older than the newest 100\n")


def test_a_run_under_way_is_not_removed(shell: Shell) -> None:
    facts = load_run(shell.runs, RUNS[0]).facts.replaced(run_id="under-way", state="running")
    with RunFolder.create(shell.runs, facts):
        done = shell.perflib("rm", "under-way", "--yes")
        assert done.returncode == 2
        assert "under-way: is under way" in done.stderr
        assert "under-way" in shell.stored
    assert shell.perflib("rm", "no-such", "--yes").returncode == 2
    assert shell.perflib("rm", "../..", "--yes").returncode == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--endpoint", "GET"), "No stored run has the endpoint 'GET'; there are GET /clients, GET /health, "),
        (("--scenario", "spike"), "No stored run has the scenario 'spike'; there are light_load."),
        (("--target", "shop"), "No stored run has the target 'shop'; there are dashboard."),
        (("--since", "2030-01-01"), "there are runs of 2026-11-23 to 2026-11-23"),
    ],
)
def test_a_filter_that_leaves_no_run_says_what_there_is(shell: Shell, words: tuple[str, ...], says: str) -> None:
    done = shell.perflib("history", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_the_history_of_a_target_is_asked_for_by_its_name_or_its_file(shell: Shell) -> None:
    file = shell.folder / "any.toml"
    file.write_text('[target]\nname = "dashboard"\nbase_url = "http://127.0.0.1:1"\n[[endpoint]]\npath = "/a"\n')
    by_name, by_file = (shell.perflib("history", "--target", named) for named in ("dashboard", "any.toml"))
    assert by_name.returncode == by_file.returncode == 0
    assert by_name.stdout == by_file.stdout != ""
