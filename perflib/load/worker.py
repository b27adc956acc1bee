"""The worker: virtual users that drive a target and record every request. `python -m perflib.load.worker` is one.

Protocol of the process: one JSON line on stdin is the order, answered by "ready"; the next line is the run's origin,
which all workers of a run share; a line more, or the end of stdin, asks it to stop. On stdout, one JSON line a second
is its beat; the last one is the outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import resource
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from perflib.load.answer import Judge, Sampler
from perflib.load.arrivals import WHOLE, Share, Span, intended_starts_s, spans
from perflib.load.mix import walk
from perflib.load.pacer import Pacer
from perflib.load.progress import Beat
from perflib.load.wire import Address, Connection, Exchange, WireRequest, encode, resolve
from perflib.model import ERROR_KINDS, Facts, InputError, Page
from perflib.model.run import Generator, Part
from perflib.model.scenario import Closed, Open
from perflib.stats.histogram import LogHistogram
from perflib.store.spool import COLD, GENERATOR_ROW, RETRIED, WARMUP, Spool, generator_spool, requests_spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE_CONNECTIONS = 6
_TICK_S = 0.01
_TICKS_AN_EXPIRY = 5
_PAUSE_AFTER_CONNECT_ERROR_S = 0.1
_STOP_GRACE_S = 2.0
_WINDOW = 2000
_ERROR_CODES = {kind: code for code, kind in enumerate(ERROR_KINDS)} | {None: -1}


@dataclass(frozen=True)
class Outcome:
    """What a worker says at its end; the requests are in the spool."""

    parts: tuple[Part, ...]
    generator: Generator
    stopped: bool


@dataclass
class _Stretch:
    """The part under way."""

    items: tuple[int, ...]
    measured_from_ns: int
    until_ns: int
    successes: int = 0


class _Watched:
    """How late the instrument itself was."""

    def __init__(self) -> None:
        self.loop_lag = LogHistogram()
        self.schedule_lag = LogHistogram()
        self._worst_loop_ms = self._worst_schedule_ms = 0.0

    def loop_was_late(self, lag_ms: float) -> None:
        self.loop_lag.add(lag_ms)
        self._worst_loop_ms = max(self._worst_loop_ms, lag_ms)

    def sent_late(self, lag_ms: float) -> None:
        self.schedule_lag.add(lag_ms)
        self._worst_schedule_ms = max(self._worst_schedule_ms, lag_ms)

    def worst_of_second(self) -> tuple[float, float]:
        """The largest loop lag and schedule lag since the last call, in ms."""
        worst = self._worst_loop_ms, self._worst_schedule_ms
        self._worst_loop_ms = self._worst_schedule_ms = 0.0
        return worst


class Worker:
    """Drives a run, or its share of one."""

    def __init__(self, facts: Facts, token: str | None, spool: Spool, health: Spool, share: Share = WHOLE) -> None:
        self._facts, self._scenario, self._share = facts, facts.scenario, share
        self._spool, self._health = spool, health
        target = facts.target
        self._items = target.items
        self._index = {item.name: index for index, item in enumerate(self._items)}
        self._requests: list[WireRequest] = [encode(target, endpoint, token) for endpoint in target.endpoints]
        self._sampler = Sampler()
        self._judges = [Judge(endpoint, self._sampler) for endpoint in target.endpoints]
        self._connections: list[Connection] = []
        self._at_work = 0
        self._stop = asyncio.Event()
        self._origin_ns = 0
        self._stretch = _Stretch((), 0, 0)
        self._recorded = self._errors = self._retries = 0
        self._window: list[float] = []
        self._watched = _Watched()

    async def drive(self, report: Callable[[Beat], None], origin_ns: int | None = None) -> Outcome:
        """Run the scenario to its end, or until `stop`. Times count from `origin_ns`, maybe ahead; None: now."""
        address = await resolve(self._facts.target.base_url)
        self._origin_ns = begin_ns = perf_counter_ns() if origin_ns is None else origin_ns
        cpu_from_s = _cpu_s()
        watch = asyncio.create_task(self._watch(report))
        parts: list[Part] = []
        try:
            for items in self._plan():
                if not self._stop.is_set():
                    parts.append(await self._drive_part(items, address, begin_ns))
                    begin_ns = perf_counter_ns()
        finally:
            watch.cancel()
        self._spool.flush()
        return Outcome(
            parts=tuple(parts),
            generator=Generator(
                cpu_s=(used_s := _cpu_s() - cpu_from_s),
                wall_s=(wall_s := (perf_counter_ns() - self._origin_ns) / 1e9),
                busiest_share=used_s / wall_s if wall_s else 0.0,
                requests=self._recorded,
                loop_lag_p99_ms=self._watched.loop_lag.percentile(0.99),
                schedule_lag_p99_ms=self._watched.schedule_lag.percentile(0.99),
                retries=self._retries,
                bodies_checked=self._sampler.checked,
                bodies_parsed=self._sampler.parsed,
            ),
            stopped=self._stop.is_set(),
        )

    def stop(self) -> None:
        """Send nothing more; requests under way get a moment to finish."""
        self._stop.set()

    def _plan(self) -> list[tuple[int, ...]]:
        taken = tuple(self._index[item.name] for item in self._scenario.takes(self._facts.target))
        return [(index,) for index in taken] if self._scenario.isolated else [taken]

    async def _drive_part(self, items: tuple[int, ...], address: Address, begin_ns: int) -> Part:
        workload = self._scenario.workload
        measured_from_ns = begin_ns + int(self._scenario.warmup_s * 1e9)
        until_ns = measured_from_ns + int(self._scenario.duration_s * 1e9)
        self._stretch = _Stretch(items, measured_from_ns, until_ns)
        if isinstance(workload, Open):
            await self._drain([asyncio.create_task(self._offer(workload, address))])
        else:
            at_work = spans(workload, self._scenario.warmup_s, self._scenario.duration_s)
            mine = [span for span in at_work if self._share.holds(span.user)]
            await self._drain([asyncio.create_task(self._visit_all(span, address)) for span in mine])
        ended_ns = max(measured_from_ns, min(perf_counter_ns(), until_ns))
        return Part(
            items=tuple(self._items[index].name for index in items),
            measured_from_ns=measured_from_ns - self._origin_ns,
            measured_to_ns=ended_ns - self._origin_ns,
        )

    async def _drain(self, users: list[asyncio.Task[None]]) -> None:
        """Wait for all users, and for what they have under way."""
        stopping = asyncio.create_task(self._give_up_when_stopped())
        try:
            await asyncio.gather(*users)
        finally:
            stopping.cancel()
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    async def _give_up_when_stopped(self) -> None:
        await self._stop.wait()
        await asyncio.sleep(_STOP_GRACE_S)
        for connection in self._connections:
            connection.abandon()

    async def _offer(self, workload: Open, address: Address) -> None:
        """An open workload: each arrival takes an idle connection, or a new one; beyond the bound it is dropped."""
        stretch, scenario, share = self._stretch, self._scenario, self._share
        starts_s = intended_starts_s(workload, -scenario.warmup_s, scenario.duration_s, self._facts.seed)
        intended_ns = (stretch.measured_from_ns + starts_s * 1e9).astype(np.int64)
        steps = itertools.islice(self._walk(0), share.index, None, share.of)
        limit = share.part_of(scenario.most_connections(workload))
        idle: list[tuple[int, Connection]] = []
        under_way: set[asyncio.Task[None]] = set()

        async def serve(index: int, due_ns: int, number: int, connection: Connection) -> None:
            await self._request(index, -1, number, connection, due_ns)
            idle.append((number, connection))

        def arrive(due_ns: int) -> None:
            index = next(steps)
            if not idle and len(self._connections) >= limit:
                self._record(Exchange(-1, error="dropped"), index, -1, -1, due_ns)
                return
            if not idle:
                number = len(self._connections) * share.of + share.index
                self._connections.append(Connection(address, scenario.timeout_s))
                idle.append((number, self._connections[-1]))
            task = asyncio.create_task(serve(index, due_ns, *idle.pop()))
            under_way.add(task)
            self._at_work = len(under_way)
            task.add_done_callback(under_way.discard)

        pacer = Pacer(intended_ns[share.index :: share.of].tolist(), arrive)
        stopping = asyncio.create_task(self._stop.wait())
        stopping.add_done_callback(lambda _: pacer.stop())
        await pacer.run()
        await self._sleep_until(stretch.until_ns)
        await asyncio.gather(*under_way)
        stopping.cancel()

    def _walk(self, user: int) -> Iterator[int]:
        """The items that a user asks for, one after the other."""
        indices = self._stretch.items
        steps = walk([self._items[index].weight for index in indices], self._facts.seed, user)
        return (indices[step] for step in steps)

    async def _visit_all(self, span: Span, address: Address) -> None:
        """One virtual user: the next request goes out when the last one is answered."""
        stretch, indices = self._stretch, self._stretch.items
        begin_ns, until_ns = (stretch.measured_from_ns + int(at_s * 1e9) for at_s in (span.start_s, span.end_s))
        await self._sleep_until(begin_ns)
        has_page = any(isinstance(self._items[index], Page) for index in indices)
        count = PAGE_CONNECTIONS if has_page else 1
        connections = [Connection(address, self._scenario.timeout_s) for _ in range(count)]
        self._connections += connections
        steps = self._walk(span.user)
        workload, enough = self._scenario.workload, self._scenario.enough_successes
        think_time_s = workload.think_time_s if isinstance(workload, Closed) else 0.0
        self._at_work += 1
        while not self._stop.is_set() and perf_counter_ns() < until_ns:
            if enough is not None and stretch.successes >= enough:
                break
            index = next(steps)
            item = self._items[index]
            if isinstance(item, Page):
                error = await self._load_page(item, index, span.user, connections)
            else:
                error = (await self._request(index, -1, span.user, connections[0])).error
            if error == "connect":
                await asyncio.sleep(_PAUSE_AFTER_CONNECT_ERROR_S)
            elif think_time_s:
                thought_ns = perf_counter_ns() + int(think_time_s * 1e9)
                await self._sleep_until(min(thought_ns, until_ns))
                if thought_ns >= until_ns:
                    break
        self._at_work -= 1
        for connection in connections:
            connection.close()

    async def _sleep_until(self, at_ns: int) -> None:
        left_s = (at_ns - perf_counter_ns()) / 1e9
        if left_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), left_s)

    async def _request(
        self, index: int, page: int, user: int, connection: Connection, intended_ns: int | None = None
    ) -> Exchange:
        exchange = await connection.exchange(self._requests[index])
        judge = self._judges[index]
        exchange.error, exchange.cold = judge.error_of(exchange), judge.is_cold(exchange)
        self._record(exchange, index, page, user, intended_ns)
        return exchange

    async def _load_page(self, page: Page, index: int, user: int, connections: list[Connection]) -> str | None:
        """Fetch a page's parts in parallel; it is there when its last part is, and fails if one fails."""
        waiting = iter(page.loads)
        started_ns = perf_counter_ns()

        async def fetch(connection: Connection) -> list[Exchange]:
            return [await self._request(self._index[load], index, user, connection) for load in waiting]

        fetched = await asyncio.gather(*(fetch(connection) for connection in connections[: len(page.loads)]))
        parts = [part for some in fetched for part in some]
        whole = _whole_of(parts, started_ns)
        self._record(whole, index, -1, user)
        return whole.error

    def _record(self, exchange: Exchange, index: int, page: int, user: int, intended_ns: int | None = None) -> None:
        origin_ns, stretch = self._origin_ns, self._stretch
        if intended_ns is None:
            intended_ns = exchange.start_ns
        elif exchange.start_ns >= 0:
            self._watched.sent_late((exchange.start_ns - intended_ns) / 1e6)
        flags = (WARMUP if intended_ns < stretch.measured_from_ns else 0) | (COLD if exchange.cold else 0)
        if exchange.retried:
            flags |= RETRIED
            self._retries += 1
        self._spool.append(
            intended_ns - origin_ns,
            exchange.start_ns - origin_ns if exchange.start_ns >= 0 else -1,
            exchange.first_byte_ns - origin_ns if exchange.first_byte_ns >= 0 else -1,
            exchange.end_ns - origin_ns if exchange.end_ns >= 0 else -1,
            exchange.received,
            exchange.connect_ns,
            user,
            index,
            page,
            exchange.status,
            _ERROR_CODES[exchange.error],
            flags,
        )
        self._recorded += 1
        if exchange.error is not None:
            self._errors += 1
        else:
            if not flags & WARMUP and page < 0:
                stretch.successes += 1
            if len(self._window) < _WINDOW:
                self._window.append((exchange.end_ns - exchange.start_ns) / 1e6)

    async def _watch(self, report: Callable[[Beat], None]) -> None:
        """Every tick: measure the loop's own lag and end what took too long; every second: flush and report."""
        tick = last_count = 0
        second_ns, cpu_s = perf_counter_ns(), _cpu_s()
        while True:
            due_ns = perf_counter_ns() + int(_TICK_S * 1e9)
            await asyncio.sleep(_TICK_S)
            now_ns = perf_counter_ns()
            self._watched.loop_was_late(max(0, now_ns - due_ns) / 1e6)
            tick += 1
            if tick % _TICKS_AN_EXPIRY == 0:
                for connection in self._connections:
                    connection.expire(now_ns)
            if now_ns - second_ns >= 1_000_000_000:
                wall_s, used_s = (now_ns - second_ns) / 1e9, _cpu_s() - cpu_s
                late = self._watched.worst_of_second()
                self._health.append(now_ns - self._origin_ns, used_s / wall_s, *late, self._recorded)
                self._flush()
                report(self._beat(now_ns, (self._recorded - last_count) / wall_s))
                last_count, second_ns, cpu_s = self._recorded, now_ns, cpu_s + used_s
                self._window.clear()

    def _flush(self) -> None:
        self._spool.flush()
        self._health.flush()

    def _beat(self, now_ns: int, rate_per_s: float) -> Beat:
        times_ms = LogHistogram()
        times_ms.add_all(np.array(self._window))
        names = [self._items[index].name for index in self._stretch.items]
        per_part_s = self._scenario.warmup_s + self._scenario.duration_s
        return Beat(
            elapsed_s=(now_ns - self._origin_ns) / 1e9,
            planned_s=per_part_s * len(self._plan()),
            doing=names[0] if len(names) == 1 else f"{len(names)} endpoints and pages",
            users=self._at_work,
            requests=self._recorded,
            errors=self._errors,
            rate_per_s=rate_per_s,
            times_ms=times_ms.bins(),
        )


