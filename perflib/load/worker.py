"""The worker: virtual users that drive a target and record every request. `python -m perflib.load.worker` is one.

Protocol of the process: one JSON line on stdin is the order, answered by "ready"; the next line is the run's origin,
which all workers of a run share; a line more, or the end of stdin, asks it to stop. The last line on stdout is the
outcome. What happens meanwhile is in the spools, which are flushed once per second.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import math
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns, process_time

import numpy as np
from pydantic import TypeAdapter

from perflib.load.arrivals import WHOLE, Share, intended_starts_s, spans
from perflib.load.closed import PAGE_CONNECTIONS, ClosedLoad, User
from perflib.load.consent import request_budget, require_consent
from perflib.load.limits import most_connections, raise_open_files
from perflib.load.mix import walk
from perflib.load.open import OpenLoad
from perflib.load.recorder import Phase, Recorder
from perflib.load.request import encode
from perflib.load.slot import Slots
from perflib.load.wire import resolve
from perflib.spec import Facts, InputError, Page
from perflib.spec.run import Generator, Part
from perflib.spec.workload import Closed, Open, Ramp
from perflib.store.spool import GENERATOR_ROW, Spool, generator_spool, requests_spool

_TICK_S = 0.01
_TICKS_AN_EXPIRY = 5
_STOP_GRACE_S = 2.0
_HOPELESS_S = 5
_OVERTIME_S = 30.0


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do; `folder` takes its spools."""

    facts: Facts
    folder: Path
    share: Share


@dataclass(frozen=True)
class Outcome:
    """What a worker says at its end; the requests are in the spool."""

    parts: tuple[Part, ...]
    generator: Generator
    stopped: bool
    cut: str = ""
    """Why the worker itself ended the run early; empty where it did not."""


ORDER, OUTCOME = TypeAdapter(Order), TypeAdapter(Outcome)
"""What turns the two into JSON values and back."""


