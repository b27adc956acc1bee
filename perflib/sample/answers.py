"""How an answer comes about: computed, kept for a while, or failed on purpose."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction

from perflib.sample.database import AS_OF


@dataclass(frozen=True)
class Answer:
    """A serialized JSON body, and what it took to compute it for this request."""

    body: bytes
    computing_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


def compute(read: Callable[[], bytes]) -> Answer:
    """The data that `read` yields, in the envelope of every answer."""
    start = time.perf_counter()
    data = read()
    now = datetime.now(UTC).isoformat()
    head = f'{{"status":"ok","as_of":"{AS_OF.isoformat()}","generated_at":"{now}","data":'
    return Answer(b"%s%s}" % (head.encode(), data), time.perf_counter() - start)


class SingleFlightCache:
    """Keeps one answer for `keep_s`; requests that find none wait together for one computation.

    X-Cache says HIT for a kept answer and MISS for one that was waited for, by whoever asked first or later.
    """

    def __init__(self, compute: Callable[[], Awaitable[Answer]], keep_s: float) -> None:
        self._compute = compute
        self._keep_s = keep_s
        self._kept: Answer | None = None
        self._expires = 0.0
        self._flight: asyncio.Task[Answer] | None = None

    async def answer(self) -> Answer:
        if self._kept is not None and time.monotonic() < self._expires:
            return self._kept
        if self._flight is None:
            self._flight = asyncio.create_task(self._recompute())
        return await asyncio.shield(self._flight)

    async def _recompute(self) -> Answer:
        try:
            answer = await self._compute()
        finally:
            self._flight = None
        self._kept = replace(answer, computing_s=0.0, headers={"X-Cache": "HIT"})
        self._expires = time.monotonic() + self._keep_s
        return replace(answer, headers={"X-Cache": "MISS"})


class ErrorDiffusion:
    """Picks an exact share of the requests, evenly spread: due where the summed share passes an integer."""

    def __init__(self, share: Fraction) -> None:
        self._share = share
        self._carried = Fraction(0)

    def due(self) -> bool:
        self._carried += self._share
        if self._carried < 1:
            return False
        self._carried -= 1
        return True


class RateLimit:
    """Bears so many requests per second, and a second's worth at once (the generic cell rate algorithm)."""

    def __init__(self, per_s: float) -> None:
        self._apart_s = 1 / per_s
        self._due_s = 0.0

    def exceeded(self) -> bool:
        now_s = time.monotonic()
        due_s = max(self._due_s, now_s) + self._apart_s
        if due_s > now_s + max(1.0, self._apart_s):
            return True
        self._due_s = due_s
        return False


class Leakage:
    """Memory that is never given back. The bytes are written, not only reserved, so that they show in RSS."""

    def __init__(self) -> None:
        self._retained: list[bytes] = []
        self.retained_bytes = 0

    def retain(self, size: int) -> None:
        if size > 0:
            self._retained.append(b"x" * size)
            self.retained_bytes += size

    async def grow(self, bytes_per_s: float) -> None:
        """Retain at a steady rate, until cancelled."""
        start, retained = time.monotonic(), 0
        while True:
            await asyncio.sleep(0.5)
            due = int(bytes_per_s * (time.monotonic() - start)) - retained
            self.retain(due)
            retained += due


async def stall_regularly(stall_s: float, period_s: float) -> None:
    """Stop the event loop for `stall_s` in every `period_s`, until cancelled."""
    while True:
        await asyncio.sleep(period_s - stall_s)
        time.sleep(stall_s)
