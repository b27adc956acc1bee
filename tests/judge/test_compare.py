"""A against B: verdicts from restarts of both, and from two stored runs, against known truths."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perflib.judge.baseline import baseline_of
from perflib.judge.compare import (
    Block,
    Comparison,
    Restart,
    Side,
    as_json,
    by_endpoint,
    compare_stored,
    exit_status,
    is_clear,
    log_ratios,
    notes,
    shifts,
    verdicts,
)
from perflib.session.machine import this_machine
from perflib.spec import SCENARIOS, Closed, Run
from perflib.spec.baselines import Baselines
from perflib.text import tables
from perflib.workbook import charts
from tests.synthetic import make_run, make_target, sampled

TARGET = make_target("GET /a", "GET /b")
NAMES = ("GET /a", "GET /b")


def block(side: Side, ms: dict[str, float | None], errors: int = 0) -> Block:
    half = {name: None if value is None else value / 2 for name, value in ms.items()}
    return Block(side=side, p50_ms=half, p95_ms=ms, requests=500, errors=errors)


def measured(
    restarts: int, slower: float = 1.0, *, noise: float = 0.03, seed: int = 1, detect: float = 0.1, **facts: Any
) -> Comparison:
    """Restarts of both sides, B's GET /a slower by a factor; mood and luck are drawn from `seed`."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(restarts):
        mood = math.exp(rng.normal(0, 0.2))
        luck = {side: {name: mood * math.exp(rng.normal(0, noise)) for name in NAMES} for side in ("a", "b")}
        luck["b"]["GET /a"] *= slower
        blocks = [
            block(side, {name: 100 * value for name, value in luck[side].items()}) for side in ("a", "b", "b", "a")
        ]
        made.append(Restart(blocks=tuple(blocks)))
    about = {
        "comparison_id": "c",
        "a": "old --port {port}",
        "b": "new --port {port}",
        "restarted": True,
        "scenario": SCENARIOS["light_load"]["quick"],
        "endpoints": NAMES,
        "detect": detect,
        "pairs": 2,
        "block_s": 5.0,
        "seed": 1,
        "started_at": "2026-01-01T00:00:00+00:00",
        "environment": this_machine(),
        "restarts": tuple(made),
    }
    return Comparison.model_validate(about | facts)


def whole(slower: float = 1.0, **more: Any) -> Comparison:
    """As many restarts as the plan takes."""
    return measured(measured(0).plan.restarts, slower, **more)


def test_a_slower_endpoint_is_found_and_the_other_is_left_alone() -> None:
    figures = verdicts(whole(1.25))
    assert by_endpoint(figures) == {"GET /a": "REGRESSION", "GET /b": "SAME"}
    assert exit_status(figures) == 1
    slow = next(one for one in figures if (one.endpoint, one.figure) == ("GET /a", "p95"))
    assert slow.ratio == pytest.approx(1.25, rel=0.05)
    assert slow.interval is not None
    assert slow.interval.low < 1.25 < slow.interval.high
    said = tables.comparison_sentence(figures)
    assert re.fullmatch(
        r"B answers GET /a in \d+ ms instead of \d+ \(p95, \+\d+%, .*\); nothing else changed .* \d%\.", said
    )


def test_a_slower_one_within_a_hundredth_of_its_limit_is_the_same_and_says_what_matters() -> None:
    comparison = whole(1.25, limits_ms={"GET /a": 5_000.0, "GET /b": 200.0})
    figures = verdicts(comparison)
    assert by_endpoint(figures) == {"GET /a": "SAME", "GET /b": "SAME"}
    assert figures[1].reason.endswith("; what matters is 50.0 ms, 1% of its limit")
    assert by_endpoint(verdicts(whole(1.25, limits_ms={"GET /a": 500.0})))["GET /a"] == "REGRESSION"


def test_of_two_stored_runs_a_rise_within_a_hundredth_of_the_limit_is_no_regression() -> None:
    roomy = make_target("GET /a", target_ms=1_000)
    runs = [make_run(roomy, seed=seed, run_id=f"r{seed}") for seed in range(10)]
    known = Baselines().with_entry(baseline_of(runs))
    slow = make_run(roomy, seed=52, run_id="c", slowdown=lambda at_s: np.full_like(at_s, 2.0))
    assert by_endpoint(compare_stored(runs[0], slow, known)) == {"GET /a": "SAME"}


def test_a_faster_one_is_an_improvement_and_no_failure() -> None:
    figures = verdicts(whole(0.75))
    assert by_endpoint(figures)["GET /a"] == "IMPROVED"
    assert exit_status(figures) == 0


def test_equals_seldom_differ() -> None:
    alarms = sum("REGRESSION" in by_endpoint(verdicts(whole(seed=seed))).values() for seed in range(300))
    assert alarms <= 8, "1 % of 300 is 3; more than 8 has a chance below 1 %"


