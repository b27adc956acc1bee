"""perflib without its extras: few packages, and they measure, judge and print."""

import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import answer, answering

ROOT = Path(__file__).parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
MOST_PACKAGES = 40
"""perflib and all that it needs, without extras."""
LEFT_OUT = {"fastapi", "great-tables", "ipykernel", "ipython", "jupyter-client", "jupyterlab", "memray", "py-spy"} | {
    *("googleapis-common-protos", "opentelemetry-sdk", "protobuf", "requests"),
    *("nbclient", "nbconvert", "nbformat", "papermill", "playwright", "plotly", "pytest", "starlette", "uvicorn"),
}
QUICK = ["--profile", "quick", "--duration", "1s", "--warmup", "0.2s", "--users", "2"]


@dataclass(frozen=True)
class Core:
    """An environment that holds perflib's wheel and what it needs, nothing else, and a folder to work in."""

    venv: Path
    folder: Path
    packages: frozenset[str]

    def perflib(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run(str(self.venv / "bin/perflib"), *words)

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return self._run(str(self.venv / "bin/python"), "-c", code)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        foreign = ("PYTHONPATH", "PERF_API_TOKEN", "PERFLIB_DATA")
        environment = {name: value for name, value in os.environ.items() if name not in foreign}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """The wheel, installed by pip; what it needs is linked from the packages of the tests, so it takes no network."""
    made, folder = tmp_path_factory.mktemp("core"), tmp_path_factory.mktemp("anywhere")
    venv.create(made / "venv", symlinks=True)
    site = next((made / "venv/lib").glob("python3.*")) / "site-packages"
    build = [sys.executable, "-m", "flit_core.wheel", "--outdir", str(made), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    [wheel] = made.glob("perflib-*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(made / "venv/bin/python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)
    [installed] = Distribution.discover(name="perflib", path=[str(site)])
    needed = closure(installed)
    for name in needed:
        link(distribution(name), site)
    return Core(made / "venv", folder, frozenset(needed | {"perflib"}))


def closure(installed: Distribution) -> set[str]:
    """The names of all that it needs here without extras, directly or not."""
    found: set[str] = set()
    ahead = list(requirements(installed, ""))
    while ahead:
        requirement = ahead.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras) if name not in found else requirement.extras:
            ahead += requirements(distribution(name), extra)
        found.add(name)
    return found


def requirements(installed: Distribution, extra: str) -> Iterator[Requirement]:
    for requirement in map(Requirement, installed.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def link(package: Distribution, site: Path) -> None:
    """Link what a package put into its site-packages into another."""
    tops = {file.parts[0] for file in package.files or ()}
    for top in tops - {"..", "__pycache__"}:
        (site / top).symlink_to(str(package.locate_file(top)))


@pytest.fixture(scope="module")
def target(core: Core) -> Iterator[str]:
    """A target file for a small real server."""
    with answering(answer()) as served:
        file = core.folder / "small.toml"
        endpoint = '[[endpoint]]\npath = "/"\ntarget_ms = 1000\n'
        file.write_text(f'[target]\nname = "small"\nbase_url = "{served.url}"\n\n{endpoint}')
        yield file.name


@pytest.fixture(scope="module")
def measured(core: Core, target: str) -> dict[str, object]:
    done = core.perflib("run", "light_load", "--target", target, *QUICK, "--json")
    assert done.returncode in (0, 3), done.stderr
    assert f"no workbook here: runs are kept in {core.folder / 'data'}; `perflib init DIR` makes" in done.stderr
    again = core.perflib("run", "light_load", "--target", target, *QUICK)
    assert "no workbook here" not in again.stderr
    run: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == (0 if run["valid"] else 3)
    return run


def test_the_core_is_small_and_has_no_notebooks_charts_or_web_framework(core: Core) -> None:
    assert len(core.packages) <= MOST_PACKAGES, sorted(core.packages)
    assert core.packages & LEFT_OUT == set()


def test_its_version_is_that_of_pyproject(core: Core) -> None:
    assert core.python("import perflib; print(perflib.__version__)").stdout.strip() == VERSION


def test_the_core_shows_its_help(core: Core) -> None:
    done = core.perflib("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "check" in done.stdout


def test_the_core_measures_a_target_and_keeps_the_run(core: Core, measured: dict[str, object]) -> None:
    assert (core.folder / "data/runs" / str(measured["run_id"]) / "requests.parquet").is_file()
    history = core.perflib("history")
    assert (history.returncode, history.stderr) == (0, "")
    assert "small" in history.stdout


def test_the_core_judges_a_stored_run_and_a_fresh_one(core: Core, target: str, measured: dict[str, object]) -> None:
    stored = core.perflib("check", str(measured["run_id"]))
    assert stored.returncode == (0 if measured["valid"] else 3), stored.stderr
    fresh = core.perflib("check", "light_load", "--target", target, *QUICK)
    assert fresh.returncode in (0, 3), fresh.stderr
    assert "GET /" in fresh.stdout


def test_the_wheel_holds_every_notebook_of_the_clone(core: Core) -> None:
    assert core.perflib("init", "made").returncode == 0
    made = {path.name: path.read_bytes() for path in (core.folder / "made/notebooks").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_a_workbook_made_from_the_wheel_measures_the_only_target_that_it_has(core: Core, target: str) -> None:
    assert core.perflib("init", "mine").returncode == 0
    mine = replace(core, folder=core.folder / "mine")
    (mine.folder / "data/targets/small.toml").write_bytes((core.folder / target).read_bytes())
    done = mine.perflib("check", "light_load", *QUICK)
    assert done.returncode in (0, 3), done.stderr
    assert "GET /" in done.stdout
    assert len(list(mine.folder.glob("data/runs/*/requests.parquet"))) >= 1


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("report", "workbook"),
        ("report --target small.toml", "workbook"),
        ("run light_load", "demo"),
        ("demo", "demo"),
        ("query SELECT", "query"),
        ("run light_load --target small.toml --otlp http://127.0.0.1:4318", "otel"),
    ],
)
def test_what_is_not_installed_is_one_line_with_the_command_that_installs_it(
    core: Core, target: str, command: str, extra: str
) -> None:
    done = core.perflib(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.endswith(f"needs the {extra} extra: pip install 'perflib[{extra}]'")


def test_charts_without_the_workbook_extra_say_how_to_get_them(core: Core) -> None:
    done = core.python("import perflib\ntry: perflib.charts\nexcept perflib.InputError as error: print(error)")
    assert done.stdout == "perflib.charts needs the workbook extra: pip install 'perflib[workbook]'\n"
