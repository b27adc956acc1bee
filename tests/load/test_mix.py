"""The mix: exact shares over whole cycles, in an order of each user's own."""

from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from perflib.load.mix import walk

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
