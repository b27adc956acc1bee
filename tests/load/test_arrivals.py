"""Intended starts and active users, against the laws they promise."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.load.arrivals import Share, intended_starts_s
from perflib.spec import SCENARIOS, Closed, Open, Ramp, Stage
from perflib.spec.presence import Span, spans
from perflib.spec.stages import level_at

STAGES = st.lists(
    st.builds(Stage, start=st.integers(0, 20), end=st.integers(0, 20), duration_s=st.integers(1, 9)), min_size=1
).filter(lambda stages: any(stage.start or stage.end for stage in stages))


def test_constant_arrivals_come_one_every_interval() -> None:
    starts = intended_starts_s(Open(rate_per_s=50, arrivals="constant"), -1.0, 2.0, seed=1)
    assert len(starts) == 150
    assert starts[0] == -1.0
    assert np.allclose(np.diff(starts), 0.02)


def test_poisson_counts_have_the_mean_and_the_variance_of_their_law() -> None:
    counts = np.array([len(intended_starts_s(Open(rate_per_s=50), 0.0, 2.0, seed)) for seed in range(2000)])
    assert counts.mean() == pytest.approx(100, abs=4 * 10 / math.sqrt(2000))
    assert counts.var() == pytest.approx(100, rel=0.15)


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(intended_starts_s(Open(rate_per_s=1000), 0.0, 100.0, seed=3)) * 1000
    for threshold in (0.1, 0.5, 1.0, 2.0, 4.0):
        assert (gaps > threshold).mean() == pytest.approx(math.exp(-threshold), abs=0.01)


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others() -> None:
    workload = Open(rate_per_s=50)
    first, again, other = (intended_starts_s(workload, 0, 10, seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


RATES = st.lists(
    st.builds(Stage, start=st.floats(0, 50), end=st.floats(0, 50), duration_s=st.floats(0.1, 9)), min_size=1, max_size=5
).filter(lambda stages: any(stage.start or stage.end for stage in stages))


@given(RATES)
def test_constant_arrivals_of_a_staged_rate_come_when_their_number_is_due(stages: list[Stage]) -> None:
    length_s = sum(stage.duration_s for stage in stages)
    workload = Open(rate_per_s=50, arrivals="constant", stages=tuple(stages))
    starts = intended_starts_s(workload, 0.0, length_s, seed=1)
    ends_s = np.cumsum([stage.duration_s for stage in stages])
    grid = np.unique([*np.linspace(0, length_s, 20_001), *ends_s[:-1]])  # no cell holds a jump: the sum is exact
    rates = [level_at(tuple(stages), at_s) for at_s in (grid[1:] + grid[:-1]) / 2]
    due = np.cumsum([0, *rates * np.diff(grid)])
    assert len(starts) == pytest.approx(due[-1], abs=1.1)
    assert np.all(np.diff(starts) >= 0)
    assert np.interp(starts, grid, due) == pytest.approx(np.arange(len(starts)), abs=0.01)


def test_poisson_arrivals_of_a_rising_rate_have_its_mean_everywhere() -> None:
    workload = Open(rate_per_s=100, stages=(Stage(start=0, end=100, duration_s=10),))
    starts = np.concatenate([intended_starts_s(workload, 0.0, 10.0, seed) for seed in range(300)])
    counts = np.histogram(starts, np.arange(11))[0]
    expected = 300 * (100 * np.arange(10) / 10 + 5)
    assert (abs(counts - expected) < 4.5 * np.sqrt(expected)).all()


@given(st.integers(1, 5))
def test_the_shares_of_all_workers_are_the_whole(workers: int) -> None:
    shares = [Share(index, workers) for index in range(workers)]
    for number in range(20):
        assert sum(share.holds(number) for share in shares) == 1
    assert sum(share.part_of(20) for share in shares) == 20


@given(STAGES, st.floats(0, 1))
def test_at_any_moment_as_many_users_are_at_work_as_the_level_asks_for(stages: list[Stage], share: float) -> None:
    ramp = Ramp(stages=tuple(stages))
    at_s = share * ramp.duration_s * 0.999
    level = ramp.users_at(at_s)
    at_work = sum(span.start_s <= at_s < span.end_s for span in spans(ramp, 0.0, ramp.duration_s))
    assert abs(at_work - math.ceil(level)) <= (0 if abs(level - round(level)) > 1e-6 else 1)


@given(STAGES)
def test_a_user_is_never_at_work_twice_at_once(stages: list[Stage]) -> None:
    ramp = Ramp(stages=tuple(stages))
    by_user: dict[int, list[Span]] = {}
    for span in spans(ramp, 1.0, ramp.duration_s):
        by_user.setdefault(span.user, []).append(span)
    for mine in by_user.values():
        assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(mine))


def test_closed_users_are_at_work_from_warm_up_to_the_end() -> None:
    assert spans(Closed(users=2), 0.5, 3.0) == [Span(0, -0.5, 3.0), Span(1, -0.5, 3.0)]


def test_the_briefs_spike_goes_to_100_users_in_10_seconds_and_back() -> None:
    ramp = SCENARIOS["spike"]["brief"].workload
    assert isinstance(ramp, Ramp)
    assert [ramp.users_at(at_s) for at_s in (0, 14, 25, 54, 56, 84)] == [5, 5, 100, 100, 5, 5]
    assert ramp.duration_s == 85