def test_it_ends_early_when_all_is_clear_and_not_before_the_first_look() -> None:
    planned = measured(0).plan
    first = planned.looks[0].restarts
    assert not is_clear(measured(first - 1, 2.0))
    assert is_clear(measured(first, 2.0, noise=0.005))
    assert not is_clear(measured(first, 1.0, noise=0.2))


def test_noise_beyond_the_plan_stays_inconclusive_and_says_what_it_sees() -> None:
    figures = verdicts(whole(1.05, noise=0.4))
    assert set(by_endpoint(figures).values()) == {"INCONCLUSIVE"}
    assert exit_status(figures) == 3
    assert all(one.mde is not None and one.mde > 0.1 for one in figures)


@pytest.mark.parametrize(("spoilt", "ratio"), [((0,), 2.0), ((0, 2), None)])
def test_a_pair_with_an_invalid_block_is_left_out_where_half_of_the_pairs_are_sound(
    spoilt: tuple[int, ...], ratio: float | None
) -> None:
    blocks = [
        block(side, dict.fromkeys(NAMES, ms)) for side, ms in (("a", 10.0), ("b", 20.0), ("b", 20.0), ("a", 10.0))
    ]
    for number in spoilt:
        blocks[number] = block(blocks[number].side, dict.fromkeys(NAMES, 9e9)).replaced(invalid="2.0 of 4 users")
    comparison = measured(0).replaced(restarts=(Restart(blocks=tuple(blocks)),))
    [found] = log_ratios(comparison, "GET /a", "p95")
    assert math.isnan(found) if ratio is None else math.exp(found) == pytest.approx(ratio)
    assert f"blocks left out: {len(spoilt)}, the last one as 2.0 of 4 users" in notes(comparison)


def test_a_block_with_too_few_requests_gives_no_figure() -> None:
    comparison = whole()
    poor = Restart(blocks=(block("a", {"GET /a": None, "GET /b": 1.0}), block("b", {"GET /a": 1.0, "GET /b": 1.0})))
    comparison = comparison.model_copy(update={"restarts": (*comparison.restarts[:-1], poor)})
    found = {one.endpoint: one for one in verdicts(comparison)}
    assert found["GET /a"].verdict == "INCONCLUSIVE"
    assert "too few requests" in found["GET /a"].reason
    assert found["GET /b"].ratio is not None
    assert "GET /a p95: too few requests for p95" in tables.comparison(verdicts(comparison)).text()


def test_where_p95_lacks_requests_p50_judges_alone() -> None:
    def without_p95(slower: float) -> Comparison:
        comparison = whole(slower)
        restarts = [
            Restart(blocks=tuple(one.replaced(p95_ms=one.p95_ms | {"GET /a": None}) for one in restart.blocks))
            for restart in comparison.restarts
        ]
        return comparison.replaced(restarts=tuple(restarts))

    same, slower = verdicts(without_p95(1.0)), verdicts(without_p95(1.25))
    assert by_endpoint(same) == {"GET /a": "SAME", "GET /b": "SAME"}
    assert (exit_status(same), exit_status(slower)) == (0, 1)
    assert "GET /a p95: too few requests for p95" in tables.comparison(same).text()


def test_a_side_that_fails_is_slower_and_survives_the_file() -> None:
    failing = {"GET /a": math.inf, "GET /b": 100.0}
    restart = Restart(blocks=(block("a", {"GET /a": 100.0, "GET /b": 100.0}), block("b", failing, errors=500)))
    comparison = measured(0).model_copy(update={"restarts": (restart,) * measured(0).plan.restarts})
    again = Comparison.model_validate_json(comparison.model_dump_json())
    assert again == comparison
    assert by_endpoint(verdicts(again))["GET /a"] == "REGRESSION"
    assert any("requests to B failed" in note for note in notes(again))


def test_two_urls_are_blocks_not_restarts_and_it_says_so() -> None:
    assert any("blocks, not restarts" in note for note in notes(whole(restarted=False)))
    assert not any("blocks, not restarts" in note for note in notes(whole()))


def test_swapping_the_sides_inverts_the_ratio() -> None:
    comparison = whole(1.3)
    swapped = [
        Restart(blocks=tuple(b.model_copy(update={"side": "b" if b.side == "a" else "a"}) for b in restart.blocks))
        for restart in comparison.restarts
    ]
    other = comparison.model_copy(update={"restarts": tuple(swapped)})
    for name in NAMES:
        assert log_ratios(other, name, "p95") == pytest.approx(-log_ratios(comparison, name, "p95"))


def test_two_stored_runs_without_a_baseline_get_no_verdict_and_the_reason() -> None:
    a, b = make_run(TARGET, seed=1), make_run(TARGET, seed=2)
    figures = compare_stored(a, b, Baselines())
    assert set(by_endpoint(figures).values()) == {"INCONCLUSIVE"}
    assert "no baseline" in figures[0].reason
    assert tables.comparison(figures).text().count("one run per side is not enough") == 1
    assert exit_status(figures) == 3


