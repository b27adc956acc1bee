"""The pacer: calls back at intended starts, to a few microseconds.

An event loop's own timers come up to a millisecond late (libuv counts in milliseconds), which at 1,000 requests per
second is the whole interval; a sleeping thread is woken by the kernel within some 0.1 ms. So a thread wakes the loop
shortly before an arrival, and the loop stays awake until then: it sends at the very moment, and goes on reading.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from time import perf_counter_ns

_MOST_AWAKE_NS = 150_000
_MOST_AWAKE_SHARE = 0.3


class Pacer:
    """Calls `arrive(intended_ns)` in the event loop at each of `intended_ns` (ascending, `perf_counter_ns`)."""

    def __init__(self, intended_ns: Sequence[int], arrive: Callable[[int], None]) -> None:
        self._intended_ns = intended_ns
        self._arrive = arrive
        self._awake_ns = _awake_ns(intended_ns)
        self._next = 0
        self._is_awake = False
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._pace, daemon=True)

    async def run(self) -> None:
        """Until the last arrival was called, or `stop`."""
        if not self._intended_ns:
            return
        self._thread.start()
        await self._over.wait()

    def stop(self) -> None:
        self._stopped.set()
        self._over.set()

    def _pace(self) -> None:
        """The thread: wake the loop before each arrival that does not follow close on another."""
        last_ns = -self._awake_ns - 1
        for intended_ns in self._intended_ns:
            if intended_ns - last_ns > self._awake_ns and not self._wake_before(intended_ns):
                return
            last_ns = intended_ns

    def _wake_before(self, intended_ns: int) -> bool:
        """False where there is nothing to wake any more."""
        while (left_ns := intended_ns - self._awake_ns - perf_counter_ns()) > 0:
            time.sleep(left_ns / 1e9)
        if self._stopped.is_set():
            return False
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop has ended
            return False
        return True

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._look()

    def _look(self) -> None:
        """Call what is due, and look again at once if more will be soon."""
        intended_ns = self._intended_ns
        while self._next < len(intended_ns) and not self._stopped.is_set():
            left_ns = intended_ns[self._next] - perf_counter_ns()
            if left_ns > 0:
                self._is_awake = left_ns <= self._awake_ns
                if self._is_awake:
                    self._loop.call_soon(self._look)
                return
            self._next += 1
            self._arrive(intended_ns[self._next - 1])
        self._over.set()


def _awake_ns(intended_ns: Sequence[int]) -> int:
    """How long before an arrival the loop is awake: a sleeping thread is woken some 0.1 ms late.

    Less where arrivals are so many that it would never sleep: it is busy then anyway.
    """
    if not intended_ns:
        return 0
    gap_ns = (intended_ns[-1] - intended_ns[0]) / len(intended_ns)
    return int(min(_MOST_AWAKE_NS, _MOST_AWAKE_SHARE * gap_ns)) if len(intended_ns) > 1 else _MOST_AWAKE_NS
