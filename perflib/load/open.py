"""Open workloads: arrivals that wait for no answer."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter_ns

from perflib.load.arrivals import Share
from perflib.load.caller import Caller
from perflib.load.exchange import Exchange
from perflib.load.journey import JourneyWalk, Wholes
from perflib.load.pacer import Pacer
from perflib.load.slot import Slot, Slots


class OpenLoad:
    """The arrivals of a part: each takes an idle slot, or a new one; beyond `limit` slots it is dropped."""

    def __init__(
        self,
        intended_ns: Sequence[int],
        steps: Iterator[int],
        share: Share,
        limit: int,
        slots: Slots,
        callers: Callable[[int], Caller],
        wholes: Wholes,
    ) -> None:
        self._wholes = wholes
        self._walks: dict[Slot, JourneyWalk] = {}
        self._resting: dict[Slot, asyncio.TimerHandle] = {}
        self._steps, self._share, self._limit, self._callers = steps, share, limit, callers
        self._slots, self._recorder, self._phase = slots, slots.recorder, slots.recorder.phase
        self._idle: list[Slot] = []
        self._opened = 0
        self._pacer = Pacer(intended_ns, self._arrive)
        self._later: list[Pacer] = []
        self._news, self._is_stopped = asyncio.Event(), False
        self._all_offered = False
        self._all_answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the time of the part is over and all that arrived is answered."""
        try:
            await self._pacer.run()
            while (left_ns := self._phase.until_ns - perf_counter_ns()) > 0 and not self._is_stopped:
                if self._later:
                    self._pacer = self._later.pop(0)
                    await self._pacer.run()
                    continue
                self._news.clear()
                with contextlib.suppress(TimeoutError):  # a timer may come a little early
                    await asyncio.wait_for(self._news.wait(), left_ns / 1e9)
            self._all_offered = True
            self._end_if_answered()
            await self._all_answered
        finally:
            self.stop()

    def go_on(self, intended_ns: Sequence[int]) -> None:
        """Offer more arrivals: the part has become longer."""
        self._later.append(Pacer(intended_ns, self._arrive))
        self._news.set()

    def stop(self) -> None:
        """Send nothing more."""
        self._is_stopped = True
        self._news.set()
        self._pacer.stop()
        for slot, timer in list(self._resting.items()):
            timer.cancel()
            self._give_up(slot)

    def answered(self, slot: Slot, exchange: Exchange) -> None:
        walk = self._walks.get(slot)
        if walk is not None:
            walk.answered(slot, exchange)
            if walk.under_way:
                return
            del self._walks[slot]
            self._recorder.keep(walk.whole(), walk.index, -1, slot.caller.number, None)
        self._free(slot)

    def _free(self, slot: Slot) -> None:
        self._idle.append(slot)
        self._phase.at_work -= 1
        self._end_if_answered()

    def broke(self, problem: Exception) -> None:
        self.stop()
        if not self._all_answered.done():
            self._all_answered.set_exception(problem)

    def _arrive(self, due_ns: int) -> None:
        index = next(self._steps)
        try:
            if not self._idle and self._opened >= self._limit:
                self._recorder.dropped(index, due_ns)
                return
            slot = self._free_slot()
            if not self._slots.draw(slot.caller, index):
                self._idle.append(slot)
                return
            self._phase.at_work += 1
            if index in self._wholes.journeys:
                self._walks[slot] = self._wholes.walk(index, slot, partial(self._rest_until, slot))
                self._walks[slot].begin(due_ns)
            else:
                slot.ask(index, intended_ns=due_ns)
        except Exception as problem:  # what a callback raises, an event loop would only print
            self.broke(problem)

    def _rest_until(self, slot: Slot, at_ns: int, then: Callable[[], None]) -> None:
        """Pause in a journey; where the time of the part ends meanwhile, it has no end."""
        if self._is_stopped or at_ns >= self._phase.until_ns:
            self._give_up(slot)
            return
        left_s = (at_ns - perf_counter_ns()) / 1e9
        self._resting[slot] = asyncio.get_running_loop().call_later(left_s, self._go_on, slot, then)

    def _go_on(self, slot: Slot, then: Callable[[], None]) -> None:
        self._resting.pop(slot, None)
        try:
            then()
        except Exception as problem:  # what a callback raises, an event loop would only print
            self.broke(problem)

    def _give_up(self, slot: Slot) -> None:
        self._resting.pop(slot, None)
        self._walks.pop(slot, None)
        self._free(slot)

    def _free_slot(self) -> Slot:
        if self._idle:
            return self._idle.pop()
        number = self._opened * self._share.of + self._share.index
        self._opened += 1
        return self._slots.open(self, self._callers(number))

    def _end_if_answered(self) -> None:
        if self._all_offered and not self._phase.at_work and not self._all_answered.done():
            self._all_answered.set_result(None)
