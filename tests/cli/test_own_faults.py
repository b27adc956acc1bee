"""Faults of perflib's own, in whichever of its processes: one line, status 70, and the traceback in a file."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes import as_unknown_user
from tests.servers import answer, answering

MINE = '[target]\nname = "t"\nbase_url = "{url}"\n[[endpoint]]\npath = "/a"\n'
COMMAND = (sys.executable, "-m", "perflib")


def perflib(
    folder: Path, source: str, *words: str, command: Sequence[str] = COMMAND
) -> subprocess.CompletedProcess[str]:
    """The command line in a workbook of its own, this source run at the start of every Python that it starts."""
    own = folder / "site"
    own.mkdir()
    (own / "sitecustomize.py").write_text(f"import sys\nwords = ' '.join(sys.orig_argv)\n{textwrap.dedent(source)}")
    (folder / "tmp").mkdir()
    (folder / "pyproject.toml").touch()
    (folder / "performance_baselines.json").write_text('{"schema_version": 1, "baselines": []}')
    environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"}
    environment |= {"PYTHONPATH": str(own), "TMPDIR": str(folder / "tmp")}
    return subprocess.run(
        [*command, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def without(module: str, where: str) -> str:
    return f"if {where!r} in words: sys.modules[{module!r}] = None"


@pytest.mark.parametrize(
    ("where", "module", "words"),
    [
        ("-m perflib run", "pyarrow", "runs"),
        ("perflib.load.worker", "httptools", "run light_load --target t.toml --duration 1s"),
        ("perflib.load.null_server", "asyncio.runners", "calibrate"),
        ("perflib.sample", "uvicorn", "run light_load --duration 1s"),
    ],
    ids=["a command", "a load worker", "the null server", "the sample dashboard"],
)
def test_a_process_that_cannot_start_is_told_in_one_line_and_its_traceback_is_kept(
    tmp_path: Path, where: str, module: str, words: str
) -> None:
    (tmp_path / "data/targets").mkdir(parents=True)
    (tmp_path / "data/targets/dashboard.toml").write_text(MINE.format(url="http://127.0.0.1:9"))
    with answering(answer()) as server:
        (tmp_path / "t.toml").write_text(MINE.format(url=server.url))
        done = perflib(tmp_path, without(module, where), *words.split())
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (70, "")
    told = re.fullmatch(r"perflib: a fault of perflib's own: .*; the traceback is in (.+)", line)
    assert told is not None, line
    kept = Path(told[1]).read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in kept
    assert module in kept
    assert not list(tmp_path.glob("data/runs/*"))


@pytest.mark.parametrize("module", ["cyclopts", "pydantic"])
def test_an_installation_that_cannot_be_imported_is_told_in_one_line(tmp_path: Path, module: str) -> None:
    done = perflib(tmp_path, without(module, "-m perflib"), "show", "no-such-run")
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (70, "")
    assert module in line
    assert "Traceback" in Path(line.rpartition("the traceback is in ")[2]).read_text(encoding="utf-8")


def test_a_machine_without_memory_for_the_load_generator_is_no_fault(tmp_path: Path) -> None:
    limit = "import resource\nif 'load.worker' in words: resource.setrlimit(resource.RLIMIT_AS, (60_000_000,) * 2)"
    with answering(answer()) as server:
        (tmp_path / "t.toml").write_text(MINE.format(url=server.url))
        done = perflib(tmp_path, limit, "run", "light_load", "--target", "t.toml", "--duration", "1s")
    [line] = done.stderr.splitlines()
    assert (done.returncode, "end other programs" in line) == (2, True), line


@pytest.mark.parametrize("where", ["-m perflib check", "load.worker"])
def test_a_user_who_may_start_no_more_processes_is_told_so_in_one_line(tmp_path: Path, where: str) -> None:
    limit = f"import resource\nif {where!r} in words: resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))"
    with answering(answer()) as server:
        (tmp_path / "t.toml").write_text(MINE.format(url=server.url))
        words = "check light_load --target t.toml --duration 1s --warmup 0"
        done = perflib(tmp_path, limit, *words.split(), command=as_unknown_user(tmp_path, *COMMAND))
    [line] = [line for line in done.stderr.splitlines() if line.startswith("perflib: ")]
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
    assert "processes" in line
    assert "end other programs" in line
    assert not list(tmp_path.glob("data/runs/*"))