class Worker:
    """Drives a run, or its share of one."""

    def __init__(self, facts: Facts, spool: Spool, health: Spool, share: Share = WHOLE) -> None:
        self._facts, self._scenario, self._share = facts, facts.scenario, share
        self._spool, self._health = spool, health
        target = facts.target
        self._items = target.items
        self._index = {item.name: index for index, item in enumerate(self._items)}
        self._requests = [encode(target, endpoint) for endpoint in target.endpoints]
        self._recorder = Recorder(target, spool)
        self._slots: Slots
        self._stop = asyncio.Event()
        self._cut = ""
        self._budget = math.inf
        self._load: OpenLoad | ClosedLoad | None = None
        """Of the part under way."""

    async def drive(self, origin_ns: int | None = None) -> Outcome:
        """Run the scenario to its end, or until `stop`. Times count from `origin_ns`, maybe ahead; None: now."""
        target = self._facts.target
        address = await resolve(target.base_url)
        require_consent(target, self._scenario, address.hosts)
        whole = request_budget(target, address.hosts)
        self._budget = math.inf if whole is None else self._share.part_of(whole)
        self._slots = Slots(address, self._scenario.timeout_s, self._requests, self._recorder)
        self._recorder.origin_ns = begin_ns = perf_counter_ns() if origin_ns is None else origin_ns
        cpu_from_s = process_time()
        watch = asyncio.create_task(self._watch())
        watch.add_done_callback(lambda _: self.stop())
        parts: list[Part] = []
        try:
            for part in self._scenario.parts(target):
                if not self._stop.is_set():
                    parts.append(await self._drive_part(tuple(self._index[item.name] for item in part), begin_ns))
                    begin_ns = perf_counter_ns()
            if watch.done():  # it broke: the disk is full, say
                watch.result()
        finally:
            watch.cancel()
        self._spool.flush()
        return Outcome(tuple(parts), self._own_health(process_time() - cpu_from_s), self._stop.is_set(), self._cut)

    def _own_health(self, used_s: float) -> Generator:
        recorder = self._recorder
        wall_s = (perf_counter_ns() - recorder.origin_ns) / 1e9
        return Generator(
            cpu_s=used_s,
            wall_s=wall_s,
            busiest_share=used_s / wall_s if wall_s else 0.0,
            requests=recorder.recorded,
            loop_lag_p99_ms=recorder.loop_lag_ms.percentile(0.99),
            schedule_lag_p99_ms=recorder.schedule_lag_ms.percentile(0.99),
            retries=recorder.retries,
            refusals=recorder.refusals,
            refusal=recorder.refusal,
            unchecked=recorder.unchecked,
        )

    def stop(self) -> None:
        """Send nothing more; requests under way get a moment to finish."""
        self._stop.set()

    async def _drive_part(self, items: tuple[int, ...], begin_ns: int) -> Part:
        measured_from_ns = begin_ns + int(self._scenario.warmup_s * 1e9)
        until_ns = measured_from_ns + int(self._scenario.duration_s * 1e9)
        self._recorder.phase = Phase(items, measured_from_ns, until_ns)
        workload = self._scenario.workload
        self._load = self._open_load(workload) if isinstance(workload, Open) else self._closed_load(workload)
        stopping = asyncio.create_task(self._give_up_when_stopped(self._load))
        try:
            await self._load.run()
        finally:
            stopping.cancel()
            self._slots.close()
        ended_ns = max(measured_from_ns, min(perf_counter_ns(), until_ns))
        return Part(
            items=tuple(self._items[index].name for index in items),
            measured_from_ns=measured_from_ns - self._recorder.origin_ns,
            measured_to_ns=ended_ns - self._recorder.origin_ns,
        )

    async def _give_up_when_stopped(self, load: OpenLoad | ClosedLoad) -> None:
        await self._stop.wait()
        load.stop()
        await asyncio.sleep(_STOP_GRACE_S)
        self._slots.abandon()

    def _open_load(self, workload: Open) -> OpenLoad:
        scenario, share = self._scenario, self._share
        starts_s = intended_starts_s(workload, -scenario.warmup_s, scenario.duration_s, self._facts.seed)
        intended_ns = (self._recorder.phase.measured_from_ns + starts_s * 1e9).astype(np.int64)
        mine_ns = intended_ns[share.index :: share.of].tolist()
        steps = itertools.islice(self._walk(0), share.index, None, share.of)
        limit = share.part_of(scenario.most_connections(workload))
        if scenario.max_connections is None:
            limit = int(min(limit, most_connections()))
        return OpenLoad(mine_ns, steps, share, limit, self._slots)

    def _closed_load(self, workload: Closed | Ramp) -> ClosedLoad:
        scenario = self._scenario
        asked = ((index, self._items[index]) for index in self._recorder.phase.items)
        pages = {index: [self._index[load] for load in item.loads] for index, item in asked if isinstance(item, Page)}
        return ClosedLoad(
            [
                User(span, self._walk(span.user), pages, scenario, self._slots)
                for span in spans(workload, scenario.warmup_s, scenario.duration_s)
                if self._share.holds(span.user)
            ]
        )

    def _walk(self, user: int) -> Iterator[int]:
        """The items that a user asks for, one after the other."""
        indices = self._recorder.phase.items
        steps = walk([self._items[index].weight for index in indices], self._facts.seed, user)
        return map(indices.__getitem__, steps)

    async def _watch(self) -> None:
        """Every tick: measure the loop's own lag and end what took too long; every second: flush."""
        recorder = self._recorder
        tick = 0
        second_ns, cpu_s = perf_counter_ns(), process_time()
        while True:
            due_ns = perf_counter_ns() + int(_TICK_S * 1e9)
            await asyncio.sleep(_TICK_S)
            now_ns = perf_counter_ns()
            recorder.loop_lag_ms.add(max(0, now_ns - due_ns) / 1e6)
            tick += 1
            if tick % _TICKS_AN_EXPIRY == 0:
                self._slots.expire(now_ns)
            if recorder.sent >= self._budget:
                self._end("the budget of requests was used up (--max-requests)")
            if now_ns - second_ns >= 1_000_000_000:
                wall_s, used_s = (now_ns - second_ns) / 1e9, process_time() - cpu_s
                worst = recorder.loop_lag_ms.take_worst(), recorder.schedule_lag_ms.take_worst()
                self._health.append(now_ns - recorder.origin_ns, used_s / wall_s, *worst, recorder.recorded)
                self._flush()
                self._end_if_hopeless()
                second_ns, cpu_s = now_ns, cpu_s + used_s

    def _end_if_hopeless(self) -> None:
        """After five seconds of nothing but errors: end the run, or only the part where each endpoint has its own."""
        outage = self._recorder.phase.outage
        outage.end_second()
        if outage.seconds < _HOPELESS_S or self._facts.target.keep_going or self._load is None:
            return
        if self._scenario.isolated:
            self._load.stop()
        else:
            self._end(f"{_HOPELESS_S} s of nothing but errors")

    def _end(self, why: str) -> None:
        if not self._stop.is_set():
            self._cut = why
            self.stop()

    def _flush(self) -> None:
        self._spool.flush()
        self._health.flush()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _say(kind: str, content: object) -> None:
    try:
        print(json.dumps({kind: content}), flush=True)  # noqa: T201 - the protocol with the engine
    except BrokenPipeError:  # nobody listens any more: the end of stdin stops the run
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _longest_s(facts: Facts) -> float:
    """The time budget of a run: as planned, with all that is under way at the end of a part timing out, and some."""
    scenario = facts.scenario
    pages = (item for item in scenario.takes(facts.target) if isinstance(item, Page))
    drain_s = math.ceil(max((len(page.loads) for page in pages), default=1) / PAGE_CONNECTIONS) * scenario.timeout_s
    return len(scenario.parts(facts.target)) * (scenario.warmup_s + scenario.duration_s + drain_s) + _OVERTIME_S


async def _serve(order: Order) -> Outcome:
    folder, number, loop = order.folder, order.share.index, asyncio.get_running_loop()
    with (
        Spool(requests_spool(folder, number)) as spool,
        Spool(generator_spool(folder, number), GENERATOR_ROW) as health,
    ):
        worker = Worker(order.facts, spool, health, order.share)
        _say("ready", True)
        origin = sys.stdin.readline().strip()
        if not origin.isdigit():
            raise KeyboardInterrupt

        def wait_for_stop() -> None:
            sys.stdin.readline()
            with contextlib.suppress(RuntimeError):  # the loop is closed: the run was over already
                loop.call_soon_threadsafe(worker.stop)

        threading.Thread(target=wait_for_stop, daemon=True).start()
        # Whatever the event loop is stuck in, this process ends; what is spooled makes the run.
        watchdog = threading.Timer(_longest_s(order.facts), os._exit, args=(3,))
        watchdog.daemon = True
        watchdog.start()
        return await worker.drive(int(origin))


def main() -> int:
    """Carry one order out."""
    raise_open_files()
    order = ORDER.validate_python(json.loads(sys.stdin.readline()))
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            outcome = runner.run(_serve(order))
    except InputError as error:
        _say("input_error", str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    _say("outcome", OUTCOME.dump_python(outcome, mode="json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
