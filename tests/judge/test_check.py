"""Runs against their baseline: what fails a check, what it says, and what must never make a figure better."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from perflib.judge.baseline import baseline_of
from perflib.judge.check import FAMILY, Check, check
from perflib.judge.knowledge import match
from perflib.spec import Closed, InputError, Open, Run
from perflib.spec.baselines import Baselines
from perflib.spec.run import setup_of
from perflib.text import tables
from tests.synthetic import DASHBOARD, make_run, make_target, sampled, without_rows, without_successes

TARGET = make_target("GET /a", "GET /b", target_ms=60)
NOTHING = Baselines()


def run_of(seed: int, *, times: float = 1.0, **others: Any) -> Run:
    """A run named by its seed, all its response times so many times as long."""
    values = {"target": TARGET, "seconds": 4.0, "per_s": 100.0, "run_id": f"run-{seed}"} | others
    return make_run(seed=seed, slowdown=lambda at_s: np.full_like(at_s, times), **values)


def changed(run: Run, scenario: dict[str, Any] | None = None, **facts: Any) -> Run:
    """The same run, as if it had been of another scenario or had other facts."""
    other = run.facts.scenario.model_copy(update=scenario or {})
    return replace(run, facts=run.facts.model_copy(update={"scenario": other} | facts))


def as_recorded_now(run: Run) -> Run:
    """The same run, its setup written into its facts."""
    return changed(run, setup=setup_of(run.facts))


def failing(run: Run, share: float, endpoint: str = "GET /a", took_ns: int = 1_000_000) -> Run:
    """The same run, this share of an endpoint's requests failing, and faster than any success."""
    rows = run.requests
    chosen = (rows["endpoint"] == endpoint) & (np.random.default_rng(7).random(len(rows)) < share)
    error = rows["error"].mask(chosen, "status")
    return replace(
        run, requests=rows.assign(error=error, end_ns=rows["end_ns"].mask(chosen, rows["start_ns"] + took_ns))
    )


def leaking(run: Run) -> Run:
    """The same run, as if it had gone on for 10 min, its target growing by 2 MB a second."""
    at_s = np.arange(0.0, 600.0)
    samples = {"t_ns": (at_s * 1e9).astype(np.int64), "rss_bytes": (100e6 + 2e6 * at_s).astype(np.int64)}
    constant = {"uss_bytes": -1, "open_files": -1, "threads": -1, "pid": 1, "started_s": 1e9}
    parts = tuple(part.replaced(measured_to_ns=600_000_000_000) for part in run.facts.parts)
    return replace(run, facts=run.facts.replaced(parts=parts), memory=pd.DataFrame(samples).assign(**constant))


BASELINE_RUNS = [run_of(seed) for seed in range(1, 9)]
BASELINES = Baselines(baselines=(baseline_of(BASELINE_RUNS),))
FEW = Baselines(baselines=(baseline_of(BASELINE_RUNS[:3]),))


def verdicts(found: Check) -> dict[str, str]:
    return {row.endpoint: row.verdict for row in found.endpoints}


def test_a_run_like_its_baseline_passes_and_says_what_change_it_would_have_seen() -> None:
    found = check([as_recorded_now(run_of(100))], BASELINES)
    assert (found.exit_status, found.reasons, found.notes) == (0, (), ())
    assert found.baselines == {"light_load": BASELINES.baselines[0].recorded_at}
    assert len(found.mdes) == 2
    assert tables.check(found).text().startswith("The check passed. Verdicts: 2 SAME. ")
    assert "Smallest detectable change of p95: +" in tables.check(found).title
    assert FAMILY in tables.check(found).text()


def test_a_slower_server_is_a_regression_and_its_reason_has_ratio_and_interval() -> None:
    found = check([run_of(100, times=1.5)], BASELINES)
    assert found.exit_status == 1
    assert set(verdicts(found).values()) == {"REGRESSION"}
    assert found.reasons[0].startswith("GET /a: p50 1.")
    assert " x baseline (" in found.reasons[0]
    for row in found.endpoints:
        assert row.telling is not None
        assert row.telling.interval.low < 1.5 < row.telling.interval.high
        assert f"{row.telling.ratio:.2f}" in row.reason


