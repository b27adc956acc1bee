"""The worker: virtual users that drive a target and record every request. `python -m perflib.load.worker` is one.

Protocol of the process: one JSON line on stdin is the order, answered by "ready"; the next line is the run's origin,
which all workers of a run share; then "until SECONDS" says when its part ends, and any other line, or the end of stdin,
asks it to stop. It answers on the descriptor that its argument names; the last line is the outcome. What happens
meanwhile is in the spools, flushed once per second.
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
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter_ns, process_time

import numpy as np
from pydantic import TypeAdapter

from perflib.load.arrivals import WHOLE, Share, intended_starts_s
from perflib.load.caller import Caller, Turn
from perflib.load.closed import ClosedLoad, User
from perflib.load.consent import request_budget, require_consent
from perflib.load.event_loop import new_event_loop
from perflib.load.evidence import Evidence
from perflib.load.journey import Pauses, Wholes
from perflib.load.kernel_clock import KernelClock
from perflib.load.lengthening import SoFar, look_at_s
from perflib.load.limits import most_connections, raise_open_files
from perflib.load.login import Sessions
from perflib.load.mix import walk
from perflib.load.open import OpenLoad
from perflib.load.recorder import Phase, Recorder
from perflib.load.request import recipe
from perflib.load.slot import Slots
from perflib.load.standstill import Standstills
from perflib.load.values import Values
from perflib.load.wire import Address, resolve
from perflib.spec import Facts, InputError, Page
from perflib.spec.abort import share_of
from perflib.spec.presence import Span, spans
from perflib.spec.run import ClockStep, Generator, Part, State
from perflib.spec.whole import PAGE_CONNECTIONS, Item, Journey, Whole
from perflib.spec.workload import Block, Blocks, Closed, Open, Ramp, Workload
from perflib.store.owner import join
from perflib.store.spool import (
    GENERATOR_ROW,
    DiskError,
    Spool,
    failures_spool,
    generator_spool,
    requests_spool,
)

_TICK_S = 0.01
_TICKS_AN_EXPIRY = 5
_STOP_GRACE_S = 2.0
_HOPELESS_S = 5
_JUDGED_REQUESTS = 100
"""A share of failures is one of so many requests at least: those not sent yet count as successes."""
_OVERTIME_S = 30.0
_OPEN_USERS = 10
_THREADS = 8
"""Two of the worker's own, four of libuv's, and some."""


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do; `folder` takes its spools, `files` holds those that the target file names."""

    facts: Facts
    folder: Path
    share: Share
    files: Path = Path()


@dataclass(frozen=True)
class Outcome:
    """What a worker says at its end; the requests are in the spool."""

    parts: tuple[Part, ...]
    generator: Generator
    stopped: bool
    """By whoever asked for the run."""
    cut: str = ""
    """Why the worker itself ended the run early; empty where it did not."""
    broken: str = ""
    """Why nobody could end it, and when: a worker died, say; `parts` and `generator` are not known then."""
    revision: str = ""
    """Of the target, as its answers told it."""

    @property
    def state(self) -> State:
        return "interrupted" if self.stopped else "broken" if self.cut or self.broken else "finished"


ORDER, OUTCOME = TypeAdapter(Order), TypeAdapter(Outcome)
"""What turns the two into JSON values and back."""


