"""Percentiles against a slow oracle and against the coverage they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.stats.percentile import at_least, percentile, required_count


@given(st.lists(st.floats(0, 1e9), min_size=299, max_size=400), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_the_smallest_value_that_the_share_q_does_not_exceed(values: list[float], q: float) -> None:
    enough = [value for value in values if sum(other <= value for other in values) >= q * len(values) - 1e-6]
    assert percentile(np.array(values), q) == min(enough)


@pytest.mark.parametrize(("q", "count"), [(0.50, 5), (0.95, 59), (0.99, 299)])
def test_a_percentile_needs_the_sample_that_can_bound_it(q: float, count: int) -> None:
    assert required_count(q) == count
    assert percentile(np.ones(count - 1), q) is None
    assert percentile(np.ones(count), q) == 1.0


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_the_largest_of_the_required_count_bounds_the_quantile_19_times_in_20(q: float) -> None:
    rng = np.random.default_rng(7)
    samples = rng.random((20_000, required_count(q)))
    assert (samples.max(axis=1) >= q).mean() >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 20_000)


def test_failures_as_infinity_raise_a_percentile_and_never_lower_it() -> None:
    values = np.full(100, 10.0)
    assert percentile(values, 0.95) == 10.0
    values[:6] = math.inf
    assert percentile(values, 0.95) == math.inf


@given(st.integers(5, 400), st.sampled_from([0.5, 0.95, 0.99]))
def test_the_bound_is_the_largest_value_that_the_quantile_falls_below_once_in_20_at_the_most(n: int, q: float) -> None:
    falls_below = np.cumsum([math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(n)])
    allowed = [rank for rank in range(1, n + 1) if falls_below[rank - 1] <= 0.05]
    assert at_least(np.arange(1.0, n + 1), q) == (max(allowed) if allowed else None)


@pytest.mark.parametrize("count", [5, 20, 58])
def test_the_bound_of_a_sample_too_small_for_p95_holds_19_times_in_20(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(size=(20_000, count))
    bounds = np.array([at_least(sample, 0.95) for sample in samples])
    held = (bounds <= math.exp(1.6448536)).mean()
    assert held >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 20_000)
    assert (np.median(samples, axis=1) < bounds).all()  # it says more than the median that once stood in


def test_the_bound_counts_failures_as_infinite_and_four_requests_have_none() -> None:
    values = np.full(20, 10.0)
    values[:3] = math.inf
    assert at_least(values, 0.95) == 10.0
    values[:4] = math.inf
    assert at_least(values, 0.95) == math.inf
    assert at_least(values[:4], 0.95) is None
