"""The pacer: calls back at intended starts, to a fraction of a millisecond.

An event loop's own timers come up to a millisecond late (libuv counts in milliseconds), which at 1,000 requests a
second is the whole interval. A sleeping thread is woken by the kernel within some 0.1 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_AWAKE_NS = 300_000
"""The kernel's timers come up to so late: this long before an arrival the thread stays awake, yielding at each look."""


class Pacer:
    """Calls `arrive(intended_ns)` in the event loop at each of `intended_ns` (ascending, `perf_counter_ns`)."""

    def __init__(self, intended_ns: Sequence[int], arrive: Callable[[int], None]) -> None:
        self._intended_ns = intended_ns
        self._arrive = arrive
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._pace, daemon=True)

    async def run(self) -> None:
        """Until the last arrival was called, or `stop`."""
        self._thread.start()
        await self._over.wait()

    def stop(self) -> None:
        self._stopped.set()
        self._over.set()

    def _pace(self) -> None:
        for intended_ns in self._intended_ns:
            while (left_ns := intended_ns - perf_counter_ns()) > 0:
                time.sleep(max(0, left_ns - _AWAKE_NS) / 1e9)
            if self._stopped.is_set() or not self._tell(self._arrive, intended_ns):
                return
        self._tell(self._over.set)

    def _tell(self, call: Callable[..., None], *arguments: int) -> bool:
        """Hand a call to the event loop; False where that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)
            return True
        return False
