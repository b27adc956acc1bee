"""The load generators under comparison, each behind the same call: url, users, seconds → `Result`.

Each gets one core: wrk one thread, the Go programs one processor, oha one worker thread, Locust and perflib their one
process. CPU is by rusage of the ended child. The first line of each function says what its generator corrects or
rounds; `notes` prints it.
"""

from __future__ import annotations

import asyncio
import inspect
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
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

import perflib
from perflib.session import drive

WRK_DONE = """
done = function(summary, latency, requests)
  io.write(string.format("FIGURES %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""
"""wrk's own table leaves p95 out; `done` sees the same corrected latencies, in microseconds."""

K6_SCRIPT = """
import http from 'k6/http';
export const options = { summaryTrendStats: ['med', 'p(95)', 'p(99)'], scenarios: { only: %s } };
export default function () { http.get('%s'); }
export function handleSummary(data) { return { stdout: JSON.stringify(data) }; }
"""

LOCUST_FILE = """
import json, time
from locust import FastHttpUser, constant, events, task

class Visitor(FastHttpUser):
    wait_time = constant(0)

    @task
    def visit(self):
        self.client.get("%s")

@events.test_start.add_listener
def begin(environment, **_):
    environment.cpu_from_s = time.process_time()

@events.test_stop.add_listener
def end(environment, **_):
    all = environment.stats.total
    print("FIGURES", json.dumps({
        "cpu_s": time.process_time() - environment.cpu_from_s,
        "duration_s": all.last_request_timestamp - all.start_time,
        "requests": all.num_requests,
        "failures": all.num_failures,
        "p_ms": [all.get_response_time_percentile(q) for q in (0.50, 0.95, 0.99)],
    }))
"""


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


Drive = Callable[[str, int, float], Result]


@dataclass(frozen=True)
class Peer:
    """A generator as it is called here, and the program that must be on PATH for it (none: it is always here)."""

    drive: Drive
    program: str | None = None


def perflib_closed(url: str, users: int, seconds: float) -> Result:
    """Exact percentiles of service time; a closed workload has nothing to correct."""
    return _perflib(url, "light_load", perflib.Options(users=users, duration=seconds, warmup=0))


def perflib_read(url: str, users: int, seconds: float) -> Result:
    """As perflib, an answer's end being when it was read, as the peers have it."""
    with mock.patch.dict(os.environ, PERFLIB_CLOCK="read"):
        return perflib_closed(url, users, seconds)


def perflib_checked(url: str, users: int, seconds: float) -> Result:
    """As perflib, with an expected key and a forbidden value in every body."""
    checks = ', content_type = "application/json", keys = ["status"], forbid = { status = "error" }'
    return _perflib(url, "light_load", perflib.Options(users=users, duration=seconds, warmup=0), checks)


def perflib_values(url: str, users: int, seconds: float) -> Result:
    """As perflib, another id and another UUID in each request."""
    values = "[data.client]\nrange = [1, 5000]\n"
    return _perflib(
        f"{url}?client={{client}}&key={{uuid}}",
        "light_load",
        perflib.Options(users=users, duration=seconds, warmup=0),
        more=values,
    )


def perflib_poisson(url: str, rate: int, seconds: float) -> Result:
    """Corrects for coordinated omission: exact percentiles of response time, from the intended start."""
    return _perflib(url, "steady_rate", perflib.Options(rate=rate, duration=seconds, warmup=0))


def perflib_poisson_read(url: str, rate: int, seconds: float) -> Result:
    """As with Poisson arrivals, an answer's end being when it was read, as the peers have it."""
    with mock.patch.dict(os.environ, PERFLIB_CLOCK="read"):
        return perflib_poisson(url, rate, seconds)


def perflib_constant(url: str, rate: int, seconds: float) -> Result:
    """As with Poisson arrivals, at even distances as the peers have them."""
    return _perflib(url, "steady_rate", perflib.Options(rate=rate, arrivals="constant", duration=seconds, warmup=0))


def _perflib(url: str, scenario: str, options: perflib.Options, checks: str = "", more: str = "") -> Result:
    """perflib as a user calls it."""
    base, _, path = url.rpartition("/")
    target = f'[target]\nname = "benchmark"\nbase_url = "{base}"\n[[endpoint]]\npath = "/{path}"\n'
    before_s = _children_cpu_s()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERFLIB_DATA"] = folder
        file = Path(folder) / "target.toml"
        file.write_text(f"{target}expect = {{ status = 200{checks} }}\n{more}")
        run = drive.run(scenario, options.model_copy(update={"target": str(file)}))
    process_cpu_s = _children_cpu_s() - before_s
    row = perflib.summarize(run).endpoints[0]
    generator = run.facts.generator
    if row.errors:
        raise RuntimeError(f"perflib: {row.errors_by_kind}")
    p = row.p50_ms, row.p95_ms, row.p99_ms
    return Result(generator.requests, run.facts.duration_s, *p, generator.cpu_s, process_cpu_s)