class Worker:
    """Drives a run, or its share of one; `samples` takes those of failed answers, None: none are kept."""

    def __init__(
        self, facts: Facts, spool: Spool, health: Spool, share: Share = WHOLE, samples: Path | None = None
    ) -> None:
        self._facts, self._scenario, self._share = facts, facts.scenario, share
        self._spool, self._health = spool, health
        target = facts.target
        self._items = target.items
        self._index = {item.name: index for index, item in enumerate(self._items)}
        self._values = Values(target, facts.seed, share, os.environ)
        self._recipes = [recipe(target, endpoint, self._values) for endpoint in target.endpoints]
        self._data = [self._data_of(item) for item in self._items]
        self._callers: dict[int, Caller] = {}
        self._address: Address | None = None
        evidence = Evidence(target, samples)
        self._recorder = Recorder(target, spool, evidence)
        known = target.login is not None or target.keeps_cookies
        self._sessions = Sessions(target, self._values, os.environ, evidence.hide) if known else None
        self._slots: Slots
        self._stop = asyncio.Event()
        self._cut = ""
        self._budget = math.inf
        self._seen = self._measured = 0
        """Requests on the wire so far, dropped ones too; those after warm-up."""
        self._standstills = Standstills()
        self._clock = KernelClock()
        self._load: OpenLoad | ClosedLoad | None = None
        """Of the part under way."""
        self.ask: Callable[[SoFar], None] | None = None
        """Asks whether a part goes on, which `told` answers; None: there is nobody to ask, and none does."""
        self._answers: asyncio.Queue[float] = asyncio.Queue()

    async def prepare(self) -> Address:
        """Find the target, and log its users in. Raises InputError where it is not to be asked, or refuses one."""
        target, workload = self._facts.target, self._scenario.workload
        self._address = address = await resolve(target, self._clock)
        require_consent(target, self._scenario, address.hosts)
        if self._sessions is not None:
            address.keeps_cookies = target.keeps_cookies
            users = range(self._share.index, _users_of(workload), self._share.of)
            some = [self._values.caller(user, self._turn(user, workload)) for user in users]
            await self._sessions.begin(some, self._share.of, address, self._scenario.timeout_s)
        return address

    async def drive(self, origin_ns: int | None = None) -> Outcome:
        """Run the scenario to its end, or until `stop`. Times count from `origin_ns`, maybe ahead; None: now."""
        target = self._facts.target
        address = self._address or await self.prepare()
        whole = request_budget(target, address.hosts)
        self._budget = math.inf if whole is None else self._share.part_of(whole)
        someone = self._values.caller(0, Turn(0, 1))
        requests = [one.written(someone) if one.is_fixed else one for one in self._recipes]
        self._slots = Slots(address, self._scenario.timeout_s, requests, self._recorder, self._draw, self._sessions)
        self._recorder.origin_ns = begin_ns = perf_counter_ns() if origin_ns is None else origin_ns
        cpu_from_s = process_time()
        watch = asyncio.create_task(self._watch())
        watch.add_done_callback(lambda _: self.stop())
        parts: list[Part] = []
        try:
            for number, part in enumerate(self._scenario.parts(target)):
                if not self._stop.is_set():
                    items = tuple(self._index[item.name] for item in part)
                    parts.append(await self._drive_part(number, items, begin_ns))
                    begin_ns = perf_counter_ns()
            if watch.done():  # it broke: the disk is full, say
                watch.result()
        finally:
            watch.cancel()
            if self._sessions is not None:
                self._sessions.close()
        self._spool.flush()
        stopped = self._stop.is_set() and not self._cut
        health = self._own_health(process_time() - cpu_from_s)
        return Outcome(tuple(parts), health, stopped, self._cut, revision=self._recorder.revision)

    def _own_health(self, used_s: float) -> Generator:
        recorder = self._recorder
        wall_s = (perf_counter_ns() - recorder.origin_ns) / 1e9
        rows = self._spool.rows()
        late_ns = rows["read_late_ns"][rows["status"] > 0]
        stamped_ns = late_ns[late_ns >= 0]
        by_kernel = 2 * len(stamped_ns) > len(late_ns)
        return Generator(
            cpu_s=used_s,
            wall_s=wall_s,
            busiest_share=used_s / wall_s if wall_s else 0.0,
            requests=recorder.recorded,
            loop_lag_p99_ms=recorder.loop_lag_ms.percentile(0.99),
            schedule_lag_p99_ms=recorder.schedule_lag_ms.percentile(0.99),
            clock="kernel" if by_kernel else "read",
            read_late_p99_ms=float(np.quantile(stamped_ns, 0.99)) / 1e6 if by_kernel else None,
            clock_steps=self._clock_steps(),
            retries=recorder.retries,
            standstills=self._standstills.among(rows, recorder.origin_ns, self._share.index),
            refusals=recorder.refusals,
            refusal=recorder.refusal,
            unchecked=(*recorder.unchecked, *(self._sessions.problems if self._sessions else ())),
            repeats=recorder.repeats,
        )

    def _clock_steps(self) -> tuple[ClockStep, ...]:
        origin_ns = self._recorder.origin_ns
        return tuple(ClockStep(at_s=(one.at_ns - origin_ns) / 1e9, by_s=one.by_ns / 1e9) for one in self._clock.steps)

    def stop(self) -> None:
        """Send nothing more; requests under way get a moment to finish."""
        self._stop.set()

    def told(self, until_s: float) -> None:
        """The answer to what was asked: when the part ends."""
        self._answers.put_nowait(until_s)

    async def _drive_part(self, number: int, items: tuple[int, ...], begin_ns: int) -> Part:
        measured_from_ns = begin_ns + int(self._scenario.warmup_s * 1e9)
        until_ns = measured_from_ns + int(self._scenario.part_s(number) * 1e9)
        self._recorder.phase = phase = Phase(items, measured_from_ns, until_ns)
        self._load = self._load_of(number)
        beside = [asyncio.create_task(self._give_up_when_stopped(self._load))]
        if self._scenario.longest_s and self.ask:
            beside.append(asyncio.create_task(self._lengthen(phase, self.ask)))
        try:
            await self._load.run()
        finally:
            for task in beside:
                task.cancel()
            self._slots.close()
        ended_ns = max(measured_from_ns, min(perf_counter_ns(), phase.until_ns))
        return Part(
            items=tuple(self._items[index].name for index in items),
            measured_from_ns=measured_from_ns - self._recorder.origin_ns,
            measured_to_ns=ended_ns - self._recorder.origin_ns,
        )

    async def _lengthen(self, phase: Phase, ask: Callable[[SoFar], None]) -> None:
        """Shortly before the part ends, ask whether it does; go on as long as all workers are told to."""
        until_s, longer_s = 0.0, self._scenario.duration_s
        while longer_s > until_s:
            until_s = longer_s
            await asyncio.sleep(look_at_s(until_s) - self._into_s(phase))
            ask(SoFar(self._into_s(phase), until_s, tuple(phase.warm[item] for item in phase.items)))
            longer_s = await self._answers.get()
            if longer_s > until_s and perf_counter_ns() < phase.until_ns:
                self._go_on(phase, until_s, longer_s)

    def _into_s(self, phase: Phase) -> float:
        return (perf_counter_ns() - phase.measured_from_ns) / 1e9

    def _go_on(self, phase: Phase, from_s: float, until_s: float) -> None:
        phase.until_ns = phase.measured_from_ns + int(until_s * 1e9)
        if isinstance(self._load, ClosedLoad):
            self._load.go_on(phase.until_ns)
        elif isinstance(self._load, OpenLoad) and isinstance(self._scenario.workload, Open):
            self._load.go_on(self._arrivals_ns(self._scenario.workload, from_s, until_s))

    async def _give_up_when_stopped(self, load: OpenLoad | ClosedLoad) -> None:
        await self._stop.wait()
        load.stop()
        await asyncio.sleep(_STOP_GRACE_S)
        self._slots.abandon()

    def _load_of(self, number: int) -> OpenLoad | ClosedLoad:
        match self._scenario.workload:
            case Open() as workload:
                return self._open_load(workload)
            case Blocks() as workload:
                return self._block_load(workload, workload.blocks[number])
            case workload:
                return self._closed_load(workload)

    def _block_load(self, workload: Blocks, block: Block) -> ClosedLoad:
        """The crews' users, numbered from 0 in their order; of nobody the time passes all the same."""
        scenario, wholes = self._scenario, self._wholes()
        crews = [crew for crew in block.crews for _ in range(crew.users)]
        users = [
            User(
                Span(number, -scenario.warmup_s, block.duration_s),
                self._caller(number, workload),
                self._walk(number, [self._index[item] for item in crew.items]),
                wholes,
                scenario,
                self._slots,
            )
            for number, crew in enumerate(crews)
            if self._share.holds(number)
        ]
        return ClosedLoad(users, self._recorder.phase.until_ns)

    def _open_load(self, workload: Open) -> OpenLoad:
        scenario, share = self._scenario, self._share
        mine_ns = self._arrivals_ns(workload, -scenario.warmup_s, scenario.duration_s)
        steps = itertools.islice(self._walk(0), share.index, None, share.of)
        limit = share.part_of(scenario.most_connections(workload))
        if scenario.max_connections is None:
            limit = int(min(limit, most_connections()))
        callers = partial(self._caller, workload=workload)
        return OpenLoad(mine_ns, steps, share, limit, self._slots, callers, self._wholes())

    def _arrivals_ns(self, workload: Open, from_s: float, to_s: float) -> list[int]:
        """Those of this worker; each stretch of a part has a seed of its own."""
        arriving = workload.times(1 / self._requests_an_arrival())
        starts_s = intended_starts_s(arriving, from_s, to_s, self._facts.seed + max(0, round(from_s)))
        intended_ns = (self._recorder.phase.measured_from_ns + starts_s * 1e9).astype(np.int64)
        mine_ns: list[int] = intended_ns[self._share.index :: self._share.of].tolist()
        return mine_ns

    def _requests_an_arrival(self) -> float:
        """On average: the rate counts requests, and an arrival begins a journey of several."""
        asked = [self._items[index] for index in self._recorder.phase.items]
        steps = sum(item.weight * (len(item.steps) if isinstance(item, Journey) else 1) for item in asked)
        return steps / sum(item.weight for item in asked)

    def _closed_load(self, workload: Closed | Ramp) -> ClosedLoad:
        scenario = self._scenario
        wholes = self._wholes()
        return ClosedLoad(
            [
                User(
                    span,
                    self._caller(span.user, workload),
                    self._walk(span.user),
                    wholes,
                    scenario,
                    self._slots,
                )
                for span in spans(workload, scenario.warmup_s, scenario.duration_s)
                if self._share.holds(span.user)
            ]
        )

    def _wholes(self) -> Wholes:
        """The pages and journeys of the part under way."""
        asked = {index: self._items[index] for index in self._recorder.phase.items}
        loads = {
            index: [self._index[load] for load in item.loads]
            for index, item in asked.items()
            if isinstance(item, Whole)
        }
        pauses = {
            index: Pauses(round(1e9 * item.think_time[0]), round(1e9 * item.think_time[1]), str(self._facts.seed))
            for index, item in asked.items()
            if isinstance(item, Journey)
        }
        journeys = {index: loads.pop(index) for index in pauses}
        return Wholes(loads, journeys, pauses)

    def _turn(self, user: int, workload: Workload) -> Turn:
        """Of an open load's connections all draw from one row of turns, by arrivals."""
        if isinstance(workload, Open):
            return Turn(self._share.index, self._share.of)
        return Turn(user, _users_of(workload))

    def _caller(self, number: int, workload: Workload) -> Caller:
        """A virtual user, the same one when it comes again."""
        caller = self._callers.get(number)
        if caller is None:
            caller = self._callers[number] = self._values.caller(number, self._turn(number, workload))
            if self._sessions is not None:
                self._sessions.introduce(caller)
        return caller

    def _data_of(self, item: Item) -> tuple[int, ...]:
        """The data that an item is asked with, by number."""
        loads = item.loads if isinstance(item, Whole) else (item.name,)
        return tuple(dict.fromkeys(number for load in loads for number in self._recipes[self._index[load]].data))

    def _draw(self, caller: Caller, index: int) -> bool:
        drawn = not self._data[index] or self._values.draw(caller, self._data[index], index)
        if not drawn:
            self._end(f"[data.{self._values.exhausted}] has no row left, and none is to be taken twice (unique)")
        return drawn

    def _walk(self, user: int, some: Sequence[int] = ()) -> Iterator[int]:
        """The items that a user asks for, one after the other: some, or all of the part under way."""
        indices = some or self._recorder.phase.items
        steps = walk([self._items[index].weight for index in indices], self._facts.seed, user)
        return map(indices.__getitem__, steps)

    async def _watch(self) -> None:
        """Every tick: measure the loop's own lag and end what took too long; every second: flush."""
        recorder = self._recorder
        tick = 0
        second_ns, cpu_s = perf_counter_ns(), process_time()
        now_ns = second_ns
        while True:
            due_ns = now_ns + int(_TICK_S * 1e9)  # what follows a tick, a slow disk in it, delays the next
            await asyncio.sleep((due_ns - perf_counter_ns()) / 1e9)
            now_ns = perf_counter_ns()
            recorder.loop_lag_ms.add(max(0, now_ns - due_ns) / 1e6)
            self._standstills.tick(due_ns, now_ns)
            self._clock.look()
            tick += 1
            if tick % _TICKS_AN_EXPIRY == 0:
                self._slots.expire(now_ns)
            if recorder.sent >= self._budget:
                self._end("the budget of requests was used up (--max-requests)")
            self._end_if_too_many_fail(now_ns)
            if now_ns - second_ns >= 1_000_000_000:
                wall_s, used_s = (now_ns - second_ns) / 1e9, process_time() - cpu_s
                worst = recorder.loop_lag_ms.take_worst(), recorder.schedule_lag_ms.take_worst()
                self._health.append(now_ns - recorder.origin_ns, used_s / wall_s, *worst, recorder.recorded)
                self._flush()
                self._end_if_hopeless()
                second_ns, cpu_s = now_ns, cpu_s + used_s

    def _end_if_hopeless(self) -> None:
        """After five seconds in which every request failed: end the run, or the endpoint's part of it."""
        outage = self._recorder.phase.outage
        outage.end_second()
        if not outage.seconds:
            self._recorder.evidence.forget_recent()
        if outage.seconds < _HOPELESS_S or self._facts.target.keep_going or self._load is None:
            return
        if self._scenario.isolated:
            self._load.stop()
        else:
            commonest = self._recorder.evidence.commonest()
            self._end(f"every request failed for {_HOPELESS_S} s (--keep-going goes on), {commonest}")

    def _end_if_too_many_fail(self, now_ns: int) -> None:
        """End the run where more of its requests failed after warm-up than its rule allows."""
        recorder, rule = self._recorder, self._scenario.abort_on
        new = recorder.sent - recorder.retries + recorder.dropped_ones - self._seen
        self._seen += new
        self._measured += new if now_ns >= recorder.phase.measured_from_ns else 0
        if rule and recorder.failed > share_of(rule) * max(self._measured, _JUDGED_REQUESTS):
            self._end(f"more than {100 * share_of(rule):g} % failed (--abort-on), {recorder.evidence.commonest()}")

    def _end(self, why: str) -> None:
        if not self._stop.is_set():
            self._cut = why
            self.stop()

    def _flush(self) -> None:
        self._spool.flush()
        self._health.flush()


