"""Change points: found where they are, promptly, and on stable series as rarely as promised."""

import itertools
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import binomtest

from perflib.stats.change_points import (
    SHORTEST,
    Scan,
    change_points,
    rare,
    steps,
    stretches,
)

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def series(*levels: tuple[int, float], noise: float = 0.03, seed: int = 1) -> Floats:
    """Log-normal runs: so many around each level."""
    rng = np.random.default_rng(seed)
    return np.concatenate([level * rng.lognormal(0, noise, count) for count, level in levels])


def stable(count: int, noise: float, runs: int = 60, seed: int = 20) -> Floats:
    return 100 * np.random.default_rng(seed).lognormal(0, noise, (count, runs))


def test_a_step_is_found_at_its_first_run_with_the_medians_beside_it() -> None:
    values = series((30, 100.0), (30, 130.0))
    (change,) = change_points(values)
    assert change.index == 30
    assert change.before == np.median(values[:30])
    assert change.after == np.median(values[30:])
    assert change.ratio == pytest.approx(change.after / change.before)
    assert 0 < change.p_value <= 0.01


def test_several_changes_are_found_in_order_up_and_down() -> None:
    changes = change_points(series((20, 100.0), (15, 150.0), (25, 100.0), (20, 60.0)))
    assert [change.index for change in changes] == [20, 35, 60]
    assert [change.ratio > 1 for change in changes] == [True, False, False]


def test_a_slow_release_and_its_repair_do_not_hide_each_other() -> None:
    changes = change_points(series((25, 100.0), (10, 130.0), (25, 100.0), noise=0.05), family=14)
    assert [change.index for change in changes] == [25, 35]


@pytest.mark.parametrize("noise", [0.02, 0.15])
def test_a_stable_series_alarms_as_rarely_as_promised(noise: float) -> None:
    alarms = sum(bool(change_points(values, least_ratio=1.0)) for values in stable(2000, noise))
    assert binomtest(alarms, 2000, 0.01).pvalue > 0.001


def test_a_family_of_series_alarms_together_as_rarely_as_one() -> None:
    families = stable(150 * 14, 0.1).reshape(150, 14, 60)
    alarms = sum(any(change_points(values, family=14) for values in family) for family in families)
    assert binomtest(alarms, 150, 0.01, alternative="greater").pvalue > 0.001


def test_both_sides_of_a_true_change_alarm_no_more_often_than_promised() -> None:
    steps = stable(500, 0.05) * np.repeat([1.0, 1.3], 30)
    found = [change_points(values, least_ratio=1.0) for values in steps]
    assert all(any(abs(change.index - 30) <= 2 for change in changes) for changes in found)
    extra = sum(len(changes) > 1 for changes in found)
    assert binomtest(extra, 500, 0.01, alternative="greater").pvalue > 0.001


def test_five_runs_of_a_clear_change_are_enough_and_four_are_too_few() -> None:
    values = series((30, 100.0), (5, 200.0))
    assert [change.index for change in change_points(values)] == [30]
    assert change_points(values[:-1]) == ()


def test_a_single_outlier_is_no_level() -> None:
    values = series((60, 100.0))
    values[[10, 30, 31, 50]] *= 20
    assert change_points(values) == ()


def test_a_significant_change_below_the_threshold_is_none() -> None:
    values = series((40, 100.0), (40, 104.0), noise=0.005)
    assert change_points(values) == ()
    assert [change.index for change in change_points(values, least_ratio=1.02)] == [40]


def test_levels_too_close_are_joined_and_the_others_measured_anew() -> None:
    values = series((30, 100.0), (30, 103.0), (30, 200.0), noise=0.005)
    (change,) = change_points(values)
    assert change.index == 60
    assert change.before == np.median(values[:60])


def test_runs_without_the_figure_are_left_out_and_keep_their_place() -> None:
    values = series((30, 100.0), (30, 130.0))
    holes = np.insert(values, [0, 5, 30, 30, 60], np.nan)
    (change,) = change_points(holes)
    assert holes[change.index] == values[30]
    assert change.ratio == change_points(values)[0].ratio


def test_failures_stand_in_as_infinitely_slow() -> None:
    (change,) = change_points(np.where(np.arange(40) < 20, series((40, 100.0)), np.inf))
    assert (change.index, change.after, change.ratio) == (20, math.inf, math.inf)


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, 2.0] * 3, [5.0] * 60, [0.0] * 60, [math.inf] * 60, [math.nan] * 60]
)
def test_nothing_is_found_where_there_is_nothing_to_find(values: list[float]) -> None:
    assert change_points(np.array(values)) == ()


