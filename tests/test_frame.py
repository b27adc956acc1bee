"""The frame: what is installed, how it is set up, and that it names no machine but the user's own."""

import os
import re
import shutil
import subprocess
import textwrap
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from perflib.spec import Target
from perflib.store.folders import load_target

ROOT = Path(__file__).parent.parent
TARGETS = [
    "setup",
    "report",
    "test",
    "check",
    "lab",
    "baseline",
    "demo",
    "bench",
    "fuzz",
    "death",
    "lock",
    "clean",
    "help",
]

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DIRECT = [Requirement(line) for line in [*PROJECT["dependencies"], *chain.from_iterable(EXTRAS.values())]]

# The names under which conda-forge has a package, where they differ by more than "-" and "_".
PYPI_NAMES = {"playwright-python": "playwright", "python-duckdb": "duckdb"}

PIN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[0-9][0-9a-z.!+]*)(?: ; (?P<marker>[a-z_]+ [^\\@#/:]+?))?"
    r"(?: --hash=sha256:[0-9a-f]{64})+"
)


def bounds(requirements: list[Requirement]) -> dict[str, SpecifierSet]:
    return {canonicalize_name(requirement.name): requirement.specifier for requirement in requirements}


def locked_lines() -> list[str]:
    """The entries of requirements.txt, each on one line, comments left out."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return re.sub(r" \\\n +", " ", bare).splitlines()


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make as a user would, not as a part of the make that runs the tests."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", *arguments]
    return subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    """A folder with the Makefile and what its set-up reads."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("perflib/__pycache__", "tests", "data/runs/a-run", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def set_up(workbook: Path, made_in: str) -> None:
    """What a set-up made in the folder `made_in` leaves."""
    (workbook / ".venv/bin/python").symlink_to("/bin/sh")
    (workbook / ".venv/.stamp").write_text(made_in + "\n")


def test_conda_users_get_the_packages_and_bounds_of_pyproject() -> None:
    environment: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *packages, by_pip = environment["dependencies"]
    *from_pypi, workbook = by_pip["pip"]
    offered = bounds([Requirement(line) for line in [*packages, *from_pypi]])
    offered = {PYPI_NAMES.get(name, name): bound for name, bound in offered.items()}
    assert offered.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert offered.pop("pip") == SpecifierSet()
    assert offered == bounds(DIRECT)
    assert workbook == "-e ."


def test_every_locked_package_is_a_pin_with_hashes_and_names_no_index_host_or_path() -> None:
    lines = locked_lines()
    assert len(lines) > len(DIRECT)
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert "/" not in (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_every_direct_dependency_is_locked_within_its_bounds() -> None:
    pins = [match for line in locked_lines() if (match := PIN.fullmatch(line))]
    for name, bound in bounds(DIRECT).items():
        versions = [pin["version"] for pin in pins if pin["name"] == name]
        assert versions, f"{name} is not locked; run make lock"
        assert all(version in bound for version in versions), f"{name} {versions} is outside {bound}; run make lock"


def test_the_build_back_end_is_locked_too() -> None:
    needed = bounds([Requirement(line) for line in PYPROJECT["build-system"]["requires"]])
    assert needed.items() <= bounds(DIRECT).items()


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_each_target_and_lists_it(target: str) -> None:
    assert make("--dry-run", target).returncode == 0
    assert re.search(rf"^make {target} +\w", make().stdout, re.MULTILINE)


def test_make_report_runs_the_profile_that_is_asked_for() -> None:
    assert "perflib report --profile quick" in make("--dry-run", "report").stdout
    assert "perflib report --profile brief" in make("--dry-run", "report", "PROFILE=brief").stdout


def test_an_old_or_missing_python_is_told_in_one_line(workbook: Path) -> None:
    answer = make("setup", "PYTHON=false", folder=workbook)
    told = [line for line in answer.stderr.splitlines() if not line.startswith(("make:", "make["))]
    assert answer.returncode != 0
    assert len(told) == 1
    assert "Python 3.11" in told[0]


def test_set_up_is_a_no_op_when_current(workbook: Path) -> None:
    set_up(workbook, made_in=str(workbook))
    assert make("--question", "setup", folder=workbook).returncode == 0


@pytest.mark.parametrize("changed", ["requirements.txt", "pyproject.toml"])
def test_set_up_runs_again_when_its_sources_change(workbook: Path, changed: str) -> None:
    set_up(workbook, made_in=str(workbook))
    later = (workbook / ".venv/.stamp").stat().st_mtime + 10
    os.utime(workbook / changed, (later, later))
    assert make("--question", "setup", folder=workbook).returncode == 1


def test_set_up_runs_again_in_a_copied_folder_and_where_the_python_is_gone(workbook: Path) -> None:
    set_up(workbook, made_in="elsewhere")
    assert make("--question", "setup", folder=workbook).returncode == 1
    (workbook / ".venv/.stamp").write_text(f"{workbook}\n")
    (workbook / ".venv/bin/python").unlink()
    assert make("--question", "setup", folder=workbook).returncode == 1


def test_make_clean_leaves_the_data_alone(workbook: Path) -> None:
    (workbook / "data/runs/a-run/run.json").write_text("{}")
    assert make("clean", folder=workbook).returncode == 0
    assert not (workbook / ".venv").exists()
    assert not (workbook / "perflib/__pycache__").exists()
    assert (workbook / "data/runs/a-run/run.json").exists()


def test_ci_runs_the_checks_and_then_the_tests() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert "export CI=true" in lines
    assert lines[-2:] == ["make check", "make test"]


def test_the_workflow_does_what_ci_does_on_every_python_from_the_oldest() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    versions = jobs["linux"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]
    assert {"run": ".ci/run"} in jobs["linux"]["steps"]
    assert [step["run"] for step in jobs["macos"]["steps"] if "run" in step] == ["make check", "make test"]


LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for file, heading in LINK.findall(page.read_text(encoding="utf-8")):
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {file}"
        if heading:
            heads = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, heading


def test_each_target_file_that_the_docs_show_is_one(tmp_path: Path) -> None:
    shown = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (ROOT / "docs/target-file.md").read_text(), re.MULTILINE)
    (tmp_path / "clients.csv").write_text("id\n1\n", encoding="utf-8")
    targets = [written(tmp_path, textwrap.dedent(block)) for block in shown if "    [" in block]
    assert [item.name for item in targets[0].items] == ["GET /clients", "Home"]
    assert [item.name for item in targets[1].items] == ["POST /search;v=1?flag&q=a%20b"]
    assert {"checkout"} in [set(target.scenarios) - {"light_load"} for target in targets]
    assert sum(target.login is not None for target in targets) == 2
    assert len([target for target in targets if target.journeys]) == 1


def written(folder: Path, block: str) -> Target:
    """The target of a file with this block, and with what it needs besides."""
    said = tomllib.loads(block)
    head = {"name": "t", "base_url": "http://h.test"} | said.get("target", {})
    rest = {"endpoint": [{"path": "/"}], "data": {"client": {"values": [{"id": 1}]}}} | said
    (folder / "t.toml").write_text(tomli_w.dumps(rest | {"target": head}), encoding="utf-8")
    return load_target(folder / "t.toml")


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80


def test_the_version_on_top_of_the_changelog_is_that_of_pyproject() -> None:
    versions = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def test_no_tracked_file_names_a_path_of_somebodys_machine() -> None:
    listing = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    tracked = subprocess.run(listing, check=False, cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("not a git checkout, or no git")
    machine_path = re.compile(rb"(?<![\w.)}-])/(?:work|root|Users/\w+|home/\w+)/")
    for path in map(ROOT.joinpath, tracked.stdout.split("\0")):
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            found = machine_path.search(content)
            assert not found, f"{path.relative_to(ROOT)} names {found[0]!r}"
