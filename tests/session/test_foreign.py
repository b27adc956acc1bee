"""A run where nothing around it is as it should be: locale, variables of Python, tools, what else speaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import nbformat
import pytest

import perflib
from perflib.store import folders
from tests.processes import as_unknown_user
from tests.servers import answer, answering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TARGET = """
[target]
name = "Größe µ"
base_url = "{url}"

[[endpoint]]
name = "GET /größe – µ"
path = "/a"
"""
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PYTHON = (sys.executable, "-P")


@pytest.fixture
def workbook(tmp_path: Path) -> Iterator[Path]:
    """A workbook whose target answers; the files of its folder are no modules of perflib's processes."""
    (tmp_path / "performance_baselines.json").write_text('{"schema_version": 2, "baselines": []}', encoding="utf-8")
    for module in ("queue", "json", "resource", "sitecustomize", "usercustomize"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("print('a site speaks')", encoding="utf-8")
    with answering(answer()) as server:
        (tmp_path / "t.toml").write_text(TARGET.format(url=server.url), encoding="utf-8")
        yield tmp_path


@pytest.mark.parametrize(
    "variables",
    [
        C_LOCALE,
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "2", "PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        {"PYTHONPATH": "site"},
        {"PATH": ""},
        {"HOME": "/dev/null", "TMPDIR": "/dev/null", "TZ": "garbage"},
        {"TERM": "nonsense", "COLUMNS": "0", "FORCE_COLOR": "1"},
    ],
    ids=str,
)
def test_nothing_around_a_run_changes_what_it_stores_and_tells(workbook: Path, variables: dict[str, str]) -> None:
    measured_as_ever(workbook, PYTHON, variables)


@pytest.mark.parametrize("home", [("-u", "HOME"), ("HOME=/nonexistent",)], ids=["no HOME", "no such folder"])
def test_a_user_without_a_passwd_entry_measures_as_anybody_does(workbook: Path, home: tuple[str, ...]) -> None:
    measured_as_ever(workbook, as_unknown_user(workbook, "env", *home, *PYTHON), {})


def measured_as_ever(workbook: Path, python: Sequence[str], variables: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PERFLIB_DATA", "PYTHONPATH")}
    options = ["--target", "t.toml", "--users", "1", "--duration", "0.5s", "--warmup", "0", "--note", "Größe"]
    done = subprocess.run(
        [*python, "-m", "perflib", "run", "light_load", *options, "--json"],
        cwd=workbook,
        env=environment | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr  # 3: a busy machine
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    facts = json.loads((workbook / "data/runs" / told["run_id"] / "run.json").read_text(encoding="utf-8"))
    assert told["requests"]["completed"] > 0
    assert [one["endpoint"] for one in told["endpoints"]] == ["GET /größe – µ"]
    assert (facts["state"], facts["note"], facts["target"]["name"]) == ("finished", "Größe", "Größe µ")
    assert facts["generator"]["floor_p50_ms"] > 0


NOTEBOOK = """
import perflib
perflib.run("light_load", target=r"{file}", users=1, duration=0.5, warmup=0)
"""


def test_a_notebook_that_nbconvert_executes_from_elsewhere_keeps_its_run_in_its_workbook(
    workbook: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (workbook / "notebooks").mkdir()
    file, elsewhere = workbook / "notebooks/one.ipynb", tmp_path_factory.mktemp("elsewhere")
    cell = nbformat.v4.new_code_cell(NOTEBOOK.format(file=workbook / "t.toml"))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), file)
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--output-dir", ".", str(file)]
    environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"}
    subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, check=True, timeout=100)
    [run] = (workbook / "data/runs").glob("*/run.json")
    assert run.parent.name in (elsewhere / "one.ipynb").read_text(encoding="utf-8")


def test_a_run_that_is_kept_in_a_workbook_elsewhere_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where papermill, which leaves the current folder as it is, executes a clone's notebook from outside of it."""
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    (clone / "notebooks").mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    elsewhere.mkdir()
    monkeypatch.setattr(folders, "_CLONE", clone)
    monkeypatch.delenv("PERFLIB_DATA", raising=False)
    told = []
    with answering(answer()) as server:
        for folder in (elsewhere, clone / "notebooks"):
            monkeypatch.chdir(folder)
            run = perflib.run("light_load", url=server.url, users=1, duration=0.5, warmup=0, report=lambda _: None)
            assert (clone / "data/runs" / run.facts.run_id).is_dir()
            told.append(f"no workbook here: runs are kept in {clone / 'data'};" in capsys.readouterr().err)
    assert told == [True, False]


def test_bytes_that_are_no_text_are_stored_as_marks_of_what_was_lost(workbook: Path) -> None:
    command = [sys.executable, "-P", "-m", "perflib", "run", "light_load", "--target", "t.toml", "--users", "1"]
    short = ["--duration", "0.5s", "--warmup", "0", "--note", b"caf\xe9"]
    environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"}
    done = subprocess.run(
        [*command, *short], cwd=workbook, env=environment, capture_output=True, timeout=100, check=False
    )
    assert done.returncode in (0, 3), done.stderr
    [stored] = workbook.glob("data/runs/*/run.json")
    assert json.loads(stored.read_text(encoding="utf-8"))["note"] == "caf\ufffd"
