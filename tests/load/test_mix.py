"""The mix: exact shares over whole cycles, in an order of each user's own."""

import tracemalloc
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.load.mix import walk

ORDER = [2, 1, 2, 1, 2, 0, 1, 1, 2, 2, 2, 0]
WEIGHTS = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(weights=WEIGHTS, seed=st.integers(0), user=st.integers(0, 100), cycles=st.integers(1, 5))
def test_every_cycle_holds_each_item_as_often_as_its_weight(
    weights: list[int], seed: int, user: int, cycles: int
) -> None:
    steps = walk(weights, seed, user)
    for _ in range(cycles):
        assert Counter(islice(steps, sum(weights))) == dict(enumerate(weights))


@given(weights=WEIGHTS, seed=st.integers(0), user=st.integers(0, 100))
def test_the_same_seed_gives_the_same_walk(weights: list[int], seed: int, user: int) -> None:
    assert list(islice(walk(weights, seed, user), 50)) == list(islice(walk(weights, seed, user), 50))


def test_users_seeds_and_cycles_differ_in_their_order() -> None:
    def start(seed: int, user: int) -> tuple[int, ...]:
        return tuple(islice(walk([1] * 8, seed, user), 8))

    assert len({start(seed, user) for seed in range(5) for user in range(20)}) == 100
    steps = walk([1] * 8, 1, 0)
    assert len({tuple(islice(steps, 8)) for _ in range(20)}) == 20


def test_an_order_of_before_is_the_order_now() -> None:
    """A seed asks for the same requests in every version."""
    assert list(islice(walk([1, 2, 3], 7, 4), 12)) == ORDER


@given(weights=st.lists(st.sampled_from([0.5, 0.25, 1.5, 1, 2, 0]), min_size=1, max_size=6), seed=st.integers(0))
def test_fractions_have_exact_shares_and_what_weighs_nothing_is_not_asked_for(weights: list[float], seed: int) -> None:
    if not any(weights):
        weights = [*weights, 1]
    length = int(4 * sum(weights))
    asked = Counter(islice(walk(weights, seed, 0), length))
    assert asked == {index: 4 * weight for index, weight in enumerate(weights) if weight}


@pytest.mark.parametrize("weights", [[3_000_000, 1], [1e12, 0.001], [10**6, 2 * 10**6, 1], [999.999, 0.001]])
def test_heavy_weights_keep_their_shares_and_cost_no_more_than_light_ones(weights: list[float]) -> None:
    steps = walk(weights, 1, 0)
    tracemalloc.start()
    asked = Counter(islice(steps, 20_000))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 500_000
    for index, weight in enumerate(weights):
        assert abs(asked[index] - 20_000 * weight / sum(weights)) <= 20  # in each 1,000 rounded up or down


def test_a_rare_item_is_asked_for_as_often_as_its_weight_says() -> None:
    users = 400
    asked = sum(Counter(islice(walk([9_999, 1], 1, user), 1_000))[1] for user in range(users))
    assert abs(asked - users * 0.1) < 4 * (users * 0.1 * 0.9) ** 0.5