def test_with_a_baseline_two_stored_runs_are_told_apart_or_not() -> None:
    known = Baselines().with_entry(baseline_of([make_run(TARGET, seed=seed, run_id=f"r{seed}") for seed in range(10)]))
    a, same = make_run(TARGET, seed=50, run_id="a"), make_run(TARGET, seed=51, run_id="b")
    slow = make_run(TARGET, seed=52, run_id="c", slowdown=lambda at_s: np.full_like(at_s, 2.0))
    assert "REGRESSION" not in by_endpoint(compare_stored(a, same, known)).values()
    assert set(by_endpoint(compare_stored(a, slow, known)).values()) == {"REGRESSION"}
    assert set(by_endpoint(compare_stored(slow, a, known)).values()) <= {"IMPROVED", "INCONCLUSIVE"}


def test_what_the_target_waited_for_a_core_is_taken_off_between_two_stored_runs() -> None:
    noise = np.random.default_rng(3).uniform(0.0, 1.0, 20)
    busy = [sampled(_slower(seed, 1 + waits), 2.0, waits) for seed, waits in enumerate(noise, 1)]
    known = Baselines().with_entry(baseline_of(busy))
    a, beside, slow = (
        sampled(_slower(50), 2.0, 0.02),
        sampled(_slower(51, 1.8), 2.0, 0.8),
        sampled(_slower(52, 2.5), 2.0),
    )
    found = compare_stored(a, beside, known)
    assert "REGRESSION" not in by_endpoint(found).values()
    assert found[0].ratio == pytest.approx(1.0, abs=0.1)
    assert found[0].b.ms == pytest.approx(1.8 * found[0].a.ms, rel=0.1)
    assert re.search(r"the target's wait for a core, which makes it 1\.\d+ x, is taken off", found[0].reason)
    found = compare_stored(a, slow, known)
    assert set(by_endpoint(found).values()) == {"REGRESSION"}
    assert "is taken off" not in found[0].reason


def _slower(seed: int, times: float = 1.0) -> Run:
    return make_run(TARGET, seed=seed, run_id=f"s{seed}", slowdown=lambda at_s: np.full_like(at_s, times))


def test_the_shift_function_shows_the_factor_at_every_quantile() -> None:
    a = make_run(TARGET, seconds=60.0, seed=1)
    b = make_run(TARGET, seconds=60.0, seed=2, slowdown=lambda at_s: np.full_like(at_s, 1.5))
    for one in shifts(a, b):
        for point in one.shifts:
            assert point.ratio == pytest.approx(1.5, rel=0.15)
            assert point.interval is not None
            assert point.interval.low < 1.5 < point.interval.high or point.q > 0.9


def test_the_json_is_plain() -> None:
    said = json.loads(json.dumps(as_json(verdicts(whole(1.25)), ("a note",)), allow_nan=False))
    assert said["exit"] == 1
    assert said["endpoints"] == {"GET /a": "REGRESSION", "GET /b": "SAME"}
    sides = {f"{side}_{name}" for side in "ab" for name in ("ms", "at_least_ms", "requests")}
    assert {"endpoint", "figure", "verdict", "ratio", "interval", "mde", "reason"} | sides == set(said["figures"][0])


def test_the_charts_show_every_figure_restart_and_quantile() -> None:
    comparison = whole(1.25)
    ratios = charts.ratios(verdicts(comparison))
    assert {trace.name for trace in ratios.data} == {"regression", "same"}
    assert sum(len(trace.x) for trace in ratios.data) == 4
    restarts = charts.restarts(comparison)
    assert [len(trace.y) for trace in restarts.data] == [len(comparison.restarts)] * 2
    assert len(charts.shift(make_run(TARGET, seed=1), make_run(TARGET, seed=2)).data) == 2
    for empty in (charts.ratios(()), charts.restarts(None), charts.shift()):
        assert len(empty.layout.annotations) == 1


def test_runs_that_are_not_alike_are_not_compared_and_what_differs_is_named() -> None:
    a = make_run(make_target("/a"))
    b = _with_users(a, 50)
    found = compare_stored(a, b, Baselines())
    assert {one.verdict for one in found} == {"INCONCLUSIVE"}
    assert all("not alike: load is 50 users, was 10 users" in one.reason for one in found)
    assert exit_status(found) == 3
    forced = compare_stored(a, b, Baselines(), although_different=True)
    assert not any("not alike" in one.reason for one in forced)


def test_a_run_that_was_interrupted_is_not_compared() -> None:
    a, b = make_run(make_target("/a")), make_run(make_target("/a"), state="interrupted")
    assert all("is not sound: it was interrupted" in one.reason for one in compare_stored(a, b, Baselines()))


def _with_users(run: Run, users: int) -> Run:
    scenario = run.facts.scenario.replaced(workload=Closed(users=users))
    return replace(run, facts=run.facts.replaced(scenario=scenario, run_id="other"))
