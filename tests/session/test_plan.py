"""The plan: every endpoint is seen alone, and as many crowds as the budget bears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.session.plan import WARMUP_S, Plan, plan, without
from perflib.spec.workload import Block

FAST = {f"GET /{letter}": 0.003 for letter in "abcd"}


def alone(blocks: tuple[Block, ...]) -> list[str]:
    return sorted(block.items[0] for block in blocks if block.users == 1)


def lasts_s(planned: Plan) -> float:
    return sum(block.duration_s + WARMUP_S for blocks in planned.rounds for block in blocks)


def aggressors(blocks: tuple[Block, ...]) -> list[str]:
    return sorted(block.crews[0].items[0] for block in blocks if len(block.crews) == 2)


def test_each_round_has_every_endpoint_alone_in_a_crowd_and_beside_the_others() -> None:
    planned = plan(FAST, 8, 60.0, seed=1)
    assert len(planned.rounds) >= 4  # the last one is the mix
    for blocks in planned.rounds[:-1]:
        assert set(alone(blocks)) == set(FAST)
        assert aggressors(blocks) == sorted(FAST)
    assert planned.left_out == ()


def test_rounds_are_shuffled_by_their_seed() -> None:
    first, again, other = (plan(FAST, 8, 60.0, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.rounds != other.rounds
    assert first.rounds[0] != first.rounds[1]


def test_where_the_budget_is_short_the_fastest_endpoints_get_no_crowd_and_that_is_said() -> None:
    slow = {"GET /slow": 0.9, **FAST}
    planned = plan(slow, 8, 30.0, seed=1)
    assert "GET /slow" in aggressors(planned.rounds[0])
    assert "no crowd was put on" in planned.left_out[0]
    assert "--budget" in planned.left_out[0]
    assert "GET /slow" not in planned.left_out[0]


def test_the_blocks_of_a_slow_endpoint_are_long_enough_for_some_answers() -> None:
    planned = plan({"GET /slow": 2.0, **FAST}, 8, 300.0, seed=1)
    (block,) = [one for one in planned.rounds[0] if one.users == 1 and one.items == ("GET /slow",)]
    assert block.duration_s >= 3 * 2.0


@given(st.lists(st.floats(0.0002, 0.1), min_size=1, max_size=12), st.floats(20, 120))
def test_a_plan_of_fast_endpoints_lasts_about_as_long_as_it_may(p50_s: list[float], within_s: float) -> None:
    planned = plan({f"GET /{number}": value for number, value in enumerate(p50_s)}, 8, within_s, seed=1)
    fixed_s = 3 * sum(block.duration_s for block in planned.rounds[0] if len(block.crews) < 2)
    assert lasts_s(planned) <= max(within_s, 2 * fixed_s) * 1.2


def test_an_endpoint_that_takes_seconds_has_fewer_rounds_and_no_plan_without_end() -> None:
    planned = plan({"GET /slow": 3.0, **FAST}, 8, 45.0, seed=1)
    assert 1 <= len(planned.rounds) <= 4
    assert lasts_s(planned) <= 45.0 * 1.2
    assert alone(planned.rounds[0]) == sorted(["GET /slow", *FAST])


def test_an_endpoint_alone_in_its_target_has_a_crowd_and_nobody_beside() -> None:
    planned = plan({"GET /a": 0.01}, 8, 30.0, seed=1)
    assert aggressors(planned.rounds[0]) == []
    assert any(block.users == 8 for block in planned.rounds[0])


@pytest.mark.parametrize("seed", range(3))
def test_what_if_asks_for_the_mix_with_and_without_as_often(seed: int) -> None:
    blocks = without("GET /a", list(FAST), 8, seed)
    assert sum("GET /a" in block.items for block in blocks) == len(blocks) / 2