def test_a_rise_of_less_than_a_hundredth_of_the_limit_is_no_regression_and_the_reason_says_so() -> None:
    roomy = make_target("GET /a", "GET /b", target_ms=1000)
    baselines = Baselines(baselines=(baseline_of([run_of(seed, target=roomy) for seed in range(1, 9)]),))
    found = check([run_of(100, times=1.3, target=roomy)], baselines)
    assert verdicts(found) == {"GET /a": "SAME", "GET /b": "SAME"}
    assert found.endpoints[0].reason.startswith("p50 1.")
    assert found.endpoints[0].reason.endswith("; slower by less than 10.0 ms, 1% of its limit")
    assert found.exit_status == 0


@pytest.mark.parametrize(("told", "verdict"), [({}, "REGRESSION"), ({"floor_p50_ms": 3.0}, "SAME")])
def test_a_rise_of_less_than_the_instrument_measures_of_nothing_is_no_regression(
    told: dict[str, float], verdict: str
) -> None:
    target = make_target("GET /a", "GET /b", target_ms=None)
    runs = [run_of(seed, target=target) for seed in range(1, 9)]
    slow = run_of(100, times=1.5, target=target)
    slow = changed(slow, generator=slow.facts.generator.replaced(**told))
    found = check([slow], Baselines(baselines=(baseline_of(runs),)))
    assert verdicts(found)["GET /a"] == verdict
    assert verdicts(found)["GET /b"] == "REGRESSION"


def test_a_faster_server_is_improved_and_passes() -> None:
    found = check([run_of(100, times=0.6)], BASELINES)
    assert found.exit_status == 0
    assert set(verdicts(found).values()) == {"IMPROVED"}


def test_a_missed_target_fails_without_any_baseline() -> None:
    found = check([run_of(100, target=make_target("GET /a", "GET /b", target_ms=10))], NOTHING)
    assert found.exit_status == 1
    assert [reason.partition(" ms")[2] for reason in found.reasons] == [" misses its limit of 10 ms"]
    assert verdicts(found) == {"GET /a": "NO_BASELINE", "GET /b": "NO_BASELINE"}


def test_one_failed_request_fails_unless_so_many_are_allowed() -> None:
    run = failing(run_of(100), 0.02)
    found = check([run], BASELINES)
    assert found.exit_status == 1
    assert "requests failed, none may" in found.reasons[0]
    assert check([run], BASELINES, most_errors=0.05).exit_status == 0
    assert "at most 1 % may" in check([run], BASELINES, most_errors=0.01).reasons[0]


def with_limits(run: Run, **limits: float) -> Run:
    """The same run, its first endpoint having these limits alone."""
    first, *others = (one.replaced(target_ms=None) for one in run.facts.target.endpoints)
    return changed(run, target=run.facts.target.replaced(endpoints=(first.replaced(**limits), *others)))


def test_an_endpoint_brings_its_own_share_of_failures_whatever_the_others_may() -> None:
    run = failing(failing(run_of(100), 0.02), 0.02, "GET /b")
    allowing = check([with_limits(run, max_errors=0.05)], NOTHING)
    assert [one.about for one in allowing.findings] == ["GET /b"]
    assert [row.meets_target for row in allowing.endpoints] == [True, None]
    [reason] = check([with_limits(run, max_errors=0.001)], NOTHING, most_errors=0.5).reasons
    assert re.fullmatch(r"GET /a: \d+ of \d+ requests failed, at most 0.1 % may", reason)


def test_a_missed_p99_fails_though_p95_is_well_below() -> None:
    limits = {"target_ms": 5.0, "target_p99_ms": 5.0}
    found = check([with_limits(run_of(100, sigma=0.5), **limits)], NOTHING)
    [reason] = found.reasons
    assert re.fullmatch(r"GET /a: p99 [5-9]\.\d+ ms misses its limit of 5 ms", reason)
    assert found.endpoints[0].meets_target is False
    assert check([with_limits(run_of(100, sigma=0.5), target_ms=5.0)], NOTHING).exit_status == 0