def test_few_distinct_values_alarm_no_more_often() -> None:
    coarse = np.random.default_rng(8).integers(1, 4, (1000, 60)).astype(float)
    alarms = sum(bool(change_points(values, least_ratio=1.0)) for values in coarse)
    assert binomtest(alarms, 1000, 0.01, alternative="greater").pvalue > 0.001


def test_the_same_series_gives_the_same_answer() -> None:
    values = np.round(series((30, 100.0), (30, 110.0), noise=0.06, seed=4))
    assert change_points(values) == change_points(values.copy())


def test_a_larger_family_asks_for_more_evidence_and_says_so_in_its_p_value() -> None:
    values = series((30, 100.0), (12, 112.0), noise=0.05, seed=3)
    (alone,) = change_points(values)
    assert change_points(values, family=2000) == ()
    (among,) = change_points(values, family=3)
    assert alone.p_value < among.p_value <= 0.01


@given(st.permutations(range(1, 17)))
@pytest.mark.parametrize("scan_of", [steps, stretches])
def test_a_statistic_is_that_of_the_rank_sum_test_of_its_stretch(
    scan_of: Callable[[int], Scan], order: list[int]
) -> None:
    scan = scan_of(len(order))
    assert len(scan.ends)
    for begin, end, scaled in zip(scan.begins, scan.ends, scan.rank_sums(np.array([order]))[0], strict=True):
        inside, outside = order[begin:end], order[:begin] + order[end:]
        assert min(len(inside), len(outside)) >= SHORTEST
        above = sum(one > other for one in inside for other in outside)
        pairs = len(inside) * len(outside)
        assert scaled == pytest.approx(abs(above - pairs / 2) / math.sqrt(pairs * (len(order) + 1) / 12))


def test_the_p_value_is_that_of_all_orders() -> None:
    """A slow oracle: all orders of nine runs."""
    values = np.array([1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 70.0, 80.0, 90.0])
    every = np.array(list(itertools.permutations(range(1, 10))))
    exact = (steps(9).rank_sums(every).max(axis=1) >= steps(9).rank_sums(every[:1]).max() - 1e-9).mean()
    (change,) = change_points(values, alpha=0.5)
    assert change.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact / 1000))


def test_a_doubling_is_found_whatever_the_family() -> None:
    assert [change.index for change in change_points(series((150, 100.0), (150, 200.0)), family=274)] == [150]
    assert [change.index for change in change_points(series((500, 100.0), (500, 200.0)), family=10_000)] == [500]


@pytest.mark.parametrize("family", [1, 84])
def test_two_changes_in_ten_thousand_runs_are_found_in_little_memory(family: int) -> None:
    values = series((5000, 100.0), (2000, 130.0), (3000, 104.0), noise=0.05)
    tracemalloc.start()
    try:
        changes = change_points(values, family=family)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [change.index for change in changes] == pytest.approx([5000, 7000], abs=2)
    assert [change.ratio for change in changes] == pytest.approx([1.3, 0.8], rel=0.02)
    assert peak_bytes < 200e6


def test_a_long_stable_history_alarms_as_rarely_as_promised() -> None:
    alarms = sum(bool(change_points(values, least_ratio=1.0)) for values in stable(150, 0.1, runs=1000))
    assert binomtest(alarms, 150, 0.01, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("least", [4, 5, 8, 15, 30])
@pytest.mark.parametrize("others", [4, 7, 16, 40, 80])
def test_the_tail_of_a_rank_sum_is_below_the_normal_one_from_3_on(least: int, others: int) -> None:
    """A slow oracle: how many orders have each rank sum, by Mann and Whitney's recursion."""
    ways = np.zeros(least * others + 1)
    ways[0] = 1
    for one in range(1, least + 1):  # the product of (1 - q^(others + one)) / (1 - q^one)
        ways[others + one :] -= ways.copy()[: max(0, len(ways) - others - one)]
        for first in range(one):
            ways[first::one] = ways[first::one].cumsum()
    above = np.arange(len(ways)) - least * others / 2
    scaled = above / math.sqrt(least * others * (least + others + 1) / 12)
    tail = ways[::-1].cumsum()[::-1] / math.comb(least + others, least)
    beyond = (scaled >= 3) & (tail > 1e-9)  # below, the sums of floats are not exact
    assert (tail[beyond] <= ndtr(-scaled[beyond])).all()


@pytest.mark.parametrize("scan_of", [steps, stretches])
@pytest.mark.parametrize("count", [30, 200])
def test_a_sampled_chance_is_not_below_that_of_random_orders_and_near_it(
    scan_of: Callable[[int], Scan], count: int
) -> None:
    scan = scan_of(count)
    maxima = np.concatenate([scan.null_maxima(block) for block in range(30)])
    for share in (0.05, 0.01):
        statistic = float(np.quantile(maxima, 1 - share))
        assert 0.9 * share <= rare(statistic, scan) <= 5 * share
