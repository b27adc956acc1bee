"""Percentiles against a slow oracle and against the coverage they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.stats.percentile import percentile, required_count


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