def test_a_p99_with_too_few_requests_is_missed_only_where_p95_is_as_slow() -> None:
    few = run_of(100, per_s=30.0)
    unknown = check([with_limits(few, target_p99_ms=1000.0)], NOTHING)
    assert (unknown.exit_status, unknown.endpoints[0].meets_target) == (0, None)
    assert any("too few requests to judge the limit of GET /a" in note for note in unknown.notes)
    [reason] = check([with_limits(few, target_p99_ms=2.0)], NOTHING).reasons
    assert reason.startswith("GET /a: p95, and so p99, ")


@pytest.mark.parametrize(("kind", "failed"), [("closed_idle", False), ("reset", True)])
def test_a_connection_that_the_server_closed_while_idle_is_no_error_of_the_target(kind: str, failed: bool) -> None:
    rows = (run := run_of(1)).requests
    met = replace(run, requests=rows.assign(error=rows["error"].mask(np.arange(len(rows)) % 50 == 0, kind)))
    done = check([met], NOTHING)
    assert bool(done.exit_status) is bool(done.findings) is failed
    if failed:
        with pytest.raises(InputError, match="failed requests"):
            baseline_of([met])
    else:
        assert baseline_of([met]).endpoints["GET /a"].errors == 0


def test_a_single_failure_among_many_is_never_rounded_away() -> None:
    run = run_of(100, per_s=5000.0)
    one = run.requests.index[~run.requests["warmup"] & (run.requests["endpoint"] == "GET /a")][0]
    error = run.requests["error"].copy()
    error[one] = "reset"
    [reason] = check([replace(run, requests=run.requests.assign(error=error))], NOTHING).reasons
    assert re.fullmatch(r"GET /a: 1 of \d+,\d+ requests failed, none may", reason)


@pytest.mark.parametrize("baselines", [BASELINES, FEW], ids=["8 runs", "3 runs"])
def test_p95_above_twice_the_baseline_fails_however_few_runs_the_baseline_has(baselines: Baselines) -> None:
    found = check([run_of(100, times=2.3)], baselines)
    assert found.exit_status == 1
    assert sum("more than 2 x its baseline" in reason for reason in found.reasons) == 2
    assert not any("more than 2 x" in reason for reason in check([run_of(100, times=1.5)], baselines).reasons)


def test_too_few_baseline_runs_are_inconclusive_and_pass() -> None:
    found = check([run_of(100, times=1.5)], FEW)
    assert found.exit_status == 0
    assert set(verdicts(found).values()) == {"INCONCLUSIVE"}
    assert found.mdes == ()
    assert "3 baseline runs; 8 are needed" in found.endpoints[0].reason
    assert "Too few earlier runs are known" in tables.check(found).text()


def test_a_target_that_leaks_fails() -> None:
    found = check([leaking(run_of(100))], BASELINES)
    [reason] = found.reasons
    told = re.fullmatch(r"run-100: the target leaks memory, at least ([\d,]+) MB/h", reason)
    assert (found.exit_status, told is not None) == (1, True), reason


def test_a_5xx_fails_where_the_scenario_allows_none_and_whatever_share_may_fail() -> None:
    run = make_run(TARGET, scenario="steady_rate", failures=0.005, seed=3)
    found = check([run], NOTHING, most_errors=0.5)
    assert found.exit_status == 1
    assert any("answers with a 5xx, none is allowed" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"invalid_reasons": ("it used 99% of its core",)}, "it used 99% of its core"),
        ({"state": "interrupted"}, "it was interrupted"),
        ({"state": "running"}, "it is still running"),
    ],
)
def test_an_unsound_run_is_not_judged_and_no_baseline(facts: dict[str, Any], why: str) -> None:
    run = run_of(100, times=9.0, **facts)
    found = check([run], BASELINES)
    assert (found.exit_status, found.endpoints) == (3, ())
    assert found.reasons == (f"run-100: not judged: {why}",)
    assert "could not judge" in tables.check(found).text()
    with pytest.raises(InputError, match=why):
        baseline_of([BASELINE_RUNS[0], run])


def test_a_run_without_requests_is_no_pass() -> None:
    found = check([without_rows(run_of(100))], BASELINES)
    assert found.exit_status == 3
    assert "no request was measured" in found.reasons[0]