def _users_of(workload: Workload) -> int:
    """The virtual users of a workload; of an open one so many as log in, whom its connections take turns to be."""
    if isinstance(workload, Open):
        return _OPEN_USERS
    return workload.most_users


class _Words:
    """What the worker says to the engine, on a descriptor that nothing else in this process, or its children, knows."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._pipe = os.fdopen(descriptor, "w", encoding="utf-8")

    def say(self, kind: str, content: object, **more: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more: the end of stdin stops the run
            print(json.dumps({kind: content, **more}), file=self._pipe, flush=True)


def _longest_s(facts: Facts) -> float:
    """The time budget of a run: as planned, with all that is under way at the end of a part timing out, and some."""
    scenario = facts.scenario
    wholes = [item for item in scenario.takes(facts.target) if isinstance(item, Whole)]
    turns = (math.ceil(len(one.loads) / (PAGE_CONNECTIONS if isinstance(one, Page) else 1)) for one in wholes)
    longest_s = max(scenario.timeout_s, *(one.timeout or 0.0 for one in facts.target.endpoints))
    drain_s = max(turns, default=1) * longest_s
    return scenario.lasts_s(facts.target) + len(scenario.parts(facts.target)) * drain_s + _OVERTIME_S


async def _serve(order: Order, words: _Words) -> Outcome:
    folder, number, loop = order.folder, order.share.index, asyncio.get_running_loop()
    with (
        Spool(requests_spool(folder, number)) as spool,
        Spool(generator_spool(folder, number), GENERATOR_ROW) as health,
    ):
        worker = Worker(order.facts, spool, health, order.share, failures_spool(folder, number))
        worker.ask = lambda so_far: words.say("so_far", asdict(so_far))
        await worker.prepare()
        words.say("ready", True)
        origin = sys.stdin.readline().strip()
        if not origin.isdigit():
            raise KeyboardInterrupt

        def listen() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the run was over already
                while (line := sys.stdin.readline()).startswith("until "):
                    loop.call_soon_threadsafe(worker.told, float(line.split()[1]))
                loop.call_soon_threadsafe(worker.stop)

        threading.Thread(target=listen, daemon=True).start()
        longest_s = _longest_s(order.facts)

        def give_up() -> None:
            words.say("fault", f"the run did not end within {longest_s:.0f} s", traceback="")
            os._exit(3)

        # Whatever the event loop is stuck in, this process ends; what is spooled makes the run.
        watchdog = threading.Timer(longest_s, give_up)
        watchdog.daemon = True
        watchdog.start()
        return await worker.drive(int(origin))


def main(descriptor: int) -> int:
    """Carry one order out; says on this descriptor what becomes of it."""
    words, line = _Words(descriptor), sys.stdin.readline()
    if not line:  # whoever started it is gone
        return 130
    raise_open_files()
    order = ORDER.validate_python(json.loads(line))
    order = replace(order, facts=order.facts.replaced(target=order.facts.target.replaced(folder=order.files)))
    join(order.folder)
    gc.collect()
    gc.freeze()
    try:
        _require_threads()
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            outcome = runner.run(_serve(order, words))
    except DiskError as error:
        words.say("disk", str(error))
        return 1
    except InputError as error:
        words.say("input_error", str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        words.say("fault", in_a_line(error), traceback="".join(traceback.format_exception(error)))
        return 1
    words.say("outcome", OUTCOME.dump_python(outcome, mode="json"))
    return 0


def _require_threads() -> None:
    """Raise RuntimeError where there are too few: libuv, which starts some as it connects, would abort mid-run."""
    go = threading.Event()
    some = [threading.Thread(target=go.wait) for _ in range(_THREADS)]
    try:
        for one in some:
            one.start()
    finally:
        go.set()


def in_a_line(fault: Exception) -> str:
    """What it is, and where it was raised."""
    place = traceback.extract_tb(fault.__traceback__)[-1]
    return " ".join(f"{type(fault).__name__}: {fault} ({Path(place.filename).name}, line {place.lineno})".split())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
