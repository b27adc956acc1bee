"""Where a leaking Python process allocates what it keeps: memray inside a real sample dashboard."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import perflib
from perflib.session.sample import sample_dashboard
from perflib.spec import Options, Run
from perflib.spec.run import MemorySource
from perflib.store.folders import Workbook
from perflib.watch.allocations import OLD_GDB, attached

has_debugger = pytest.mark.skipif(
    not (sys.version_info >= (3, 14) or shutil.which("gdb") or shutil.which("lldb") or os.environ.get("CI")),
    reason="memray attaches through gdb or lldb",
)


def with_verdict(run: Run, *, leaks: bool) -> Run:
    """The run with samples of an hour that leak for sure, or are flat."""
    at_s = range(3600)
    rss = [100_000_000 + (100_000 * second if leaks else 0) for second in at_s]
    samples = pd.DataFrame({"t_ns": [second * 10**9 for second in at_s], "rss_bytes": rss, "uss_bytes": -1})
    about = run.facts.model_copy(
        update={"scenario": run.facts.scenario.model_copy(update={"name": "sustained"})},
    )
    return replace(run, facts=about, memory=samples.assign(open_files=-1, threads=-1, pid=1, started_s=1.0))


@has_debugger
def test_the_line_that_holds_the_memory_of_a_leaking_dashboard_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    with sample_dashboard(Workbook.find(), ("--leak", "20KB/request")) as dashboard:
        options = Options(url=dashboard.url, pid=dashboard.pid, duration=1.0, warmup=0, users=8)
        run = with_verdict(perflib.run("light_load", options, report=lambda _: None), leaks=True)
        assert run.facts.sample_target
        found = perflib.leak_sites(run, seconds=3)
    if found.why_not == OLD_GDB and "amx" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        return  # that is told
    assert found.why_not == ""
    most = found.sites[0].stack[0]
    assert (most.function, most.file) == ("retain", "perflib/sample/answers.py")
    assert found.sites[0].held_bytes > 0.5 * found.held_bytes
    assert not any(frame.file.startswith("/") for site in found.sites for frame in site.stack)
    assert not (tmp_path / "runs" / "calibration").exists()


def test_nothing_is_attached_without_need_or_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    run = perflib.run("light_load", Options(duration=0.5, warmup=0, users=1), report=lambda _: None)
    assert "not found to leak" in perflib.leak_sites(with_verdict(run, leaks=False)).why_not
    assert "has ended" in perflib.leak_sites(with_verdict(run, leaks=True)).why_not
    ours = run.facts.model_copy(
        update={"memory": MemorySource(kind="process", pid=os.getpid(), told="it"), "sample_target": False}
    )
    offered = perflib.leak_sites(with_verdict(replace(run, facts=ours), leaks=True)).why_not
    assert "attach=True" in offered
    nowhere = run.facts.model_copy(update={"memory": MemorySource(told="the target is not on this machine")})
    assert "not on this machine" in perflib.leak_sites(with_verdict(replace(run, facts=nowhere), leaks=True)).why_not


@has_debugger
def test_a_process_that_is_not_python_is_told_as_such() -> None:
    sleep = shutil.which("sleep")
    assert sleep
    pid = os.posix_spawn(sleep, [sleep, "30"], os.environ)
    try:
        with attached(pid, 1) as told:
            assert "could not attach" in told().why_not
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