def wrk(url: str, users: int, seconds: float) -> Result:
    """Adds phantom samples for the requests that a long answer kept it from sending."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".lua") as script:
        script.write(WRK_DONE)
        script.flush()
        said, cpu_s = _run("wrk", "-t1", f"-c{users}", f"-d{seconds:.0f}s", "--latency", "-s", script.name, url)
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk: {said}")
    requests, took_us, *p_us = (int(figure) for figure in _found(r"FIGURES (.*)", said).split())
    p50, p95, p99 = (p / 1e3 for p in p_us)
    return Result(requests, took_us / 1e6, p50, p95, p99, cpu_s, cpu_s)


def hey(url: str, users: int, seconds: float) -> Result:
    """Corrects nothing; prints latencies to 0.1 ms."""
    said, cpu_s = _run("hey", "-cpus", "1", "-c", str(users), "-z", f"{seconds:.0f}s", url)
    if "Error distribution" in said:
        raise RuntimeError(f"hey: {said}")
    p50, p95, p99 = (float(_found(rf"{q}%+ in ([\d.]+) secs", said)) * 1e3 for q in (50, 95, 99))
    requests, took_s = int(_found(r"\[200\]\s+(\d+) responses", said)), float(_found(r"Total:\s+([\d.]+) secs", said))
    return Result(requests, took_s, p50, p95, p99, cpu_s, cpu_s)


def vegeta_closed(url: str, users: int, seconds: float) -> Result:
    """Corrects nothing; percentiles approximated by a t-digest. CPU is that of its two processes, attack and report."""
    return _vegeta(url, f"-rate 0 -workers {users} -max-workers {users} -connections {users}", seconds)


def vegeta_open(url: str, rate: int, seconds: float) -> Result:
    """Corrects nothing: latency from the actual start; percentiles approximated by a t-digest."""
    return _vegeta(url, f"-rate {rate}", seconds)


def _vegeta(url: str, load: str, seconds: float) -> Result:
    attack = f"vegeta -cpus 1 attack {load} -duration {seconds:.0f}s"
    said, cpu_s = _run("sh", "-c", f"echo GET {url} | {attack} | vegeta -cpus 1 report -type json")
    told = json.loads(said)
    if told["success"] != 1:
        raise RuntimeError(f"vegeta: {told['status_codes']} {told['errors']}")
    p50, p95, p99 = (told["latencies"][q] / 1e6 for q in ("50th", "95th", "99th"))
    return Result(told["requests"], told["duration"] / 1e9, p50, p95, p99, cpu_s, cpu_s)


def k6_closed(url: str, users: int, seconds: float) -> Result:
    """Corrects nothing, and leaves connecting out of its latency; exact percentiles, interpolated."""
    return _k6(url, {"executor": "constant-vus", "vus": users, "duration": f"{seconds:.0f}s"})


def k6_open(url: str, rate: int, seconds: float) -> Result:
    """Corrects nothing: latency from the actual start, without connecting; drops arrivals that find no user free."""
    ready = max(50, rate // 4)
    arrivals = {"executor": "constant-arrival-rate", "rate": rate, "duration": f"{seconds:.0f}s"}
    return _k6(url, {**arrivals, "preAllocatedVUs": ready, "maxVUs": 4 * ready})


def _k6(url: str, scenario: dict[str, Any]) -> Result:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".js") as script:
        script.write(K6_SCRIPT % (json.dumps(scenario), url))
        script.flush()
        said, cpu_s = _run("env", "GOMAXPROCS=1", "k6", "run", "--quiet", "--no-usage-report", script.name)
    told = json.loads(said)
    figures = {name: metric["values"] for name, metric in told["metrics"].items()}
    if figures["http_req_failed"]["rate"]:
        raise RuntimeError(f"k6: {figures['http_req_failed']}")
    p50, p95, p99 = (figures["http_req_duration"][q] for q in ("med", "p(95)", "p(99)"))
    took_s = told["state"]["testRunDurationMs"] / 1e3
    return Result(figures["http_reqs"]["count"], took_s, p50, p95, p99, cpu_s, cpu_s)


def oha_closed(url: str, users: int, seconds: float) -> Result:
    """Corrects nothing; exact percentiles."""
    return _oha(url, seconds, "-c", str(users))


def oha_open(url: str, rate: int, seconds: float) -> Result:
    """Corrects for coordinated omission: latency from the intended start (--latency-correction)."""
    return _oha(url, seconds, "-c", str(max(50, rate // 4)), "-q", str(rate), "--latency-correction")


def _oha(url: str, seconds: float, *load: str) -> Result:
    quiet = ("--no-tui", "--output-format", "json", "--worker-threads", "1")
    said, cpu_s = _run("oha", *quiet, "-w", "-z", f"{seconds:.0f}s", *load, url)
    told = json.loads(said)
    if told["errorDistribution"]:
        raise RuntimeError(f"oha: {told['errorDistribution']}")
    p50, p95, p99 = (told["latencyPercentiles"][q] * 1e3 for q in ("p50", "p95", "p99"))
    requests = told["statusCodeDistribution"]["200"]
    return Result(requests, told["summary"]["total"], p50, p95, p99, cpu_s, cpu_s)


def locust(url: str, users: int, seconds: float) -> Result:
    """FastHttpUser. Corrects nothing; rounds to whole milliseconds below 100 ms, to two digits above."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "locustfile.py"
        file.write_text(LOCUST_FILE % url)
        load = ("-u", str(users), "-r", str(users), "-t", f"{seconds:.0f}s", "-H", url)
        said, process_cpu_s = _run("locust", "-f", str(file), "--headless", "--only-summary", "-L", "ERROR", *load)
    told = json.loads(_found("FIGURES (.*)", said))
    if told["failures"]:
        raise RuntimeError(f"locust: {said}")
    p50, p95, p99 = told["p_ms"]
    return Result(told["requests"], told["duration_s"], p50, p95, p99, told["cpu_s"], process_cpu_s)


