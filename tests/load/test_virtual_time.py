"""The worker on a virtual clock, against a slow oracle: which request goes out when, and what becomes of it."""

import asyncio
import heapq
import itertools
import selectors
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perflib.figures.lateness import gaps_of
from perflib.figures.summary import summarize
from perflib.load import closed, recorder, slot
from perflib.load import open as open_load
from perflib.load import worker as driving
from perflib.load.arrivals import WHOLE, Share, intended_starts_s
from perflib.load.exchange import Exchange
from perflib.load.request import WireRequest
from perflib.spec import Closed, Endpoint, Open, Ramp, Stage, Workload
from perflib.spec.presence import spans
from perflib.store.runs import RunFolder
from perflib.store.spool import GENERATOR_ROW, Spool, generator_spool, requests_spool
from tests.load.test_worker import facts_of

TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: answered after `delay_s`, as a success or as this failure."""

    delay_s: float
    error: str | None = None

    @property
    def told(self) -> str | None:
        return "timeout" if self.delay_s >= TIMEOUT_S else self.error

    @property
    def lasts_s(self) -> float:
        return min(self.delay_s, TIMEOUT_S)


FATES = st.lists(
    st.builds(Fate, st.floats(0.001, 1.5), st.sampled_from([None, None, "status", "reset", "content"])),
    min_size=1,
    max_size=12,
)


class _Waiting(selectors.SelectSelector):
    """A selector that does not wait: time goes on instead."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is due any more, and the run has not ended"
        self.now_s += max(timeout, 0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass at once."""

    def __init__(self) -> None:
        self._clock = _Waiting()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


class Pacer:
    """Calls back at intended starts by the loop's own timers, which are exact here."""

    def __init__(self, intended_ns: list[int], arrive: Callable[[int], None]) -> None:
        self._intended_ns, self._arrive = intended_ns, arrive
        self._stopped = False

    async def run(self) -> None:
        for due_ns in self._intended_ns:
            await asyncio.sleep((due_ns - now_ns()) / 1e9)
            if self._stopped:
                return
            self._arrive(due_ns)

    def stop(self) -> None:
        self._stopped = True


class Wire:
    """Connections whose requests meet scripted fates, one script for each connection, or one for all."""

    def __init__(self, fates: list[Fate], *, shared: bool) -> None:
        self._fates, self._script, self._shared = fates, itertools.cycle(fates), shared

    def connect(self, _: object, timeout_s: float) -> "Wire":
        assert timeout_s == TIMEOUT_S
        return self if self._shared else Wire(self._fates, shared=False)

    def send(self, _: WireRequest, answered: Callable[[Exchange], None]) -> None:
        fate, start_ns = next(self._script), now_ns()

        def end() -> None:
            answered(Exchange(start_ns, now_ns(), now_ns(), error=fate.told, status=200))

        asyncio.get_running_loop().call_later(fate.lasts_s, end)

    def expire(self, _: int) -> None: ...

    def abandon(self) -> None: ...

    def close(self) -> None: ...


class Judge:
    """Leaves the wire's word as it is."""

    def __init__(self, *_: object) -> None: ...

    def error_of(self, exchange: Exchange) -> str | None:
        return exchange.error

    def is_cold(self, _: Exchange) -> bool:
        return False


def drive(
    workload: Workload,
    wire: Wire,
    *,
    warmup_s: float,
    share: Share = WHOLE,
    answers: tuple[float, ...] = (),
    **scenario: object,
) -> pd.DataFrame:
    """The rows of a run on the virtual clock; times count from the end of warm-up, in seconds.

    `answers`: until when it goes on, one each time it asks.
    """
    told = iter(answers)
    facts = facts_of(
        "http://x", (Endpoint(path="/"),), workload=workload, warmup_s=warmup_s, timeout_s=TIMEOUT_S, **scenario
    )

    async def run(folder: RunFolder) -> driving.Outcome:
        path = folder.path
        with Spool(requests_spool(path)) as spool, Spool(generator_spool(path), GENERATOR_ROW) as health:
            worker = driving.Worker(facts, spool, health, share)
            worker.ask = lambda _: worker.told(next(told))
            return await worker.drive()

    with (
        TemporaryDirectory() as scratch,
        mock.patch.multiple(driving, perf_counter_ns=now_ns, resolve=mock.AsyncMock()),
        mock.patch.multiple(closed, perf_counter_ns=now_ns),
        mock.patch.multiple(open_load, perf_counter_ns=now_ns, Pacer=Pacer),
        mock.patch.multiple(slot, Connection=wire.connect),
        mock.patch.multiple(recorder, Judge=Judge),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        folder = RunFolder.create(Path(scratch), facts)
        outcome = runner.run(run(folder))
        ended = facts.model_copy(update={"state": "finished", "parts": outcome.parts})
        if not isinstance(workload, Open):
            assert gaps_of(folder.spooled(), ended).share < 1e-4, "a generator without delay loses nothing"
        folder.seal(ended)
        loaded = folder.load()
    counts = summarize(loaded).requests
    assert counts.scheduled == counts.completed + counts.failed + counts.dropped + counts.in_flight
    assert counts.in_flight == 0
    [part] = outcome.parts
    times_ns = loaded.requests[["intended_ns", "start_ns", "end_ns"]] - part.measured_from_ns
    return loaded.requests.assign(**times_ns / 1e9).sort_values("intended_ns", kind="stable", ignore_index=True)


def fates_of_arrivals(starts_s: list[float], fates: list[Fate], bound: int) -> list[Fate]:
    """The oracle: each arrival takes a free connection and the next fate, or is dropped where all are busy."""
    busy: list[float] = []
    script, found = itertools.cycle(fates), []
    for start_s in starts_s:
        while busy and busy[0] <= start_s:
            heapq.heappop(busy)
        if len(busy) == bound:
            found.append(Fate(0.0, "dropped"))
            continue
        found.append(next(script))
        heapq.heappush(busy, start_s + found[-1].lasts_s)
    return found


def near_a_tie(starts_s: list[float], found: list[Fate]) -> bool:
    """An answer within 2 µs of an arrival: who comes first is rounding."""
    ends_s = np.array([start_s + fate.lasts_s for start_s, fate in zip(starts_s, found, strict=True)])
    starts = np.array(starts_s)
    return bool((np.abs(ends_s[:, None] - starts[None, :]) < 2e-6).any())


RATE = st.one_of(
    st.builds(Open, rate_per_s=st.floats(1, 60), arrivals=st.sampled_from(["poisson", "constant"])),
    st.builds(
        lambda start, end: Open(rate_per_s=60, stages=(Stage(start=start, end=end, duration_s=3),)),
        st.floats(0, 60),
        st.floats(1, 60),
    ),
)


@settings(max_examples=60, deadline=None)
@given(RATE, FATES, st.integers(1, 12), st.sampled_from([0.0, 0.7]))
def test_every_arrival_of_an_open_run_meets_its_fate_or_is_dropped(
    workload: Open, fates: list[Fate], bound: int, warmup_s: float
) -> None:
    rows = drive(workload, Wire(fates, shared=True), warmup_s=warmup_s, duration_s=3.0, max_connections=bound)
    starts_s = intended_starts_s(workload, -warmup_s, 3.0, 1).tolist()
    assert rows["intended_ns"].tolist() == pytest.approx(starts_s, abs=1e-6)
    found = fates_of_arrivals(starts_s, fates, bound)
    if near_a_tie(starts_s, found):
        return
    told = [fate.told for fate in found]
    assert rows["error"].astype(object).where(rows["error"].notna(), None).tolist() == told
    sent = rows["error"] != "dropped"
    lasted = [fate.lasts_s for fate in found if fate.told != "dropped"]
    assert (rows["end_ns"] - rows["intended_ns"])[sent].tolist() == pytest.approx(lasted, abs=3e-6)


USERS = st.one_of(
    st.builds(Closed, users=st.integers(1, 5), think_time_s=st.sampled_from([0.0, 0.4])),
    st.builds(
        lambda before, peak: Ramp(
            stages=(
                Stage(start=before, end=before, duration_s=1),
                Stage(start=before, end=peak, duration_s=1),
                Stage(start=before, end=before, duration_s=1),
            )
        ),
        st.integers(1, 3),
        st.integers(2, 6),
    ),
)


AWAY_AND_BACK = Ramp.model_validate({"stages": "3-3:1s, 3-2:1s, 3-3:1s"})


@settings(max_examples=60, deadline=None)
@example(AWAY_AND_BACK, [Fate(0.25), Fate(1.0)], 0.0)
@given(USERS, FATES, st.sampled_from([0.0, 0.7]))
def test_every_user_of_a_closed_run_sends_when_its_last_answer_is_there(
    workload: Closed | Ramp, fates: list[Fate], warmup_s: float
) -> None:
    rows = drive(workload, Wire(fates, shared=False), warmup_s=warmup_s, duration_s=3.0)
    think_s = workload.think_time_s if isinstance(workload, Closed) else 0.0
    expected: Counter[int] = Counter()
    tied: set[int] = set()
    for span in spans(workload, warmup_s, 3.0):
        at_s, script = span.start_s, itertools.cycle(fates)
        while at_s < span.end_s - 1e-6:
            expected[span.user] += 1
            at_s += next(script).lasts_s + think_s
        if abs(at_s - span.end_s) < 2e-6:  # an answer at the very end of a user: who comes first is rounding
            tied.add(span.user)
    sent = Counter(rows["user"])
    assert sent.keys() == expected.keys()
    assert all(sent[user] == expected[user] for user in expected.keys() - tied)
    assert (rows["end_ns"] - rows["start_ns"]).max() <= TIMEOUT_S + 1e-6
    assert (rows["intended_ns"] == rows["start_ns"]).all()
    assert (rows["warmup"] == (rows["intended_ns"] < 0)).all()


STEADY = st.builds(Closed, users=st.integers(1, 5), think_time_s=st.sampled_from([0.0, 0.4, 2.5]))


@settings(max_examples=30, deadline=None)
@given(STEADY, FATES, st.sampled_from([(5.0, 5.0), (4.0, 5.0, 5.0)]))
def test_users_whose_run_goes_on_send_what_those_of_a_longer_run_send(
    workload: Closed, fates: list[Fate], answers: tuple[float, ...]
) -> None:
    longer = drive(workload, Wire(fates, shared=False), warmup_s=0.5, duration_s=3.0, longest_s=9.0, answers=answers)
    planned = drive(workload, Wire(fates, shared=False), warmup_s=0.5, duration_s=5.0)
    columns = ["user", "start_ns", "end_ns", "error", "warmup"]
    sent = [rows[columns].sort_values(["start_ns", "user"], ignore_index=True) for rows in (longer, planned)]
    pd.testing.assert_frame_equal(*sent, rtol=0, atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["poisson", "constant"]), st.integers(1, 3))
def test_arrivals_of_a_run_that_goes_on_come_at_the_same_rate_and_the_first_ones_as_planned(
    arrivals: str, workers: int
) -> None:
    load = Open.model_validate({"rate_per_s": 40, "arrivals": arrivals})
    parts = [
        drive(
            load,
            Wire([Fate(0.001)], shared=True),
            warmup_s=0.5,
            share=Share(index, workers),
            duration_s=3.0,
            longest_s=9.0,
            answers=(6.0, 6.0),
            max_connections=400,
        )
        for index in range(workers)
    ]
    at_s = pd.concat(parts)["intended_ns"].sort_values().to_numpy()
    planned_s = intended_starts_s(load, -0.5, 3.0, 1)
    assert at_s[: len(planned_s)] == pytest.approx(planned_s, abs=1e-6)
    later = at_s[len(planned_s) :]
    assert 3.0 <= later.min() < later.max() < 6.0
    assert abs(len(later) - 120) < 4 * 120**0.5


def test_a_run_that_is_told_not_to_go_on_ends_as_planned() -> None:
    rows = drive(Closed(users=2), Wire([Fate(0.1)], shared=False), warmup_s=0.0, duration_s=3.0)
    asked = drive(
        Closed(users=2), Wire([Fate(0.1)], shared=False), warmup_s=0.0, duration_s=3.0, longest_s=9.0, answers=(3.0,)
    )
    assert len(rows) == len(asked)


@settings(max_examples=20, deadline=None)
@given(RATE, st.integers(2, 4))
def test_the_workers_together_offer_what_one_offers(workload: Open, workers: int) -> None:
    quick = [Fate(0.001)]
    shares = [Share(index, workers) for index in range(workers)]
    parts = [
        drive(workload, Wire(quick, shared=True), warmup_s=0.5, duration_s=3.0, share=share, max_connections=40)
        for share in shares
    ]
    together = pd.concat(parts)["intended_ns"].sort_values().to_numpy()
    assert together == pytest.approx(intended_starts_s(workload, -0.5, 3.0, 1), abs=1e-6)
