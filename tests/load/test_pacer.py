"""The pacer: every arrival once, in order and never early, whatever the loop is busy with."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from time import perf_counter_ns

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.load.pacer import Pacer


def paced(
    after_s: Sequence[float], work: Callable[[int], None] = lambda _: None, loop_factory: object = None
) -> list[tuple[int, int]]:
    """The arrivals as called: due and when, in ns."""
    called: list[tuple[int, int]] = []

    async def run() -> None:
        from_ns = perf_counter_ns() + 2_000_000

        def arrive(due_ns: int) -> None:
            called.append((due_ns - from_ns, perf_counter_ns() - from_ns))
            work(len(called))

        await asyncio.wait_for(Pacer([from_ns + int(at_s * 1e9) for at_s in after_s], arrive).run(), 10)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
    return called


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.SelectorEventLoop])
@settings(max_examples=25, deadline=None)
@given(gaps=st.lists(st.sampled_from([0.0, 1e-6, 5e-5, 2.9e-4, 3.1e-4, 2e-3, 8e-3]), max_size=12))
def test_every_arrival_is_called_once_in_order_and_never_early(loop_factory: object, gaps: list[float]) -> None:
    after_s = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    called = paced(after_s, loop_factory=loop_factory)
    assert [due_ns for due_ns, _ in called] == [int(at_s * 1e9) for at_s in after_s]
    assert all(at_ns >= due_ns for due_ns, at_ns in called)


def test_arrivals_that_fall_due_while_the_loop_is_busy_are_called_after_it() -> None:
    called = paced([0.0, 0.005, 0.010, 0.015, 0.040], lambda count: time.sleep(0.02) if count == 1 else None)
    assert len(called) == 5
    assert [at_ns >= 20_000_000 for _, at_ns in called] == [False, True, True, True, True]


def test_a_stopped_pacer_calls_nothing_more_and_its_thread_ends() -> None:
    async def run() -> list[int]:
        called: list[int] = []
        begun_ns = perf_counter_ns()
        pacer = Pacer([begun_ns + number * 20_000_000 for number in range(100)], called.append)
        asyncio.get_running_loop().call_later(0.05, pacer.stop)
        await asyncio.wait_for(pacer.run(), 1)
        count = len(called)
        await asyncio.sleep(0.06)
        assert len(called) == count
        return called

    before = threading.active_count()
    assert 1 <= len(asyncio.run(run())) < 50
    assert threading.active_count() == before


def test_a_loop_that_ends_first_is_no_error() -> None:
    async def run() -> None:
        asyncio.create_task(Pacer([perf_counter_ns() + 50_000_000], print).run())  # noqa: RUF006 - left behind
        await asyncio.sleep(0.01)

    before = threading.active_count()
    asyncio.run(run())
    time.sleep(0.2)
    assert threading.active_count() == before
