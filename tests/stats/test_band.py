"""Verdicts against a baseline: oracles from scipy, laws, and the error rates they promise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from perflib.stats.band import Change, Insufficient, Judgement, Least, Sample, changes, holm, is_clear, judge
from perflib.stats.explained import Waits
from perflib.stats.moderated import moderated_variance, trigamma_inverse
from perflib.stats.spending import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FIGURES = ("p50", "p95")


def noisy(endpoints: int = 1, runs: int = 8, noise: float = 0.05, seed: int = 1, new: int = 1) -> Floats:
    """Log percentiles, shape (endpoints, figures, runs + new)."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((endpoints, 1, runs + new))
    own = rng.standard_normal((endpoints, 2, runs + new))
    return np.log([[20.0], [45.0]]) + noise * (0.8 * shared + 0.6 * own)


def samples(logs: Floats, new: int = 1) -> list[Sample]:
    values = np.exp(logs)
    return [
        Sample(f"GET /{i}", figure, values[i, j, :-new], values[i, j, -new:])
        for i in range(len(values))
        for j, figure in enumerate(FIGURES)
    ]


def judged(logs: Floats, times: float = 1.0) -> tuple[Judgement, ...]:
    """The verdicts, the first endpoint's new run being so many times slower."""
    slower = logs.copy()
    slower[0, :, -1] += math.log(times)
    return judge(samples(slower))


def change_of(sample: Sample) -> Change:
    (found,) = changes([sample])
    assert isinstance(found, Change)
    return found


def test_holm_is_what_a_hand_computes() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


