"""Interleaved comparisons: scipy's t-test as oracle, and errors that looking early does not raise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from perflib.stats.paired import MIN_RESTARTS, Plan, decide, paired, plan, restart_log_ratio

LOGS = arrays(np.int64, st.integers(3, 30), elements=st.integers(-1000, 1000), unique=True).map(
    lambda found: found / 1000
)


def ended(log_ratios: np.ndarray, planned: Plan) -> tuple[str, int]:
    for look in planned.looks:
        verdict = decide(log_ratios[: look.restarts], planned).verdict
        if verdict:
            return verdict, look.restarts
    raise AssertionError("no verdict")


@given(LOGS)
@settings(max_examples=50, deadline=None)
def test_restarts_are_judged_by_the_paired_t_test(logs: np.ndarray) -> None:
    found = paired(logs)
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.p_slower == pytest.approx(stats.ttest_1samp(logs, 0.0, alternative="greater").pvalue)
    assert found.p_faster == pytest.approx(stats.ttest_1samp(logs, 0.0, alternative="less").pvalue)


@given(LOGS)
@settings(max_examples=50, deadline=None)
def test_swapping_the_sides_inverts_the_ratio(logs: np.ndarray) -> None:
    one, other = paired(logs), paired(-logs)
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert other.interval.low == pytest.approx(1 / one.interval.high)
    assert other.p_faster == pytest.approx(one.p_slower)


def test_a_restart_is_the_median_of_its_pairs_of_blocks() -> None:
    a, b = np.array([10.0, 10.0, 10.0]), np.array([11.0, 12.0, 30.0])
    assert restart_log_ratio(a, b) == pytest.approx(math.log(1.2))
    assert restart_log_ratio(b, a) == pytest.approx(-math.log(1.2))


def test_failed_blocks_make_a_side_slower_and_never_faster() -> None:
    fine, failed = np.full(3, 10.0), np.full(3, math.inf)
    assert restart_log_ratio(fine, failed) == pytest.approx(math.log(1000))
    assert restart_log_ratio(failed, fine) == pytest.approx(-math.log(1000))
    assert restart_log_ratio(failed, failed) == 0.0
    assert restart_log_ratio(fine, np.array([10.0, math.inf, 10.0])) == 0.0


@pytest.mark.parametrize(("detect", "noise_sd"), [(0.10, 0.10), (0.05, 0.05), (0.25, 0.4), (0.02, 0.05)])
@pytest.mark.parametrize("early", [True, False])
def test_a_plan_takes_the_fewest_restarts_whose_last_look_has_the_power(
    detect: float, noise_sd: float, early: bool
) -> None:
    planned = plan(detect, noise_sd, early=early)

    def power(n: int) -> float:
        critical = stats.t.isf(planned.looks[-1].alpha, n - 1)
        return float(stats.nct.sf(critical, n - 1, math.log1p(detect) * math.sqrt(n) / noise_sd))

    assert power(planned.restarts) >= 0.9 - 1e-6
    assert power(planned.restarts - 1) < 0.9
    assert sum(look.alpha for look in planned.looks) == pytest.approx(0.01)


def test_a_plan_takes_ten_restarts_at_least() -> None:
    assert plan(1.0, 0.01).restarts == MIN_RESTARTS
    assert [look.restarts for look in plan(1.0, 0.01).looks] == [5, 8, 10]


def test_a_change_that_cannot_show_is_refused() -> None:
    with pytest.raises(ValueError, match="does not show"):
        plan(0.01, 0.5)


def test_the_smallest_change_that_shows_is_named_and_can_be_planned() -> None:
    with pytest.raises(ValueError, match=r"does not show .* the smallest that does is 0\.6%"):
        plan(0.005, 0.05)
    assert plan(0.006, 0.05).restarts <= 1000


def test_restarts_that_are_no_look_are_refused_for_that_would_be_peeking() -> None:
    with pytest.raises(ValueError, match="no look of the plan"):
        decide(np.zeros(6), plan(0.1, 0.05))


def test_looking_early_alarms_no_more_than_promised_even_without_a_threshold() -> None:
    planned = plan(0.10, 0.05)
    logs = np.random.default_rng(77).normal(0.0, 0.05, (20_000, planned.restarts))
    crossed = np.zeros(len(logs), bool)
    for look in planned.looks:
        seen = logs[:, : look.restarts]
        t = seen.mean(axis=1) / seen.std(axis=1, ddof=1) * math.sqrt(look.restarts)
        crossed |= t > stats.t.isf(look.alpha, look.restarts - 1)
    assert 0.006 < crossed.mean() <= stats.binom.ppf(0.999, 20_000, 0.01) / 20_000


@pytest.mark.parametrize(("times", "verdict"), [(1.10, "REGRESSION"), (1 / 1.10, "IMPROVED")])
def test_the_change_that_was_planned_for_is_found_with_the_power_and_never_called_the_same(
    times: float, verdict: str
) -> None:
    planned, rng = plan(0.10, 0.10), np.random.default_rng(78)
    all_ended = [ended(rng.normal(math.log(times), 0.10, planned.restarts), planned) for _ in range(500)]
    assert sum(found == verdict for found, _ in all_ended) >= stats.binom.ppf(0.001, 500, 0.90)
    assert sum(found == "SAME" for found, _ in all_ended) <= stats.binom.ppf(0.999, 500, 0.01)


def test_a_clear_answer_stops_early_and_noise_goes_on_to_the_end() -> None:
    planned, rng = plan(0.10, 0.05), np.random.default_rng(79)
    assert ended(rng.normal(math.log(2.0), 0.05, planned.restarts), planned) == ("REGRESSION", 5)
    assert ended(rng.normal(0.0, 0.01, planned.restarts), planned) == ("SAME", 5)
    assert ended(np.tile([0.4, -0.4], 5), planned) == ("INCONCLUSIVE", planned.restarts)


def test_the_intervals_of_all_looks_hold_at_once() -> None:
    planned, rng = plan(0.10, 0.05), np.random.default_rng(80)
    missed = 0
    for _ in range(1000):
        logs = rng.normal(math.log(1.2), 0.05, planned.restarts)
        seen = [decide(logs[: look.restarts], planned).change.interval for look in planned.looks]
        missed += not all(each.low <= 1.2 <= each.high for each in seen)
    assert missed <= stats.binom.ppf(0.999, 1000, 0.02)