def test_a_check_that_fails_names_its_first_reason_in_its_title_and_the_others_below() -> None:
    found = check([run_of(100, times=3.0)], BASELINES)
    first, *others = found.reasons
    table = tables.check(found)
    assert f"The check failed: {first} ({len(others)} more reason{'s' if others[1:] else ''} below). " in table.title
    assert " Verdicts: 2 REGRESSION. " in table.title
    assert first not in table.notes
    assert set(others) <= set(table.notes)


def test_an_invalid_run_beside_a_sound_one_is_left_out_and_told() -> None:
    invalid = run_of(101, times=9.0, invalid_reasons=("overloaded",))
    found = check([run_of(100), invalid], BASELINES)
    assert (found.exit_status, found.reasons) == (3, ("run-101: not judged: overloaded",))
    assert "REGRESSION" not in verdicts(found).values()
    assert check([run_of(100, times=1.5), invalid], BASELINES).exit_status == 1


def test_nothing_to_judge_is_wrong_use_and_no_pass() -> None:
    with pytest.raises(InputError, match="no run to judge"):
        check([], BASELINES)


@pytest.mark.parametrize("share", [0.01, 0.04, 0.10, 0.60, 1.0])
def test_failing_fast_never_makes_a_figure_or_a_verdict_better(share: float) -> None:
    order = ["IMPROVED", "SAME", "INCONCLUSIVE", "REGRESSION"]
    sound, broken = run_of(100), failing(run_of(100), share)
    before, after = (check([run], BASELINES, most_errors=1.0).endpoints[0] for run in (sound, broken))
    assert order.index(after.verdict) >= order.index(before.verdict)
    assert (after.p95_ms or math.inf) >= (before.p95_ms or 0.0)
    for figure in ("p50", "p95"):
        worse, was = after.change_of(figure), before.change_of(figure)
        assert worse is not None
        assert was is not None
        assert worse.ratio >= was.ratio
    if share >= 0.10:
        assert after.verdict == "REGRESSION"
        assert after.meets_target is False


def test_failing_too_often_is_told_in_words_and_stays_valid_json() -> None:
    found = check([failing(run_of(100), 0.08)], BASELINES, most_errors=0.5)
    assert found.exit_status == 1
    assert "GET /a: p95 is infinite: more requests failed than it allows" in found.reasons
    assert "GET /a: p95 (failed too often) misses its limit of 60 ms" in found.reasons
    row = json.loads(json.dumps(found.as_json(), allow_nan=False))["endpoints"][0]
    assert (row["ratio"], row["interval"], row["p95_ms"], row["figure"]) == (None, [None, None], None, "p95")


def test_one_failing_run_of_three_is_not_outvoted_by_the_others() -> None:
    found = check([run_of(100), run_of(101), failing(run_of(102), 0.5)], BASELINES, most_errors=1.0)
    assert verdicts(found)["GET /a"] == "REGRESSION"


def test_a_server_so_slow_that_p95_lacks_requests_is_caught_by_the_bound_of_it() -> None:
    run = run_of(100, times=1000.0, per_s=8.0)
    found = check([run], FEW)
    row = found.endpoints[0]
    assert row.p95_ms is None
    assert row.meets_target is False
    assert found.exit_status == 1
    assert row.p50_ms is not None
    assert row.p95_at_least_ms is not None
    assert row.p50_ms < row.p95_at_least_ms
    told = f"GET /a: p95 of at least {row.p95_at_least_ms:,.2f} ms"
    assert [reason for reason in found.reasons if reason.startswith(f"{told} misses its limit of 60 ms")]
    assert [reason for reason in found.reasons if reason.startswith(f"{told} is more than 2 x its baseline")]
    assert f"≥ {row.p95_at_least_ms:,.0f}" in tables.check(found).text()


