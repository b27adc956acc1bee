"""Why an answer is slow on purpose: each cause in a function of its own, so that a profiler can name it."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

import anyio.to_thread
from starlette.concurrency import run_in_threadpool

from perflib.sample.faults import Faults
from perflib.sample.queries import Reader

Cause = Callable[[], Awaitable[object]]
PIECES = 16


def causes_of(faults: Faults, reader: Reader) -> Mapping[str, list[Cause]]:
    """By endpoint what each of its answers goes through before it is sent."""
    causes: defaultdict[str, list[Cause]] = defaultdict(list)
    for name, cpu_s in faults.cpu_s.items():
        causes[name].append(partial(run_in_threadpool, burn, cpu_s))
    for name, count in faults.queries.items():
        causes[name].append(partial(run_in_threadpool, reader.hours_client_by_client, count))
    for name, wait_s in faults.wait_s.items():
        causes[name].append(partial(in_own_thread, wait_without_computing, wait_s))
    for lock in faults.locks:
        shared = asyncio.Lock()
        for name in lock.endpoints:
            causes[name].append(partial(_within, shared, sleep_holding_the_lock, lock.held_s))
    for name, limit in faults.limits.items():
        causes[name].append(partial(_within, asyncio.Semaphore(limit.at_once), sleep_within_the_limit, limit.wait_s))
    for name, block_s in faults.block_s.items():
        causes[name].append(partial(sleep_on_the_event_loop, block_s))
    return causes


async def in_own_thread(work: Callable[[float], None], seconds: float) -> None:
    """To the microsecond, which uvloop's timers are not; nothing queues for a thread of its own."""
    await anyio.to_thread.run_sync(work, seconds, limiter=anyio.CapacityLimiter(1))


async def dripped(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """`body` in pieces, the last one after `seconds`."""
    size = -(-len(body) // PIECES)
    for start in range(0, len(body), size):
        await in_own_thread(sleep_between_pieces, seconds / PIECES)
        yield body[start : start + size]


async def _within(gate: asyncio.Lock | asyncio.Semaphore, work: Callable[[float], None], seconds: float) -> None:
    async with gate:
        await in_own_thread(work, seconds)


def burn(cpu_s: float) -> None:
    """Compute until this thread has used so much CPU time."""
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        for _ in range(1000):
            pass


def wait_without_computing(seconds: float) -> None:
    time.sleep(seconds)


def sleep_holding_the_lock(seconds: float) -> None:
    time.sleep(seconds)


def sleep_within_the_limit(seconds: float) -> None:
    time.sleep(seconds)


def sleep_between_pieces(seconds: float) -> None:
    time.sleep(seconds)


async def sleep_on_the_event_loop(seconds: float) -> None:
    time.sleep(seconds)
