"""Whether a run's target leaks, from samples made up with a known truth."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from perflib.judge.leak import Memory, memory_of
from perflib.spec import Run
from perflib.spec.allocations import Allocations, Frame, Site
from perflib.spec.run import MemorySource
from perflib.stats import Interval
from perflib.stats.growth import growth
from perflib.stats.verdict import Verdict
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
    assert found.rss.interval_per_h is not None
    least = f"Memory leaks: at least {found.rss.interval_per_h.low / 1e6:.0f} MB/h (best estimate "
    assert tables.memory_sentence(run, found).startswith(least)
    assert found.as_json()["growth_bytes_per_h"] == found.rss.per_h


def test_what_is_kept_of_each_request_is_told_with_its_interval() -> None:
    run = sampled(mb_per_h=200)
    found = memory_of(run)
    between = found.bytes_per_request_between
    assert between is not None
    assert between.low < 200e6 / 3600 / 5 < between.high
    assert found.as_json()["interval_bytes_per_request"] == [between.low, between.high]
    told = f"KB per request ({between.low / 1e3:.1f} to {between.high / 1e3:.1f})"
    assert told in tables.memory_sentence(run, found)
    assert told in tables.memory(run).markdown()
    assert "a request" not in tables.memory_sentence(sampled(), memory_of(sampled()))


def ramped(*, kb_per_request: float = 0.0, mb_per_busy: float = 0.0) -> Run:
    """A run whose rate rises from nothing in proportion to time; what it holds for those at work goes with the rate."""
    run = sampled(scenario="spike")
    assert run.memory is not None
    at_s = run.memory["t_ns"] / 1e9
    share = np.sqrt(np.random.default_rng(1).uniform(size=len(run.requests)))
    requests = run.requests.assign(start_ns=(share * 60e9 * MINUTES).astype(np.int64))
    sent = len(requests) * (at_s / (60 * MINUTES)) ** 2
    grown = 1e3 * kb_per_request * sent + 1e6 * mb_per_busy * at_s / (60 * MINUTES)
    return replace(
        run, requests=requests, memory=run.memory.assign(rss_bytes=run.memory["rss_bytes"] + grown.astype(np.int64))
    )


def test_a_leak_of_each_request_shows_under_a_growing_load_and_its_size_is_told() -> None:
    run = ramped(kb_per_request=10)
    found = memory_of(run)
    assert found.verdict == "LEAK"
    assert found.bytes_per_request == pytest.approx(10e3, rel=0.1)
    assert found.rss is not None
    assert found.rss.fit is not None
    fitted = np.interp(900, found.rss.fit.at_s, found.rss.fit.fitted)
    assert fitted - 100e6 == pytest.approx(10e3 * len(run.requests) * 0.75**2, rel=0.1), "the curve is drawn by time"


@pytest.mark.parametrize("mb", [20, 60, 200])
def test_what_is_held_for_those_at_work_is_no_leak_while_they_grow_in_number(mb: float) -> None:
    assert memory_of(ramped(mb_per_busy=mb)).verdict == "INCONCLUSIVE"


def test_so_few_samples_promise_nothing_and_tell_the_least_that_is_needed() -> None:
    run = sampled(ends_s=12)
    sentence = tables.memory_sentence(run, memory_of(run))
    assert "It needs at least" in sentence
    assert "how much more depends on the noise seen then" in sentence
    assert "--duration" not in sentence


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


def test_the_lower_bound_of_a_leak_is_named_where_only_that_at_90_percent_is_above_nothing() -> None:
    found = growth(np.arange(60.0), 100e6 + 1e6 * np.arange(60.0) + np.random.default_rng(0).normal(0, 0.5e6, 60))
    assert found.verdict == "LEAK"
    assert found.interval_per_h is not None
    assert found.at_least_per_h is not None
    assert 0 < found.at_least_per_h < found.per_h
    unsure = replace(found, interval_per_h=Interval(-1e6, found.interval_per_h.high), at_least_per_h=5e6)
    sentence = tables.memory_sentence(sampled(), Memory(Verdict.LEAK, rss=unsure))
    assert sentence.startswith("Memory leaks: at least 5 MB/h at 90 % (best estimate ")


def workers(*, recycled_every_s: float, mb_per_h: float = 0.0) -> Run:
    """Three workers of 30 MB that each take 20 MB in their life and then begin anew, under a master that may leak."""
    run = sampled(mb_per_h=mb_per_h)
    assert run.memory is not None
    at_s = run.memory["t_ns"].to_numpy() / 1e9
    ages_s = np.stack([(at_s + recycled_every_s * worker / 3) % recycled_every_s for worker in range(3)])
    taken = (30e6 + 20e6 * ages_s / recycled_every_s).sum(axis=0)
    ended = np.concatenate([[0], np.cumsum((np.diff(ages_s) < 0).sum(axis=0))])
    level = (run.memory["rss_bytes"] + taken).astype(np.int64)
    return replace(run, memory=run.memory.assign(rss_bytes=level, pss_bytes=level, processes=4, ended=ended))


def test_workers_that_are_recycled_are_told_as_such_and_what_they_give_back_is_no_leak() -> None:
    run = workers(recycled_every_s=45.0)
    found = memory_of(run)
    assert found.verdict == "OK"
    assert found.restarts_s == ()
    assert (found.processes, found.recycled) == (4, 3 * 60 * MINUTES // 45 - 1)
    assert found.as_json()["processes"] == 4
    assert found.as_json()["recycled"] == found.recycled
    sentence = tables.memory_sentence(run, found)
    assert f"{found.recycled} workers recycled" in sentence
    assert "restarted" not in sentence
    assert f"Sampled: {run.facts.memory.told}." in sentence


def verdicts_on_random_lives(*, takes: float, mb_per_h: float = 0.0) -> list[Verdict]:
    """On 20 runs of four workers that live for 42 to 78 s, and are missing for a moment before each new one."""
    run, random, verdicts = sampled(mb_per_h=mb_per_h), np.random.default_rng(11), []
    assert run.memory is not None
    at_s = run.memory["t_ns"].to_numpy() / 1e9
    for _ in range(20):
        level, ended = run.memory["rss_bytes"].to_numpy().copy(), np.zeros(len(at_s), dtype=np.int64)
        for _worker in range(4):
            begins_s = np.concatenate([[0.0], np.cumsum(60 * random.uniform(0.7, 1.3, 30))])
            for begin_s, end_s in itertools.pairwise(begins_s):
                alive = (at_s >= begin_s) & (at_s < end_s - 0.6)
                level[alive] += (30e6 + takes * (at_s[alive] - begin_s) / (end_s - begin_s)).astype(np.int64)
            ended += np.searchsorted(begins_s[1:], at_s)
        memory = run.memory.assign(rss_bytes=level, pss_bytes=-1, processes=5, ended=ended)
        verdicts.append(memory_of(replace(run, memory=memory)).verdict)
    return verdicts


def test_workers_that_begin_and_end_at_random_are_never_called_a_leak() -> None:
    assert "LEAK" not in verdicts_on_random_lives(takes=100e6)


def test_that_a_worker_is_missing_for_a_moment_hides_neither_a_sound_target_nor_a_leak_of_its_master() -> None:
    assert verdicts_on_random_lives(takes=0.0).count(Verdict.OK) >= 18
    assert verdicts_on_random_lives(takes=0.0, mb_per_h=100).count(Verdict.LEAK) >= 18


def test_what_recycling_does_not_give_back_is_a_leak() -> None:
    assert memory_of(workers(recycled_every_s=45.0, mb_per_h=200)).verdict == "LEAK"


def test_workers_that_live_for_long_need_a_longer_run_and_that_run_can_tell() -> None:
    found = memory_of(workers(recycled_every_s=300.0))
    assert found.verdict == "INCONCLUSIVE"
    assert found.rss is not None
    assert found.rss.settle_s is not None
    assert found.rss.settle_s / 300 >= 12


def test_a_worker_that_is_replaced_once_does_not_hide_a_leak_of_the_others() -> None:
    run = sampled(mb_per_h=200)
    assert run.memory is not None
    ended = (run.memory["t_ns"] > 600e9).astype(int)
    found = memory_of(replace(run, memory=run.memory.assign(processes=4, ended=ended, pss_bytes=-1)))
    assert found.verdict == "LEAK"
    assert found.recycled == 1


def test_what_several_processes_share_is_judged_once() -> None:
    run = sampled(mb_per_h=200)
    assert run.memory is not None
    shared = run.memory.assign(processes=4, ended=0, pss_bytes=sampled().memory["rss_bytes"])  # type: ignore[index]
    assert memory_of(replace(run, memory=shared)).verdict == "OK"
    alone = memory_of(replace(run, memory=shared.assign(processes=1)))
    assert alone.verdict == "LEAK", "of one process the resident memory is judged"
    assert [trace.name for trace in charts.memory(replace(run, memory=shared)).data][:2] == [
        "resident (RSS)",
        "its share (PSS)",
    ]


def exported(run: Run, started_s: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Run:
    """The samples as a URL of metrics told them."""
    assert run.memory is not None
    about = MemorySource(kind="prometheus", told="process_resident_memory_bytes of http://h/metrics")
    memory = run.memory.assign(pid=-1, started_s=started_s, processes=1, ended=0)
    return replace(run, facts=run.facts.model_copy(update={"memory": about}), memory=memory)


def test_processes_that_answer_one_url_in_turns_are_no_restarts_and_are_judged_one_by_one() -> None:
    run = sampled()
    assert run.memory is not None
    turns = np.random.default_rng(3).integers(0, 3, len(run.memory))
    apart = run.memory.assign(rss_bytes=run.memory["rss_bytes"] + turns * 15_000_000)
    found = memory_of(exported(replace(run, memory=apart), np.array([1000.0, 1000.4, 1003.5])[turns]))
    assert (found.verdict, found.restarts_s, found.answering, found.processes) == ("OK", (), 3, 3)
    leaking = apart["rss_bytes"] + (turns == 1) * (run.memory["t_ns"] / 1e9 * 60_000).astype(np.int64)
    run = exported(replace(run, memory=apart.assign(rss_bytes=leaking)), np.array([1000.0, 1000.4, 1003.5])[turns])
    found = memory_of(run)
    assert found.verdict == "LEAK"
    assert found.rss is not None
    assert found.rss.per_h == pytest.approx(216e6, rel=0.1)
    assert "Several processes answer metrics_url, 3 so far" in tables.memory_sentence(run, found)


def test_a_start_that_is_not_always_told_or_trembles_is_no_restart_and_one_that_goes_on_is() -> None:
    count = len(sampled().memory)  # type: ignore[arg-type]
    at = np.arange(count)
    assert memory_of(exported(sampled(), np.where(at % 7, 1000.0, 0.0))).restarts_s == ()
    for digits in (0, 2, 9):
        trembling = (1000.0 + np.random.default_rng(5).uniform(0, 0.7, count)).round(digits)
        assert memory_of(exported(sampled(), trembling)).answering == 1
    assert memory_of(exported(sampled(), np.where(at < 300, 1000.0, 1300.0))).restarts_s == (300.0,)


def test_metrics_that_are_not_told_any_more_do_not_say_that_the_target_is_gone() -> None:
    run = exported(sampled(ends_s=600), np.full(600, 1000.0))
    assert "Its metrics could not be read any more after 599 s." in tables.memory_sentence(run, memory_of(run))


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
    assert {"resident (RSS)", "fitted growth", "window levels", "99 % band"} <= names
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


def test_a_run_whose_only_sample_came_after_its_load_is_inconclusive_and_said_to_be() -> None:
    run = sampled()
    assert run.memory is not None
    short = make_run(TARGET, scenario="sustained", seconds=0.1, per_s=100.0)
    run = replace(short, memory=run.memory.iloc[[5]])
    found = memory_of(run)
    assert found.verdict == "INCONCLUSIVE"
    assert tables.memory_sentence(run, found)