def test_the_bound_of_a_p95_misses_a_limit_and_trips_the_backstop_where_the_median_would_not() -> None:
    slow = run_of(100, times=1.8, per_s=8.0)
    row = check([slow], FEW).endpoints[0]
    assert row.p50_ms is not None
    assert row.p95_at_least_ms is not None
    assert row.baseline_p95_ms is not None
    assert row.p50_ms < 2 * row.baseline_p95_ms
    between_ms = math.sqrt(row.p50_ms * row.p95_at_least_ms)
    [reason] = check([with_limits(slow, target_ms=between_ms)], NOTHING).reasons
    assert reason.startswith("GET /a: p95 of at least ")
    three = check([run_of(100, times=3.0, per_s=8.0)], FEW)
    median_ms = three.endpoints[0].p50_ms
    assert median_ms is not None
    assert median_ms < 2 * row.baseline_p95_ms
    assert any("GET /a: p95 of at least" in reason and "2 x its baseline" in reason for reason in three.reasons)


def test_a_run_of_three_that_lacks_requests_for_its_p95_is_not_left_out_of_it() -> None:
    fast, slow = [run_of(100), run_of(101)], [run_of(seed, times=1000.0, per_s=8.0) for seed in (102, 103)]
    row = check([fast[0], *slow], NOTHING).endpoints[0]
    assert row.meets_target is False
    assert check(fast, NOTHING).endpoints[0].meets_target is True


def test_a_target_with_too_few_requests_to_judge_is_told() -> None:
    found = check([run_of(100, per_s=8.0)], NOTHING)
    assert found.exit_status == 0
    assert any("too few requests to judge the limit of GET /a, GET /b" in note for note in found.notes)


def test_several_runs_of_a_scenario_are_judged_together_and_see_smaller_changes() -> None:
    runs = [run_of(seed) for seed in (100, 101, 102)]
    one, three = check(runs[:1], BASELINES), check(runs, BASELINES)
    assert three.runs == ("run-100", "run-101", "run-102")
    assert len(three.endpoints) == 2
    assert max(three.mdes) < max(one.mdes)
    assert three.endpoints[0].requests == sum(check([run], NOTHING).endpoints[0].requests for run in runs)


def test_a_run_given_twice_counts_once() -> None:
    run = run_of(100)
    assert check([run, run], BASELINES) == check([run], BASELINES)


def test_a_run_given_twice_makes_no_baseline() -> None:
    with pytest.raises(InputError, match="given twice"):
        baseline_of([BASELINE_RUNS[0]] * 8)


@pytest.mark.parametrize(
    "other",
    [
        run_of(101, target=make_target("GET /a", target_ms=60)),
        changed(run_of(101), {"workload": Closed(users=11)}),
        changed(run_of(101), environment=run_of(1).facts.environment.model_copy(update={"cores": 64})),
    ],
    ids=["target", "workload", "machine"],
)
def test_runs_of_one_scenario_that_are_not_the_same_thing_are_refused_together(other: Run) -> None:
    with pytest.raises(InputError, match="check them apart"):
        check([run_of(100), other], BASELINES)
    with pytest.raises(InputError, match="another setup"):
        baseline_of([run_of(100), other])


@pytest.mark.parametrize(
    "change", [{"base_url": "http://127.0.0.1:2"}, {"validation": "PS-5.1"}], ids=["address", "checklist"]
)
def test_a_targets_address_and_the_checklist_of_its_report_do_not_matter(change: dict[str, str]) -> None:
    moved = TARGET.model_copy(update=change)
    found = check([run_of(100), changed(run_of(101), target=moved)], BASELINES)
    assert found.exit_status == 0
    assert found.mdes


def test_several_scenarios_are_one_check_each_with_its_own_baseline() -> None:
    steady = make_run(TARGET, scenario="steady_rate", seconds=4.0, per_s=100.0)
    found = check([run_of(100, times=1.5), steady], BASELINES)
    assert list(found.baselines) == ["light_load", "steady_rate"]
    assert found.baselines["steady_rate"] is None
    assert [row.scenario for row in found.endpoints] == ["light_load"] * 2 + ["steady_rate"] * 2
    assert found.exit_status == 1
    assert all(reason.startswith("light_load, GET /") for reason in found.reasons)


def test_a_finding_outweighs_an_invalid_run_of_another_scenario() -> None:
    invalid = make_run(TARGET, scenario="steady_rate", invalid_reasons=("overloaded",))
    assert check([invalid, run_of(100, times=1.5)], BASELINES).exit_status == 1
    assert check([invalid, run_of(100)], BASELINES).exit_status == 3