@pytest.mark.parametrize("new", [1, 3])
def test_one_endpoint_has_the_plain_prediction_interval_of_student(new: int) -> None:
    sample = samples(noisy(new=new), new)[0]
    found, logs = change_of(sample), np.log(sample.baseline)
    se = logs.std(ddof=1) * math.sqrt(1 / 8 + 1 / new)
    gain = np.log(sample.new).mean() - logs.mean()
    low, high = stats.t.interval(0.95, 7, gain, se)
    assert found.ratio == pytest.approx(math.exp(gain))
    assert (found.interval.low, found.interval.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert (found.p_slower, found.p_faster) == pytest.approx((stats.t.sf(gain / se, 7), stats.t.cdf(gain / se, 7)))


def test_the_smallest_detectable_change_is_found_with_the_power_it_names() -> None:
    for_all = changes(samples(noisy(endpoints=2)))
    for sample, found in zip(samples(noisy(endpoints=2)), for_all, strict=True):
        assert isinstance(found, Change)
        se = np.log(sample.baseline).std(ddof=1) * math.sqrt(9 / 8)
        critical = stats.t.isf(0.01 / 4, 7)
        assert stats.nct.sf(critical, 7, math.log1p(found.mde) / se) == pytest.approx(0.9, abs=1e-6)


@given(st.floats(1e-4, 1e4), st.integers(1, 4), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_unit_of_the_figures_does_not_matter(scale: float, endpoints: int, seed: int) -> None:
    logs = noisy(endpoints, seed=seed)
    for one, other in zip(changes(samples(logs)), changes(samples(logs + math.log(scale))), strict=True):
        assert isinstance(one, Change)
        assert isinstance(other, Change)
        assert (one.ratio, one.mde, one.p_slower) == pytest.approx((other.ratio, other.mde, other.p_slower), rel=1e-6)


@given(st.integers(1, 5), st.integers(0, 100), st.floats(0.5, 2.0))
@settings(max_examples=30, deadline=None)
def test_the_mirror_image_has_the_inverse_ratio_and_the_other_p(endpoints: int, seed: int, times: float) -> None:
    logs = noisy(endpoints, seed=seed)
    logs[0, :, -1] += math.log(times)
    for one, mirror in zip(changes(samples(logs)), changes(samples(-logs)), strict=True):
        assert isinstance(one, Change)
        assert isinstance(mirror, Change)
        assert mirror.ratio == pytest.approx(1 / one.ratio)
        assert mirror.interval.low == pytest.approx(1 / one.interval.high)
        assert (mirror.p_slower, mirror.mde) == pytest.approx((one.p_faster, one.mde))
    swap = {"REGRESSION": "IMPROVED", "IMPROVED": "REGRESSION"}
    mirrored = [each.verdict for each in judge(samples(-logs))]
    assert mirrored == [swap.get(each.verdict, each.verdict) for each in judge(samples(logs))]


def test_a_doubling_is_a_regression_and_a_halving_an_improvement_of_that_endpoint_alone() -> None:
    logs = noisy(endpoints=3, noise=0.04)
    assert [each.verdict for each in judged(logs, 2.0)] == ["REGRESSION", "SAME", "SAME"]
    assert [each.verdict for each in judged(logs, 0.5)] == ["IMPROVED", "SAME", "SAME"]
    assert judged(logs, 2.0)[0].reason.startswith("p50 ")


def test_a_percentile_that_regressed_outweighs_one_that_improved() -> None:
    logs = noisy(noise=0.02)
    logs[0, 0, -1] -= 1.0
    logs[0, 1, -1] += 1.0
    (found,) = judge(samples(logs))
    assert found.verdict == "REGRESSION"
    assert found.reason.startswith("p95 ")


def test_a_significant_change_below_the_threshold_is_none() -> None:
    logs = noisy(noise=0.002)
    logs[0, :, -1] = logs[0, :, :-1].mean(axis=1) + math.log(1.03)
    (found,) = judge(samples(logs))
    assert found.verdict == "SAME"
    assert all(isinstance(each, Change) and each.p_slower < 0.001 for each in found.figures)


def test_noise_that_would_hide_a_change_is_inconclusive_and_says_what_would_show() -> None:
    (found,) = judge(samples(noisy(noise=0.3)))
    assert found.verdict == "INCONCLUSIVE"
    assert "only a change of" in found.reason


@pytest.mark.parametrize(("runs", "told"), [(7, "7 baseline runs; 8"), (1, "1 baseline run; 8"), (0, "0 baseline")])
def test_too_few_baseline_runs_judge_nothing(runs: int, told: str) -> None:
    (found,) = judged(noisy(runs=runs), 3.0)
    assert found.verdict == "INCONCLUSIVE"
    assert found.reason.startswith(told)
    assert all(isinstance(each, Insufficient) for each in found.figures)


def test_a_run_without_the_figure_is_no_baseline_run_of_it() -> None:
    logs = noisy(runs=9, endpoints=3)
    logs[1, 1, [0, 4]] = np.nan
    found = changes(samples(logs))
    assert found[3] == Insufficient("GET /1", "p95", "7 baseline runs; 8 are needed")
    assert sum(isinstance(each, Change) for each in found) == 5
    logs[1, 1, 4] = 3.8
    assert all(isinstance(each, Change) for each in changes(samples(logs)))


def test_a_new_run_without_the_figure_cannot_be_the_same() -> None:
    logs = noisy(noise=0.01)
    logs[0, 1, -1] = np.nan
    (found,) = judge(samples(logs))
    assert (found.verdict, found.reason) == ("INCONCLUSIVE", "too few requests for p95")


def test_failing_too_often_is_a_regression() -> None:
    logs = noisy(endpoints=3)
    logs[0, 1, -1] = math.inf
    found = judge(samples(logs))
    assert [each.verdict for each in found] == ["REGRESSION", "SAME", "SAME"]
    assert found[0].reason.startswith("p95 inf")


def test_figures_that_never_vary_break_nothing() -> None:
    logs = np.zeros((4, 2, 9))
    assert [each.verdict for each in judged(logs)] == ["SAME"] * 4
    assert [each.verdict for each in judged(logs, 1.5)] == ["REGRESSION", "SAME", "SAME", "SAME"]
    logs = np.repeat(noisy(), 4, axis=0)
    assert len({each.verdict for each in judged(logs)}) == 1


def test_nothing_to_judge_gives_no_verdict() -> None:
    assert judge([]) == ()


@given(st.floats(1e-3, 50))
@settings(deadline=None)
def test_the_inverse_of_trigamma_is_its_inverse(value: float) -> None:
    assert special.polygamma(1, trigamma_inverse(value)) == pytest.approx(value)


def test_independent_endpoints_lend_each_other_degrees_of_freedom_and_like_ones_none() -> None:
    rng = np.random.default_rng(2)
    independent = rng.standard_normal((30, 9))
    alike = rng.standard_normal(9) + 1e-6 * independent
    assert moderated_variance(independent).df.min() > 16
    assert moderated_variance(alike).df.max() == pytest.approx(8, abs=0.01)
    assert moderated_variance(independent[:2]).df.tolist() == [8, 8]


def test_moderation_draws_every_variance_towards_the_middle() -> None:
    logs = np.random.default_rng(3).standard_normal((30, 9))
    own = logs.var(axis=1, ddof=1)
    drawn = moderated_variance(logs).variance
    assert np.std(drawn) < 0.5 * np.std(own)
    assert (np.argsort(drawn) == np.argsort(own)).all()


def test_checks_where_nothing_changed_alarm_as_seldom_as_promised() -> None:
    verdicts = [{each.verdict for each in judged(noisy(endpoints=5, seed=seed))} for seed in range(1000, 1500)]
    most = stats.binom.ppf(0.999, 500, 0.01)
    assert sum("REGRESSION" in each for each in verdicts) <= most
    assert sum("IMPROVED" in each for each in verdicts) <= most


def test_a_change_of_the_size_it_names_is_found_as_often_as_promised() -> None:
    found = 0
    for seed in range(2000, 2300):
        logs = noisy(endpoints=3, seed=seed)
        p95 = judged(logs)[0].figures[1]
        assert isinstance(p95, Change)
        found += judged(logs, 1 + p95.mde)[0].verdict == "REGRESSION"
    assert found >= stats.binom.ppf(0.001, 300, 0.90)


def looked_at(logs: Floats, most: int, number: int) -> tuple[Judgement, ...]:
    """The verdicts after so many new runs of at most so many; the baseline comes first."""
    runs = logs.shape[2] - most
    return judge(samples(logs[:, :, : runs + number], number), Look(number, most))


def ended(logs: Floats, most: int) -> tuple[tuple[Judgement, ...], int]:
    """The verdicts of a check that ends as soon as it is clear, and after how many runs."""
    for number in range(1, most + 1):
        found = looked_at(logs, most, number)
        if all(is_clear(each.verdict, each.figures) for each in found):
            break
    return found, number


@pytest.mark.parametrize("noise", [0.02, 0.15])
def test_checks_that_look_after_every_run_alarm_as_seldom_as_promised(noise: float) -> None:
    alarms = 0
    for seed in range(3000, 3300):
        logs = noisy(endpoints=4, noise=noise, seed=seed, new=5)
        looks = [{each.verdict for each in looked_at(logs, 5, number)} for number in range(1, 6)]
        alarms += any("REGRESSION" in each for each in looks)
    assert alarms <= stats.binom.ppf(0.999, 300, 0.01)


def test_a_check_that_may_end_early_finds_what_it_says_ahead() -> None:
    found = 0
    for seed in range(4000, 4200):
        logs = noisy(endpoints=3, seed=seed, new=5)
        p95 = looked_at(logs, 5, 1)[0].figures[1]
        assert isinstance(p95, Change)
        logs[0, 1, 8:] += math.log(1 + p95.mde)
        found += ended(logs, 5)[0][0].verdict == "REGRESSION"
    assert found >= stats.binom.ppf(0.001, 200, 0.90)


def test_a_check_ends_at_once_for_a_doubling_and_before_its_last_run_where_nothing_changed() -> None:
    slow, same = noisy(endpoints=3, noise=0.03, new=10), noisy(endpoints=3, noise=0.03, new=10)
    slow[:, :, 8:] += math.log(2)
    assert ended(slow, 10)[1] == 1
    assert 1 < ended(same, 10)[1] < 10


def test_the_smallest_detectable_change_is_that_of_all_the_runs_that_were_planned() -> None:
    logs = noisy(endpoints=3, new=5)
    of_one, of_all = (
        [each.mde for each in found[0].figures if isinstance(each, Change)]
        for found in (judge(samples(logs[:, :, :9])), looked_at(logs, 5, 1))
    )
    assert all(whole < 0.8 * single for whole, single in zip(of_all, of_one, strict=True))


def test_a_change_that_does_not_matter_is_none_and_says_why() -> None:
    logs = noisy(noise=0.02)
    logs[0, :, -1] += math.log(1.3)
    roomy = [replace(each, least=Least(0.8, "16 ms, 1% of its limit")) for each in samples(logs)]
    (found,) = judge(roomy)
    assert found.verdict == "SAME"
    assert found.reason.endswith("; slower by less than 16 ms, 1% of its limit")
    logs[0, :, -1] += math.log(2)
    (found,) = judge([replace(each, least=Least(0.8, "16 ms, 1% of its limit")) for each in samples(logs)])
    assert found.verdict == "REGRESSION"


def beside_neighbours(seed: int, slope: float = 1.2, runs: int = 8, new: float | None = None) -> tuple[Floats, Floats]:
    """Log percentiles of five endpoints, and the wait per second of work, a third of the runs having neighbours."""
    rng = np.random.default_rng([seed, 7])
    busy = rng.random(runs + 1) < 1 / 3
    waited = np.where(busy, rng.uniform(0.2, 1.5, runs + 1), rng.uniform(0.0, 0.05, runs + 1))
    if new is not None:
        waited[-1] = new
    slopes = slope * (1 + 0.2 * rng.standard_normal((5, 2, 1)))
    return noisy(endpoints=5, runs=runs, seed=seed) + slopes * np.log1p(waited), waited


def with_waits(logs: Floats, waited: Floats) -> list[Sample]:
    return [replace(one, waits=Waits(waited[:-1], waited[-1:])) for one in samples(logs)]


def log_ratios(found: Sequence[Change | Insufficient]) -> Floats:
    return np.log([one.ratio for one in found if isinstance(one, Change)])


def test_runs_beside_neighbours_differ_no_more_than_quiet_ones_once_their_wait_is_taken_off() -> None:
    quiet, raw, less = [], [], []
    for seed in range(300):
        logs, waited = beside_neighbours(seed, runs=20)
        quiet.append(log_ratios(changes(samples(noisy(endpoints=5, runs=20, seed=seed)))))
        raw.append(log_ratios(changes(samples(logs))))
        less.append(log_ratios(changes(with_waits(logs, waited))))
    assert np.std(raw) > 4 * np.std(quiet)
    assert np.std(less) < 1.25 * np.std(quiet)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_checks_beside_neighbours_alarm_as_seldom_as_promised(slope: float) -> None:
    verdicts = [{one.verdict for one in judge(with_waits(*beside_neighbours(seed, slope)))} for seed in range(2000)]
    most = stats.binom.ppf(0.999, 2000, 0.01)
    assert sum("REGRESSION" in each for each in verdicts) <= most
    assert sum("IMPROVED" in each for each in verdicts) <= most


def test_a_real_change_beside_neighbours_is_told_as_large_as_it_is() -> None:
    found = []
    for seed in range(400):
        logs, waited = beside_neighbours(seed, runs=20)
        logs[0, :, -1] += math.log(1.2)
        found.append(log_ratios(changes(with_waits(logs, waited)))[:2])
    assert np.exp(np.mean(found)) == pytest.approx(1.2, rel=0.015)


def test_neighbours_that_no_run_of_the_baseline_had_make_a_slower_run_uncertain_rather_than_a_regression() -> None:
    quiet = np.linspace(0.01, 0.03, 9)
    quiet[-1] = 1.2
    logs = noisy(endpoints=3, noise=0.02)
    logs[:, :, -1] += 1.3 * np.log1p(1.2)
    assert {one.verdict for one in judge(samples(logs))} == {"REGRESSION"}
    assert {one.verdict for one in judge(with_waits(logs, quiet))} == {"INCONCLUSIVE"}


def test_a_wait_that_is_not_known_explains_nothing() -> None:
    logs, waited = beside_neighbours(1)
    plain = changes(samples(logs))
    assert changes(with_waits(logs, np.full(9, np.nan))) == plain
    assert changes(with_waits(logs, np.where(np.arange(9) == 8, np.nan, waited))) == plain
    assert changes(with_waits(logs, np.where(np.arange(9) == 3, np.nan, waited))) == plain
    alike = log_ratios(changes(with_waits(logs, np.full(9, 0.4))))
    assert alike == pytest.approx(log_ratios(plain))
