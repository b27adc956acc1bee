"""The site of tests.planted in Python: four endpoints, one planted cause. For `uvicorn tests.planted_site:app`.

Its functions are those of the sample dashboard, so that a profiler says the same names. It may have several processes:
a lock is one of the machine, then, and the others' causes are each process's own.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perflib.sample.answers import stall_regularly
from perflib.sample.faults import Faults, Limit
from perflib.sample.queries import Reader
from perflib.sample.slowness import burn, causes_of, dripped, in_own_thread, sleep_holding_the_lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OWN_WORK_S = 0.0003
BODY = json.dumps({"data": ["x" * 20] * 100}).encode()
_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}
_plant = json.loads(os.environ["PLANT"])
_size_s, _paths = _plant["size_s"], _plant["paths"]
_stalling: list[asyncio.Task[None]] = []


def _faults() -> Faults:
    sizes = dict.fromkeys(_paths, _size_s)
    given: dict[str, Any] = {f"{_plant['kind']}_s": sizes} if _plant["kind"] in ("block", "cpu", "wait") else {}
    if _plant["kind"] == "limit":
        given["limits"] = dict.fromkeys(_paths, Limit(_plant["at_once"], _size_s))
    return Faults(**given)


_causes = causes_of(_faults(), Reader(Path("unused")))


def _lock_the_machine(seconds: float) -> None:
    with Path(_plant["lock_file"]).open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sleep_holding_the_lock(seconds)


async def app(
    scope: dict[str, Any],
    _receive: Callable[[], Awaitable[Any]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    path = scope["path"]
    if _plant["kind"] == "stall" and not _stalling:
        _stalling.append(asyncio.create_task(_stall_together()))
    burn(OWN_WORK_S)
    for cause in _causes.get(path, ()):
        await cause()
    planted = _plant["kind"] if path in _paths else ""
    if planted == "lock":
        await in_own_thread(_lock_the_machine, _size_s)
    await send(_HEAD)
    if planted == "drip":
        async for piece in dripped(BODY, _size_s):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if planted == "drip" else BODY})


async def _stall_together() -> None:
    """All processes at the same moments, as where a disk or a machine stalls."""
    period_s = _plant["period_s"]
    await asyncio.sleep(period_s - time.time() % period_s)
    await stall_regularly(_size_s, period_s)