def _whole_of(parts: list[Exchange], started_ns: int) -> Exchange:
    bad = next((part for part in parts if part.error is not None), None)
    return Exchange(
        start_ns=started_ns,
        first_byte_ns=min((part.first_byte_ns for part in parts if part.first_byte_ns >= 0), default=-1),
        end_ns=-1 if any(part.end_ns < 0 for part in parts) else max(part.end_ns for part in parts),
        connect_ns=max(part.connect_ns for part in parts),
        status=(bad or parts[0]).status,
        error=bad.error if bad else None,
        cold=any(part.cold for part in parts),
        received=sum(part.received for part in parts),
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


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


async def _serve(order: Order) -> Outcome:
    facts, folder = order.facts, order.folder
    token = os.environ.get(facts.target.token_env) if facts.target.token_env else None
    loop = asyncio.get_running_loop()
    with (
        Spool(requests_spool(folder, order.share.index)) as spool,
        Spool(generator_spool(folder, order.share.index), GENERATOR_ROW) as health,
    ):
        worker = Worker(facts, token, spool, health, order.share)
        _say("ready", True)
        origin = sys.stdin.readline().strip()
        if not origin.isdigit():
            raise KeyboardInterrupt

        def wait_for_stop() -> None:
            sys.stdin.readline()
            with contextlib.suppress(RuntimeError):  # the loop is closed: the run was over already
                loop.call_soon_threadsafe(worker.stop)

        threading.Thread(target=wait_for_stop, daemon=True).start()
        return await worker.drive(lambda beat: _say("beat", asdict(beat)), int(origin))


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do; `folder` takes its spools."""

    facts: Facts
    folder: Path
    share: Share

    def as_line(self) -> str:
        """The order as the line of JSON that `from_line` reads."""
        facts = self.facts.model_dump(mode="json")
        return json.dumps({"facts": facts, "folder": str(self.folder), "share": asdict(self.share)})

    @classmethod
    def from_line(cls, line: str) -> Order:
        said = json.loads(line)
        return cls(Facts.model_validate(said["facts"]), Path(said["folder"]), Share(**said["share"]))


def main() -> int:
    """Carry one order out."""
    order = Order.from_line(sys.stdin.readline())
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
    parts = [part.model_dump() for part in outcome.parts]
    _say("outcome", {"parts": parts, "generator": outcome.generator.model_dump(), "stopped": outcome.stopped})
    return 0


if __name__ == "__main__":
    sys.exit(main())