def brief_script(url: str, users: int, seconds: float) -> Result:
    """The script of brief PS-5.1, its arithmetic kept: corrects nothing."""
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


PERFLIB, PERFLIB_READ, PERFLIB_CHECKED = "perflib", "perflib, read clock", "perflib, bodies checked"
PERFLIB_VALUES = "perflib, values"
PERFLIB_POISSON, PERFLIB_CONSTANT = "perflib, Poisson arrivals", "perflib, constant arrivals"
PERFLIB_POISSON_READ = "perflib, Poisson arrivals, read clock"
BRIEF = "the brief's script (httpx)"
PEERS = {
    PERFLIB: Peer(perflib_closed),
    PERFLIB_READ: Peer(perflib_read),
    PERFLIB_CHECKED: Peer(perflib_checked),
    PERFLIB_VALUES: Peer(perflib_values),
    "wrk": Peer(wrk, "wrk"),
    "hey": Peer(hey, "hey"),
    "vegeta": Peer(vegeta_closed, "vegeta"),
    "k6": Peer(k6_closed, "k6"),
    "oha": Peer(oha_closed, "oha"),
    "Locust": Peer(locust, "locust"),
    BRIEF: Peer(brief_script),
    PERFLIB_POISSON: Peer(perflib_poisson),
    PERFLIB_POISSON_READ: Peer(perflib_poisson_read),
    PERFLIB_CONSTANT: Peer(perflib_constant),
    "vegeta at a rate": Peer(vegeta_open, "vegeta"),
    "k6 at a rate": Peer(k6_open, "k6"),
    "oha at a rate": Peer(oha_open, "oha"),
}
OPEN = (PERFLIB_POISSON, PERFLIB_POISSON_READ, PERFLIB_CONSTANT, "vegeta at a rate", "k6 at a rate", "oha at a rate")
"""Open workloads: their number of users is a rate a second. wrk, hey, Locust and the brief's script have none."""
CLOSED = tuple(name for name in PEERS if name not in (*OPEN, PERFLIB_CHECKED))


def installed(*names: str) -> dict[str, Drive]:
    """Those of `names` that can run here."""
    return {name: PEERS[name].drive for name in names if name not in absent(*names)}


def absent(*names: str) -> list[str]:
    """Those of `names` whose program is not on PATH."""
    needed = {name: PEERS[name].program for name in names}
    return [name for name, program in needed.items() if program is not None and shutil.which(program) is None]


def notes(*names: str) -> str:
    """What each of `names` corrects or rounds, and which are not installed, as a Markdown list."""
    lines = [f"- {name}: {(inspect.getdoc(drive) or '').splitlines()[0]}" for name, drive in installed(*names).items()]
    left_out = absent(*names)
    return "\n".join([*lines, f"- Not installed, left out: {', '.join(left_out)}."] if left_out else lines)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _run(*command: str) -> tuple[str, float]:
    before_s = _children_cpu_s()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr}")
    return ended.stdout, _children_cpu_s() - before_s


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"{pattern!r} is not in: {text}")
    return match[1]