def described(**values: Any) -> Run:
    run = run_of(100)
    return changed(run, environment=run.facts.environment.model_copy(update=values))


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (changed(run_of(100), {"workload": Closed(users=20)}), "load is 20 users, was 10 users"),
        (changed(run_of(100), {"workload": Open(rate_per_s=5)}), "workload is open, was closed"),
        (changed(run_of(100), {"duration_s": 60.0}), "duration is 60 s, was 4 s"),
        (changed(run_of(100), {"endpoints": ("GET /a",)}), "other endpoints are driven: GET /b"),
        (described(cpu="Another CPU", cores=8), "cpu is Another CPU, was A made-up CPU; cores is 8, was 2"),
        (run_of(100, target=DASHBOARD), "no baseline of target 'dashboard'"),
    ],
)
def test_without_a_fitting_baseline_what_differs_is_told_in_words_and_the_check_passes(run: Run, why: str) -> None:
    found = check([run], BASELINES)
    assert found.exit_status == 0
    assert set(verdicts(found).values()) == {"NO_BASELINE"}
    assert why in found.notes[0]
    assert why in found.endpoints[0].reason
    assert found.as_json()["baseline"] is None


def test_targets_and_errors_are_judged_without_a_fitting_baseline() -> None:
    found = check([failing(changed(run_of(100), {"duration_s": 60.0}), 0.02)], BASELINES)
    assert found.exit_status == 1
    assert "requests failed" in found.reasons[0]


def test_of_two_baselines_recorded_in_the_same_second_the_fitting_one_is_found() -> None:
    entry = BASELINES.baselines[0]
    assert entry.setup is not None
    other = entry.replaced(setup=entry.setup.replaced(workload=Closed(users=99)))
    for both in ((entry, other), (other, entry)):
        assert match(run_of(100), Baselines(baselines=both)).baseline == entry


def test_versions_are_no_part_of_what_a_baseline_is_found_by() -> None:
    assert match(described(python="3.14.0", versions={"perflib": "9"}), BASELINES).baseline is not None


def test_an_endpoint_that_its_baseline_lacks_is_told_and_the_others_are_judged() -> None:
    alone = {"scenario": "baseline", "seconds": 2.0, "per_s": 100.0, "target": TARGET}
    before = [changed(make_run(seed=seed, **alone), {"endpoints": ("GET /a",)}) for seed in range(8)]
    named = [changed(run, run_id=f"run-{place}") for place, run in enumerate(before)]
    found = check([make_run(seed=100, **alone)], Baselines(baselines=(baseline_of(named),)))
    assert found.endpoints[1].reason == "its baseline lacks this endpoint"
    assert verdicts(found)["GET /b"] == "NO_BASELINE" != verdicts(found)["GET /a"]
    assert "in 1 of 2 endpoints" in tables.check(found).text()


def test_a_run_of_the_baseline_itself_is_judged_with_a_warning() -> None:
    found = check([BASELINE_RUNS[2]], BASELINES)
    assert any(note.startswith("light_load: run-3 is a run of the baseline itself") for note in found.notes)


def test_in_a_closed_mix_a_cause_is_named_only_by_endpoints_measured_apart() -> None:
    slow = as_recorded_now(run_of(100, times=1.5))
    why = "light_load: GET /a, GET /b: `perflib why light_load --target FILE` says why"
    assert check([slow], BASELINES).notes[0] == why
    alone = {"scenario": "baseline", "seconds": 2.0, "per_s": 100.0, "target": TARGET}
    before = [changed(make_run(seed=seed, **alone), run_id=f"alone-{seed}") for seed in range(8)]
    both = Baselines(baselines=(*BASELINES.baselines, baseline_of(before)))
    guilty = make_run(seed=100, **alone)
    took = guilty.requests["end_ns"] - guilty.requests["start_ns"]
    ends = guilty.requests["end_ns"] + took.where(guilty.requests["endpoint"] == "GET /b", 0)
    guilty = as_recorded_now(replace(guilty, requests=guilty.requests.assign(end_ns=ends)))
    assert check([slow, guilty], both).notes[-1] == (
        "light_load: endpoints under one closed load slow or relieve each other; in baseline, GET /b was found slower"
    )
    sound = as_recorded_now(make_run(seed=101, **alone))
    assert "none was found slower" in check([slow, sound], both).notes[-1]


