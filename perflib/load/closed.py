"""Closed workloads: virtual users, each sending its next request when its last one is answered."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import perf_counter_ns

from perflib.load.caller import Caller
from perflib.load.exchange import Exchange
from perflib.load.journey import JourneyWalk, Wholes
from perflib.load.slot import Slot, Slots
from perflib.spec import Scenario
from perflib.spec.presence import PAUSE_AFTER_CONNECT_ERROR_NS, Span
from perflib.spec.run import EXCUSED
from perflib.spec.whole import PAGE_CONNECTIONS
from perflib.spec.workload import Closed


class ClosedLoad:
    """The virtual users of a part; it lasts until a moment of `perf_counter_ns` at least, also without any."""

    def __init__(self, users: Sequence["User"], until_ns: int = 0) -> None:
        self._users, self._until_ns, self._stopped = users, until_ns, asyncio.Event()

    async def run(self) -> None:
        """Until all users have left, and what they had under way is answered."""
        for user in self._users:
            user.begin()
        try:
            await asyncio.gather(*(user.left for user in self._users))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), (self._until_ns - perf_counter_ns()) / 1e9)
        finally:
            self.stop()

    def go_on(self, until_ns: int) -> None:
        """Leave at this moment, later than planned."""
        for user in self._users:
            user.go_on(until_ns)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()
        for user in self._users:
            user.stop()


class User:
    """One virtual user at work for its span, or until it is stopped. `left` is done at its end.

    Asks for `steps`, the indices of endpoints, pages and journeys; `wholes` has what those two consist of.
    """

    def __init__(
        self,
        span: Span,
        caller: Caller,
        steps: Iterator[int],
        wholes: Wholes,
        scenario: Scenario,
        slots: Slots,
    ) -> None:
        self._caller, self._steps, self._wholes, self._draw = caller, steps, wholes, slots.draw
        self._open, self._recorder, self._phase = slots.open, slots.recorder, slots.recorder.phase
        self._begin_ns = self._phase.measured_from_ns + int(span.start_s * 1e9)
        self._until_ns = self._phase.measured_from_ns + int(span.end_s * 1e9)
        workload = scenario.workload
        self._think_time_ns = int(workload.think_time_s * 1e9) if isinstance(workload, Closed) else 0
        self._enough = scenario.enough_successes or math.inf
        self._loop = asyncio.get_running_loop()
        self._slots: list[Slot] = []
        self._whole: _PageLoad | JourneyWalk | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self.left: asyncio.Future[None] = self._loop.create_future()

    def begin(self) -> None:
        """Come when it is time."""
        self._rest_until(self._begin_ns, self._come)

    def go_on(self, until_ns: int) -> None:
        """Leave at this moment."""
        self._until_ns = until_ns

    def stop(self) -> None:
        """Send nothing more: leave when what is under way is answered."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._leave()

    def answered(self, slot: Slot, exchange: Exchange) -> None:
        whole = self._whole
        if whole is not None:
            whole.answered(slot, exchange)
            if whole.under_way:
                return
            exchange, self._whole = whole.whole(), None
            self._recorder.keep(exchange, whole.index, -1, self._caller.number, None)
        if exchange.error in ("connect", "generator"):
            self._rest_until(perf_counter_ns() + PAUSE_AFTER_CONNECT_ERROR_NS, self._next)
        elif self._think_time_ns:
            ended_ns = exchange.end_ns if exchange.end_ns >= 0 else perf_counter_ns()
            self._rest_until(ended_ns + self._think_time_ns, self._next)
        else:
            self._next()

    def broke(self, problem: Exception) -> None:
        if not self.left.done():
            self.left.set_exception(problem)

    def _come(self) -> None:
        self._slots = [self._open(self, self._caller) for _ in range(PAGE_CONNECTIONS if self._wholes.pages else 1)]
        self._phase.at_work += 1
        self._next()

    def _next(self) -> None:
        if self._stopped or perf_counter_ns() >= self._until_ns or self._phase.successes >= self._enough:
            self._leave()
            return
        index = next(self._steps)
        if not self._draw(self._caller, index):
            self._leave()
            return
        if index in self._wholes.pages:
            self._whole = _PageLoad(index, self._wholes.pages[index], self._slots)
        elif index in self._wholes.journeys:
            self._whole = self._wholes.walk(index, self._slots[0], self._rest_until)
            self._whole.begin()
        else:
            self._slots[0].ask(index)

    def _leave(self) -> None:
        if self._slots:
            self._phase.at_work -= 1
        for slot in self._slots:
            slot.close()
        if not self.left.done():
            self.left.set_result(None)

    def _rest_until(self, at_ns: int, then: Callable[[], None]) -> None:
        """Where the user's time ends meanwhile, it leaves, be it in the midst of a journey."""
        self._timer = None
        now_ns = perf_counter_ns()
        try:
            if self._stopped or self._until_ns <= now_ns < at_ns:
                self._leave()
            elif now_ns >= at_ns:
                then()
            else:  # a timer may come a little early, and the user's time be longer then
                left_s = (min(at_ns, self._until_ns) - now_ns) / 1e9
                self._timer = self._loop.call_later(left_s, self._rest_until, at_ns, then)
        except Exception as problem:  # what a callback raises, an event loop would only print
            self.broke(problem)


class _PageLoad:
    """A page on its way: its parts in parallel, one per slot; it is there when its last part is."""

    def __init__(self, index: int, loads: Sequence[int], slots: Sequence[Slot]) -> None:
        self.index = index
        self.under_way = 0
        self._started_ns = perf_counter_ns()
        self._waiting = iter(loads)
        self._parts: list[Exchange] = []
        for slot in slots:
            self._ask_next(slot)

    def answered(self, slot: Slot, exchange: Exchange) -> None:
        self.under_way -= 1
        self._parts.append(exchange)
        self._ask_next(slot)

    def whole(self) -> Exchange:
        """The page as one exchange; it fails if a part fails."""
        parts = self._parts
        bad = min(
            (part for part in parts if part.error is not None), key=lambda part: part.error in EXCUSED, default=None
        )
        last = max(parts, key=lambda part: part.end_ns)
        return Exchange(
            start_ns=self._started_ns,
            first_byte_ns=min((part.first_byte_ns for part in parts if part.first_byte_ns >= 0), default=-1),
            end_ns=-1 if any(part.end_ns < 0 for part in parts) else max(part.end_ns for part in parts),
            connect_ns=max(part.connect_ns for part in parts),
            tls_ns=max(part.tls_ns for part in parts),
            read_late_ns=last.read_late_ns,
            send_ns=max(part.send_ns for part in parts),
            status=(bad or parts[0]).status,
            error=bad.error if bad else None,
            cold=any(part.cold for part in parts),
            received=sum(part.received for part in parts),
        )

    def _ask_next(self, slot: Slot) -> None:
        load = next(self._waiting, None)
        if load is not None:
            self.under_way += 1
            slot.ask(load, page=self.index)
