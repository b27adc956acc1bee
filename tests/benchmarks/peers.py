"""The load generators under comparison, each behind the same call: url, users, seconds → `Result`.

Each gets one core: wrk one thread, hey one processor, perflib its one process. CPU is by rusage of the ended child.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

import perflib

WRK_DONE = """
done = function(summary, latency, requests)
  io.write(string.format("FIGURES %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""
"""wrk's own table leaves p95 out; `done` sees the same corrected latencies, in microseconds."""


@dataclass(frozen=True)
class Result:
    """What a generator says of its run, and what it cost. Percentiles: None where it gives none."""

    requests: int
    duration_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_s: float
    """While it drove load, where it knows that of itself; else of the whole process."""
    process_cpu_s: float
    """Of the whole process, its start included."""


Peer = Callable[[str, int, float], Result]


def perflib_run(url: str, users: int, seconds: float, *, checked: bool = False, at_rate: bool = False) -> Result:
    """perflib as a user calls it; `checked`: with an expected key and a forbidden value in every body.

    `at_rate`: an open workload, `users` being its rate a second.
    """
    base, _, path = url.rpartition("/")
    content = ', content_type = "application/json", keys = ["status"], forbid = { status = "error" }' if checked else ""
    target = f'[target]\nname = "benchmark"\nbase_url = "{base}"\n[[endpoint]]\npath = "/{path}"\n'
    before_s = _children_cpu_s()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERFLIB_DATA"] = folder
        file = Path(folder) / "target.toml"
        file.write_text(f"{target}expect = {{ status = 200{content} }}\n")
        load = {"rate": users} if at_rate else {"users": users}
        options = perflib.Options(target=str(file), duration=seconds, warmup=0, **load)
        run = perflib.run("steady_rate" if at_rate else "light_load", options, report=lambda _: None)
    process_cpu_s = _children_cpu_s() - before_s
    row = perflib.summarize(run).endpoints[0]
    generator = run.facts.generator
    if row.errors:
        raise RuntimeError(f"perflib: {row.errors_by_kind}")
    p = row.p50_ms, row.p95_ms, row.p99_ms
    return Result(generator.requests, run.facts.duration_s, *p, generator.cpu_s, process_cpu_s)


def wrk(url: str, users: int, seconds: float) -> Result:
    """wrk, which adds phantom samples for the requests that a long answer kept it from sending."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_DONE)
        script.flush()
        said, cpu_s = _run("wrk", "-t1", f"-c{users}", f"-d{seconds:.0f}s", "--latency", "-s", script.name, url)
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk: {said}")
    requests, took_us, *p_us = (int(figure) for figure in _found(r"FIGURES (.*)", said).split())
    p50, p95, p99 = (p / 1e3 for p in p_us)
    return Result(requests, took_us / 1e6, p50, p95, p99, cpu_s, cpu_s)


def hey(url: str, users: int, seconds: float) -> Result:
    """hey, which prints latencies to 0.1 ms."""
    said, cpu_s = _run("hey", "-cpus", "1", "-c", str(users), "-z", f"{seconds:.0f}s", url)
    if "Error distribution" in said:
        raise RuntimeError(f"hey: {said}")
    p50, p95, p99 = (float(_found(rf"{q}%+ in ([\d.]+) secs", said)) * 1e3 for q in (50, 95, 99))
    requests, took_s = int(_found(r"\[200\]\s+(\d+) responses", said)), float(_found(r"Total:\s+([\d.]+) secs", said))
    return Result(requests, took_s, p50, p95, p99, cpu_s, cpu_s)


def vegeta(url: str, rate: int, seconds: float) -> Result:
    """vegeta: constant arrivals at a rate, latency from the actual start."""
    attack = f"echo GET {url} | vegeta -cpus 1 attack -rate {rate} -duration {seconds:.0f}s | vegeta report -type json"
    said, cpu_s = _run("sh", "-c", attack)
    told = json.loads(said)
    p50, p95, p99 = (told["latencies"][q] / 1e6 for q in ("50th", "95th", "99th"))
    return Result(told["requests"], told["duration"] / 1e9, p50, p95, p99, cpu_s, cpu_s)


def brief_script(url: str, users: int, seconds: float) -> Result:
    """The script of brief PS-5.1, its arithmetic kept."""
    results: list[tuple[int, float]] = []

    async def load_test() -> None:
        async with httpx.AsyncClient() as client:

            async def worker() -> None:
                while time.time() < end_time:
                    start = time.time()
                    resp = await client.get(url, headers={"Authorization": "Bearer none"})
                    results.append((resp.status_code, (time.time() - start) * 1000))

            end_time = time.time() + seconds
            await asyncio.gather(*[worker() for _ in range(users)])

    cpu_from_s, from_s = time.process_time(), time.time()
    asyncio.run(load_test())
    cpu_s, took_s = time.process_time() - cpu_from_s, time.time() - from_s
    latencies = sorted(ms for status, ms in results if status == 200)
    p95, p99 = (latencies[int(len(latencies) * q)] for q in (0.95, 0.99))
    return Result(len(latencies), took_s, statistics.median(latencies), p95, p99, cpu_s, cpu_s)


PERFLIB, PERFLIB_CHECKED, BRIEF = "perflib", "perflib, bodies checked", "the brief's script (httpx)"
PERFLIB_OPEN = "perflib, Poisson arrivals"
PEERS: dict[str, Peer] = {
    PERFLIB: perflib_run,
    PERFLIB_OPEN: partial(perflib_run, at_rate=True),
    PERFLIB_CHECKED: partial(perflib_run, checked=True),
    "wrk": wrk,
    "hey": hey,
    "vegeta": vegeta,
    BRIEF: brief_script,
}


def installed(*names: str) -> dict[str, Peer]:
    """Those of `names` that can run here; the others are named on stdout."""
    absent = [name for name in names if name in ("wrk", "hey", "vegeta") and shutil.which(name) is None]
    if absent:
        print(f"Not installed, left out: {', '.join(absent)}.\n")
    return {name: PEERS[name] for name in names if name not in absent}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _run(*command: str) -> tuple[str, float]:
    before_s = _children_cpu_s()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout, _children_cpu_s() - before_s


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"{pattern!r} is not in: {text}")
    return match[1]
