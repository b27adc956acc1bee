"""The machine: the cores that a process may use, not those that the machine has."""

import os
from pathlib import Path

import pytest

from perflib.session import machine
from perflib.session.machine import git_commit, this_machine, usable_cores

ROOT = Path(__file__).parents[2]
ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", ALLOWED), ("50000 100000", 1), ("100000 100000", 1)])
def test_a_cgroups_quota_bounds_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path) == cores


def test_so_does_one_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("20000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize("text", ["", "a b", "100000", "100000 0"])
def test_a_quota_that_cannot_be_read_bounds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path) == ALLOWED


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="an affinity is Linux's")
def test_an_affinity_bounds_the_cores() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert this_machine().cores == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    "script", ["exit 1", "printf '\\377\\376'", "echo not a commit", "yes | head -c 1000000", "sleep 600"]
)
def test_a_git_that_fails_babbles_or_hangs_costs_the_commit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    (tmp_path / "git").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(machine, "_PATIENCE_S", 0.5)
    assert git_commit(ROOT) is None


def test_without_git_or_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(Path(machine.__file__).parent) is None
