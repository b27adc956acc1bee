"""Intended starts and active users, against the laws they promise."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.load.arrivals import Span, intended_starts_s, spans
from perflib.model import SCENARIOS, Closed, Open, Ramp, Stage

STAGES = st.lists(
    st.builds(Stage, start=st.integers(0, 20), end=st.integers(0, 20), duration_s=st.integers(1, 9)), min_size=1
)


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
