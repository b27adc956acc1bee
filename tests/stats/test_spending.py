"""Looks that share an error rate: what they spend together, by simulation and by laws."""

import numpy as np
import pytest
from scipy import stats

from perflib.stats.spending import Look, nominal_levels


@pytest.mark.parametrize("looks", [2, 5, 20])
def test_all_looks_together_err_as_often_as_promised(looks: int) -> None:
    alpha, count = 0.05, 40_000
    steps = np.random.default_rng(looks).standard_normal((count, looks))
    statistics = steps.cumsum(axis=1) / np.sqrt(np.arange(1, looks + 1))
    erred = (statistics > stats.norm.isf(nominal_levels(looks, alpha))).any(axis=1).sum()
    assert stats.binom.ppf(0.001, count, alpha) <= erred <= stats.binom.ppf(0.999, count, alpha)


def test_looks_at_one_baseline_err_no_more_often() -> None:
    alpha, looks, count = 0.05, 5, 40_000
    rng, runs = np.random.default_rng(3), np.arange(1, looks + 1)
    new = rng.standard_normal((count, looks)).cumsum(axis=1) / runs
    statistics = (new - rng.standard_normal((count, 1)) / np.sqrt(8)) / np.sqrt(1 / 8 + 1 / runs)
    erred = (statistics > stats.norm.isf(nominal_levels(looks, alpha))).any(axis=1).sum()
    assert erred <= stats.binom.ppf(0.999, count, alpha)


@pytest.mark.parametrize("looks", [1, 2, 5, 20])
@pytest.mark.parametrize("alpha", [1e-5, 0.01, 0.025])
def test_levels_rise_and_leave_most_of_alpha_to_the_last_look(looks: int, alpha: float) -> None:
    levels = nominal_levels(looks, alpha)
    assert list(levels) == sorted(levels)
    assert 0.6 * alpha < levels[-1] <= alpha
    assert sum(levels) >= alpha
    assert levels[0] >= 0.09 * alpha / looks


def test_a_single_look_has_all_of_it() -> None:
    assert Look().level(0.01) == 0.01
    assert Look().family_level(0.01, 14) == pytest.approx(0.01)


@pytest.mark.parametrize("of", [2, 5, 20])
@pytest.mark.parametrize("tests", [2, 14, 168])
def test_no_step_of_holms_method_spends_more_than_its_own_looks_may(of: int, tests: int) -> None:
    for number in range(1, of + 1):
        look = Look(number, of)
        of_each_step = [left * look.level(0.01 / left) for left in range(1, tests + 1)]
        assert look.family_level(0.01, tests) <= min(of_each_step) * (1 + 1e-6)
