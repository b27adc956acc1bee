"""Block bootstrap intervals: a slow oracle, laws, and the coverage they promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from perflib.stats import Interval
from perflib.stats.bootstrap import MIN_BLOCKS, Estimate, Series, intervals, shift


def make_series(seed: int = 1, duration_s: float = 60.0, rate_per_s: float = 30.0, sigma: float = 0.5) -> Series:
    rng = np.random.default_rng(seed)
    count = int(duration_s * rate_per_s)
    return Series(rng.random(count) * duration_s, rng.lognormal(3.0, sigma, count), duration_s)


def interval_of(estimate: Estimate) -> Interval:
    assert estimate.interval is not None
    return estimate.interval


def by_hand(run: Series, q: float, resamples: int, seed: int) -> Interval:
    """The same resamples, put together request by request."""
    windows = int(run.duration_s)
    inside = [run.values[run.at_s.astype(int) == window] for window in range(windows)]
    starts = np.random.default_rng(seed).integers(0, windows, (resamples, MIN_BLOCKS))
    length = windows // MIN_BLOCKS
    drawn = []
    for row in starts:
        parts = [inside[(start + step) % windows] for start in row for step in range(length)]
        drawn.append(np.quantile(np.concatenate(parts), q, method="inverted_cdf"))
    wide = math.sqrt(MIN_BLOCKS / (MIN_BLOCKS - 1)) * stats.t.ppf(0.975, MIN_BLOCKS - 1)
    low, high = np.quantile(drawn, stats.norm.cdf([-wide, wide]), method="inverted_cdf")
    return Interval(low, high)


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_an_interval_is_what_resampling_request_by_request_gives(q: float) -> None:
    run = make_series()
    (found,) = intervals(run, (q,), resamples=199, seed=5)
    expected = by_hand(run, q, 199, 5)
    assert found.value == np.quantile(run.values, q, method="inverted_cdf")
    assert interval_of(found).low == pytest.approx(expected.low, rel=0.001)
    assert interval_of(found).high == pytest.approx(expected.high, rel=0.001)


def test_a_run_of_less_than_ten_blocks_has_no_interval() -> None:
    assert all(each.interval is None and each.value for each in intervals(make_series(duration_s=49.9)))
    assert all(each.interval for each in intervals(make_series(duration_s=50.0)))


def test_a_percentile_that_the_sample_cannot_support_has_neither_value_nor_interval() -> None:
    found = intervals(make_series(rate_per_s=1.0))
    assert [each.value is None for each in found] == [False, False, True]
    assert [each.interval is None for each in found] == [False, False, True]
    empty = Series(np.array([]), np.array([]), 60.0)
    assert intervals(empty, (0.5,)) == (Estimate(0.5, None, None),)
    assert shift(empty, empty, (0.5,))[0].ratio is None


def test_failures_reach_to_infinity_and_no_further_than_their_share() -> None:
    run = make_series()
    values = run.values.copy()
    values[np.random.default_rng(8).choice(len(values), 81, replace=False)] = math.inf  # 4.5 %
    p50, p95, p99 = (interval_of(each) for each in intervals(replace(run, values=values)))
    assert p50.high < math.inf
    assert (math.isfinite(p95.low), p95.high) == (True, math.inf)
    assert p99 == Interval(math.inf, math.inf)


@given(st.floats(1e-3, 1e3), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_values_does_not_matter(scale: float, seed: int) -> None:
    run = make_series(seed)
    scaled = replace(run, values=run.values * scale)
    for one, other in zip(intervals(run, resamples=99), intervals(scaled, resamples=99), strict=True):
        assert interval_of(other).low == pytest.approx(scale * interval_of(one).low, rel=0.002)
        assert interval_of(other).high == pytest.approx(scale * interval_of(one).high, rel=0.002)


def test_the_order_of_the_requests_does_not_matter() -> None:
    run, order = make_series(), np.random.default_rng(9).permutation(1800)
    assert intervals(run) == intervals(Series(run.at_s[order], run.values[order], run.duration_s))


def test_requests_that_are_alike_in_time_widen_the_interval() -> None:
    run = make_series(duration_s=300.0)
    mood = np.where((run.at_s // 50).astype(int) % 3 == 0, 1.3, 1.0)
    calm, moody = (
        intervals(replace(run, values=run.values * factor), (0.5,))[0]
        for factor in (np.random.default_rng(3).permutation(mood), mood)
    )
    assert interval_of(moody).high - interval_of(moody).low > 1.5 * (interval_of(calm).high - interval_of(calm).low)


def test_intervals_of_independent_requests_cover_as_often_as_promised() -> None:
    truth = np.exp(3.0 + 0.5 * special.ndtri([0.5, 0.95, 0.99]))
    hits = np.zeros(3)
    for seed in range(200):
        found = [interval_of(each) for each in intervals(make_series(1000 + seed), resamples=299)]
        hits += [each.low <= at <= each.high for each, at in zip(found, truth, strict=True)]
    low, high = stats.binom.ppf([0.001, 0.999], 200, 0.95)
    assert (hits >= low).all()
    assert (hits <= high).all()


def test_a_shift_is_the_ratio_of_the_quantiles_inside_its_interval() -> None:
    a, b = make_series(1), make_series(2)
    for each in shift(a, replace(b, values=b.values * 1.5)):
        assert each.ratio is not None
        assert each.interval is not None
        assert each.interval.low <= each.ratio <= each.interval.high
        assert each.ratio == pytest.approx(1.5, rel=0.2)


def test_swapping_the_runs_inverts_the_shift() -> None:
    a, b = make_series(1), make_series(2, sigma=0.7)
    for one, other in zip(shift(a, b), shift(b, a), strict=True):
        assert one.ratio is not None
        assert one.interval is not None
        assert other.interval is not None
        assert other.ratio == pytest.approx(1 / one.ratio)
        assert other.interval.low == pytest.approx(1 / one.interval.high, rel=0.04)


def test_intervals_of_a_shift_cover_as_often_as_promised() -> None:
    hits = np.zeros(3)
    for seed in range(100):
        a, b = make_series(5000 + 2 * seed), make_series(5001 + 2 * seed)
        found = [each.interval for each in shift(a, replace(b, values=b.values * 1.1), (0.1, 0.5, 0.9), resamples=299)]
        hits += [each is not None and each.low <= 1.1 <= each.high for each in found]
    low, high = stats.binom.ppf([0.001, 0.999], 100, 0.95)
    assert (hits >= low).all()
    assert (hits <= high).all()


def test_noise_known_from_run_to_run_widens_a_shift() -> None:
    a, b = make_series(1), make_series(2)
    plain, told = (shift(a, b, (0.5,), drift_sd=sd)[0].interval for sd in (0.0, 0.10))
    assert plain is not None
    assert told is not None
    assert math.log(told.high / told.low) > 2 * 1.96 * 0.10 * math.sqrt(2) * 0.9
    assert math.log(plain.high / plain.low) < 0.2


def test_failures_of_one_side_are_an_infinite_shift_and_of_the_other_none() -> None:
    a = make_series(1)
    failing = replace(a, values=np.where(np.arange(len(a.values)) % 5 == 0, math.inf, a.values))
    slower, back = shift(a, failing, (0.95,))[0], shift(failing, a, (0.95,))[0]
    assert (slower.ratio, slower.interval) == (math.inf, Interval(math.inf, math.inf))
    assert (back.ratio, back.interval) == (None, None)