def test_a_baseline_file_with_a_figure_missing_is_refused_in_one_line() -> None:
    document = BASELINES.model_dump(mode="json")
    document["baselines"][0]["endpoints"]["GET /a"]["per_run"]["p95_ms"].pop()
    with pytest.raises(InputError, match="'GET /a' has not a figure for each of 8 runs"):
        Baselines.parse(document, "performance_baselines.json")


def test_the_json_has_the_keys_of_the_contract_and_no_infinities() -> None:
    said = json.loads(json.dumps(check([run_of(100, times=1.5)], BASELINES).as_json(), allow_nan=False))
    assert {"exit", "runs", "baseline", "reasons", "endpoints"} <= set(said)
    keys = {"endpoint", "verdict", "ratio", "interval", "mde", "p95_ms", "baseline_p95_ms", "target_ms", "meets_target"}
    assert all(keys <= set(row) for row in said["endpoints"])
    row = said["endpoints"][0]
    assert (said["exit"], row["verdict"], row["target_ms"], row["meets_target"]) == (1, "REGRESSION", 60, True)
    assert row["interval"][0] < row["ratio"] < row["interval"][1]
    assert row["p95_ms"] / row["baseline_p95_ms"] == pytest.approx(1.5, rel=0.2)
    assert [figure["figure"] for figure in row["figures"]] == ["p50", "p95"]


def test_junit_has_a_case_an_endpoint_and_counts_what_failed() -> None:
    steady = make_run(TARGET, scenario="steady_rate", invalid_reasons=("overloaded",), run_id="nightly")
    root = ElementTree.fromstring(tables.junit(check([leaking(run_of(100, times=1.5)), steady], BASELINES)))
    light, invalid = root.findall("testsuite")
    assert (light.get("tests"), light.get("failures")) == ("3", "3")
    assert [case.get("name") for case in light] == ["GET /a", "GET /b", "whole runs"]
    assert (invalid.get("tests"), invalid.get("failures")) == ("1", "1")
    assert invalid.find("testcase/failure").get("message") == "nightly: not judged: overloaded"  # type: ignore[union-attr]
    assert (root.get("tests"), root.get("failures")) == ("4", str(len(root.findall(".//failure"))))
    passed = ElementTree.fromstring(tables.junit(check([run_of(100)], BASELINES)))
    assert passed.get("failures") == "0"


def test_names_stay_text_in_markdown_and_in_junit() -> None:
    target = make_target("GET /a|b <img src=x> `*[x](y)*`", "GET /c\x01&", target_ms=0.001)
    found = check([run_of(100, target=target)], NOTHING)
    shown = tables.check(found).markdown()
    assert "<img" not in shown
    [row] = [line for line in shown.splitlines() if line.startswith("| light_load | GET /a")]
    assert r"GET /a\|b &lt;img src=x&gt; \`\*\[x\](y)\*\`" in row
    assert row.replace(r"\|", "").count("|") == 11
    case = ElementTree.fromstring(tables.junit(found)).findall(".//testcase")
    assert [one.get("name") for one in case[:2]] == [target.endpoints[0].name, "GET /c\ufffd&"]


def test_every_format_shows_a_check_of_requests_that_all_failed() -> None:
    found = check([without_successes(run_of(100))], BASELINES)
    assert found.exit_status == 1
    assert "failed" in tables.check(found).text()
    assert "failed" in tables.check(found).markdown()
    assert ElementTree.fromstring(tables.junit(found)).get("failures") == "2"


def of_cpu(others: float = 1.0, waits: float = 0.02, **values: Any) -> Baselines:
    """A baseline whose runs differ in their CPU per request by about 1 %."""
    noise = np.random.default_rng(3).normal(1.0, 0.01, 8)
    runs = [sampled(run_of(seed, **values), 2.1 * noise[seed - 1] * others, waits) for seed in range(1, 9)]
    return Baselines(baselines=(baseline_of(runs),))


