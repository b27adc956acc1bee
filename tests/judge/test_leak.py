"""Whether a run's target leaks, from samples made up with a known truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from perflib.judge.leak import Memory, memory_of
from perflib.spec import Run
from perflib.spec.allocations import Allocations, Frame, Site
from perflib.spec.run import MemorySource
from perflib.text import tables
from perflib.workbook import charts
from tests.synthetic import make_run, make_target

TARGET = make_target("GET /a")
MINUTES = 20


def sampled(
    *,
    mb_per_h: float = 0.0,
    files_per_h: float = 0.0,
    restart_s: float | None = None,
    ends_s: float | None = None,
    scenario: str = "sustained",
) -> Run:
    """A run of 20 minutes whose target grows as told, from 100 MB with 0.5 MB of noise."""
    at_s = np.arange(0.0, 60.0 * MINUTES)[: None if ends_s is None else int(ends_s)]
    noise = np.random.default_rng(7).normal(0, 0.5e6, len(at_s))
    later = at_s >= (np.inf if restart_s is None else restart_s)
    grown_s = np.where(later, at_s - (restart_s or 0.0), at_s)
    samples = pd.DataFrame(
        {
            "t_ns": (at_s * 1e9).astype(np.int64),
            "rss_bytes": (100e6 + mb_per_h * 1e6 * grown_s / 3600 + noise).astype(np.int64),
            "uss_bytes": np.int64(-1),
            "open_files": (20 + files_per_h * at_s / 3600).astype(np.int64),
            "threads": np.int64(-1),
            "pid": np.where(later, 2, 1),
            "started_s": np.where(later, 1e9 + (restart_s or 0.0), 1e9),
        }
    )
    run = make_run(TARGET, scenario=scenario, seconds=60.0 * MINUTES - 5, warmup_s=5.0, per_s=5.0)
    about = run.facts.model_copy(update={"memory": MemorySource(kind="process", pid=1, told="process 1 (python)")})
    return replace(run, facts=about, memory=samples)


def test_a_steady_leak_is_called_with_its_rate_and_its_bytes_a_request() -> None:
    run = sampled(mb_per_h=200)
    found = memory_of(run)
    assert found.verdict == "LEAK"
    assert found.rss is not None
    assert found.rss.per_h == pytest.approx(200e6, rel=0.1)
    assert found.bytes_per_request == pytest.approx(200e6 / 3600 / 5, rel=0.1)
    assert tables.memory_sentence(run, found).startswith("Memory leaks: ")
    assert found.as_json()["growth_bytes_per_h"] == found.rss.per_h


def test_a_flat_target_is_sound_and_says_what_could_have_been_seen() -> None:
    run = sampled()
    found = memory_of(run)
    assert found.verdict == "OK"
    assert "would have been found" in tables.memory_sentence(run, found)
    low, high = found.as_json()["interval_bytes_per_h"]
    assert low < 0 < high


def test_descriptors_that_are_never_closed_are_a_leak_too() -> None:
    run = sampled(files_per_h=600)
    found = memory_of(run)
    assert found.verdict == "LEAK"
    assert found.rss is not None
    assert found.rss.verdict == "OK"
    assert tables.memory_sentence(run, found).startswith("Open files leak: ")
    assert found.as_json()["open_files"]["verdict"] == "LEAK"


def test_a_restart_is_a_finding_and_the_longest_stretch_is_judged() -> None:
    run = sampled(mb_per_h=0, restart_s=300.0)
    found = memory_of(run)
    assert found.restarts_s == (300.0,)
    assert (found.from_s, found.to_s) == (300.0, 60.0 * MINUTES - 1)
    assert "restarted at 300 s" in tables.memory_sentence(run, found)


def test_a_target_that_went_away_is_a_finding() -> None:
    run = sampled(ends_s=600)
    assert memory_of(run).gone_s == 599.0
    assert "gone after 599 s" in tables.memory_sentence(run, memory_of(run))


def test_growth_under_a_growing_load_is_no_leak() -> None:
    run = sampled(mb_per_h=200, scenario="spike")
    found = memory_of(run)
    assert found.verdict == "INCONCLUSIVE"
    assert "load changed" in tables.memory_sentence(run, found)


def test_a_run_without_samples_is_never_sound() -> None:
    run = make_run(TARGET)
    assert memory_of(run) == Memory("NOT_SAMPLED")
    assert tables.memory_sentence(run, memory_of(run)) == "Memory was not sampled: it was not looked for."
    assert memory_of(run).as_json()["verdict"] == "NOT_SAMPLED"
    assert memory_of(run).as_json()["growth_bytes_per_h"] is None


def test_the_charts_show_the_curve_the_fit_and_the_restart() -> None:
    leaking, restarted = charts.memory(sampled(mb_per_h=200)), charts.memory(sampled(restart_s=300.0))
    names = {trace.name for trace in leaking.data}
    assert {"resident (RSS)", "fitted growth", "window minima", "99 % band"} <= names
    assert "its own (USS)" not in names
    assert [line.x0 for line in restarted.layout.shapes if line.type == "line"] == [300.0]
    assert charts.memory(make_run(TARGET)).layout.annotations[0].text.startswith("Not sampled")
    panels = charts.memory_and_load(sampled(mb_per_h=200))
    assert len({trace.yaxis for trace in panels.data}) == 3


def test_a_sawtooth_of_hours_keeps_its_teeth_in_the_chart() -> None:
    run = sampled()
    at = np.arange(20_000)
    teeth = 100e6 + 20e6 * (at % 50) / 50
    samples = pd.DataFrame({"t_ns": at * 10**9, "rss_bytes": teeth.astype(np.int64), "uss_bytes": -1})
    samples = samples.assign(open_files=-1, threads=-1, pid=1, started_s=1e9)
    drawn = next(t for t in charts.memory(replace(run, memory=samples)).data if t.name == "resident (RSS)")
    assert len(drawn.x) <= 2000
    assert (min(drawn.y), max(drawn.y)) == (100.0, pytest.approx(119.6))


def test_the_flame_graph_and_the_table_name_the_place_that_holds_most() -> None:
    inner, outer = Frame("retain", "demo/answers.py", 85), Frame("main", "demo/app.py", 10)
    found = Allocations(1, 10.0, 5000, (Site(4000, 3, (inner, outer)), Site(1000, 1, (outer,))))
    icicle = charts.allocations(found).data[0]
    assert dict(zip(icicle.labels, icicle.values, strict=True)) == {"all": 5.0, "main": 5.0, "retain": 4.0}
    assert "retain (demo/answers.py:85)" in tables.allocations(found).html()
    nothing = Allocations(why_not="process 7 has ended")
    assert "process 7 has ended" in charts.allocations(nothing).layout.annotations[0].text
    assert "Process 7 has ended." in tables.allocations(nothing).html()