def test_more_cpu_a_request_is_a_regression_of_all_requests_where_no_percentile_can_see_it() -> None:
    found = check([sampled(run_of(100), 2.42)], of_cpu())
    assert verdicts(found)["all requests"] == "REGRESSION"
    [reason] = found.reasons
    assert re.fullmatch(r"all requests: CPU per request 2\.[01]\d* -> 2\.4\d* ms \(\+1\d %, \d+ % to \d+ %\)", reason)
    told = next(row for row in found.as_json()["endpoints"] if row["endpoint"] == "all requests")
    assert (told["figure"], told["p95_ms"]) == ("CPU per request", None)
    assert told["cpu_ms_per_request"] == pytest.approx(2.42, rel=0.02)
    assert told["baseline_cpu_ms_per_request"] == pytest.approx(2.1, rel=0.02)
    assert "in 2 of" not in tables.check(found).title
    assert not any('"all requests"' in note or "'all requests'" in note for note in found.notes)


def test_as_much_cpu_as_before_is_the_same_and_less_is_improved() -> None:
    assert verdicts(check([sampled(run_of(100), 2.1)], of_cpu()))["all requests"] == "SAME"
    found = check([sampled(run_of(100), 1.7)], of_cpu())
    assert (verdicts(found)["all requests"], found.exit_status) == ("IMPROVED", 0)


def test_an_endpoint_alone_has_a_cpu_of_its_own() -> None:
    scenario = {"scenario": "baseline", "seconds": 6.0}
    found = check([sampled(run_of(100, **scenario), 2.6)], of_cpu(**scenario))
    assert "all requests" not in verdicts(found)
    assert set(verdicts(found).values()) == {"REGRESSION"}
    assert {row.endpoint: row.cpu_ms_per_request for row in found.endpoints}["GET /b"] == pytest.approx(2.6, rel=0.05)


def test_a_baseline_of_before_judges_as_it_did() -> None:
    before = BASELINES.model_dump(mode="json")
    for entry in before["baselines"][0]["endpoints"].values():
        del entry["per_run"]["waited_per_ran"], entry["per_run"]["cpu_ms"]
    old = Baselines.model_validate(before)
    found, known = check([sampled(run_of(100), 9.9)], old), check([run_of(100)], BASELINES)
    assert verdicts(found) == verdicts(known)
    assert [row.figures for row in found.endpoints] == [row.figures for row in known.endpoints]


def test_a_run_slow_for_want_of_a_core_is_open_and_says_who_had_it() -> None:
    found = check([sampled(run_of(100, times=2.0), 2.1, waits=1.2)], of_cpu())
    row = found.endpoints[1]
    assert (row.verdict, found.exit_status) == ("INCONCLUSIVE", 0)
    assert row.reason.startswith("other processes held the cores: the target waited 1.2 s per second of work; ")
    slow = check([sampled(run_of(100, times=2.0), 2.1)], of_cpu())
    assert slow.endpoints[1].verdict == "REGRESSION"


def test_an_invalid_run_says_who_had_the_cores() -> None:
    run = changed(sampled(run_of(100), 2.1, waits=1.2), invalid_reasons=("it was late",))
    [reason] = check([run], NOTHING).reasons
    assert "not judged: it was late; other processes held the cores: the target waited 1.2 s per second" in reason


def test_a_check_says_where_its_ratios_are_less_what_a_wait_for_a_core_explains() -> None:
    waits = np.linspace(0.0, 1.4, 8)
    before = [sampled(run_of(seed, times=1 + 0.5 * wait), 2.1, waits=wait) for seed, wait in enumerate(waits, start=1)]
    known = Baselines(baselines=(baseline_of(before),))
    quiet, busy = (check([sampled(run_of(100, times=1 + 0.5 * wait), 2.1, waits=wait)], known) for wait in (0.7, 1.4))
    told = "× is without that, the times are as measured."
    assert any(note.endswith(told) for note in tables.check(busy).notes)
    assert not any(note.endswith(told) for note in tables.check(quiet).notes)
