"""How far off is each generator? Its p50, p95, p99 against the delays that the server really served in that run.

python -m tests.benchmarks.accuracy --shape bimodal
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.known_latency import ANSWERS, DELAYS_S
from tests.benchmarks.peers import CLOSED, OPEN, Drive, Result, installed, markdown, notes

if TYPE_CHECKING:
    from collections.abc import Iterator

PERCENTILES = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99"}
AIM, AIM_MS = 0.005, 0.1
"""perflib shall be within one of the two, whichever is wider, unless other work is on the server's core."""
BESIDE = {
    "nothing": "",
    "loops": "four busy loops on the core of the generators, ",
    "tests": "the tests of perflib running on all cores, ",
}
"""Other work of this machine, in words."""
ENOUGH_S = 8.0
"""One user at 20 ms, or 50 requests a second, need so long for the 299 requests of a p99."""


@dataclass(frozen=True)
class Trial:
    """One run of one generator, and the truth of that run."""

    result: Result
    truth: dict[str, float]

    def error_ms(self, q: str) -> float:
        said = getattr(self.result, q)
        return float("nan") if said is None else said - self.truth[q]


@dataclass(frozen=True)
class Error:
    """What a generator said less the truth, the median over the rounds; NaN where it said nothing."""

    ms: float
    share: float

    def __str__(self) -> str:
        return "insufficient" if isnan(self.ms) else f"{self.ms:+.2f} ms ({self.share:+.1%})"

    @property
    def size_ms(self) -> float:
        """As far from the truth as the table shows it."""
        return inf if isnan(self.ms) else round(abs(self.ms), 2)

    @property
    def is_within_aim(self) -> bool:
        return isnan(self.ms) or abs(self.share) <= AIM or abs(self.ms) <= AIM_MS


@dataclass(frozen=True)
class Row:
    """A generator at a number of users, or at a rate."""

    users: int
    name: str
    trials: list[Trial]

    @cached_property
    def errors(self) -> dict[str, Error]:
        """By percentile."""
        return {
            q: Error(
                median(trial.error_ms(q) for trial in self.trials),
                median(trial.error_ms(q) / trial.truth[q] for trial in self.trials),
            )
            for q in PERCENTILES
        }

    @property
    def is_own(self) -> bool:
        return self.name.startswith("perflib")


@dataclass(frozen=True)
class Setting:
    """What is measured: `all_users` are rates a second where `at_rate`, of open workloads."""

    shape: str = "lognormal"
    framing: str = "length"
    all_users: tuple[int, ...] = (1, 10, 50, 150)
    at_rate: bool = False
    beside: str = "nothing"
    """One of `BESIDE`."""
    only: tuple[str, ...] = ()
    """These generators; empty: all."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.only or (OPEN if self.at_rate else CLOSED)

    @property
    def unit(self) -> str:
        return "requests/s" if self.at_rate else "users"

    @property
    def few(self) -> int:
        """So few users, or so low a rate, need ENOUGH_S to reach a p99."""
        return 50 if self.at_rate else 1


@contextmanager
def known_latency(shape: str, framing: str = "length") -> Iterator[str]:
    """Start the server of known latency; end it afterwards. Yields its base URL."""
    file = Path(__file__).with_name("known_latency.py")
    command = [sys.executable, str(file), "--shape", shape, "--framing", framing]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix("serving on ").strip()
    finally:
        server.terminate()
        server.communicate()


@contextmanager
def neighbours(beside: str) -> Iterator[None]:
    """Other work; where it is busy loops, this process and all that it starts share the last core with them."""
    cores = sorted(os.sched_getaffinity(0))
    loop, tests = [sys.executable, "-c", "while True: pass"], [sys.executable, "-m", "pytest", "-q", "tests"]
    commands = {"nothing": [], "loops": [loop] * 4, "tests": [tests]}[beside]
    if beside == "loops":
        os.sched_setaffinity(0, cores[-1:])
    others = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for command in commands
    ]
    try:
        yield
    finally:
        for other in others:
            os.killpg(other.pid, signal.SIGKILL)
            other.wait()
        os.sched_setaffinity(0, cores)


def attempt(drive: Drive, base_url: str, users: int, seconds: float) -> Trial:
    """Drive load, with the truth taken over the same requests."""
    httpx.get(f"{base_url}/truth?reset=1")
    result = drive(f"{base_url}/answer", users, seconds)
    return Trial(result, httpx.get(f"{base_url}/truth").json())


def measure(setting: Setting, rounds: int, seconds: float) -> list[Row]:
    """All trials; rounds interleave the generators in random order."""
    drives, trials, order = installed(*setting.names), defaultdict(list), random.Random(1)
    with known_latency(setting.shape, setting.framing) as base_url, neighbours(setting.beside):
        for _ in range(rounds):
            for users in setting.all_users:
                long_s = max(seconds, ENOUGH_S) if users <= setting.few else seconds
                for name in order.sample(list(drives), len(drives)):
                    trials[users, name].append(attempt(drives[name], base_url, users, long_s))
    return [Row(users, name, trials[users, name]) for users in setting.all_users for name in drives]


def nearest(rows: list[Row], users: int, q: str) -> Row:
    """Of the rows at so many users, the one with the smallest error."""
    return min((row for row in rows if row.users == users), key=lambda row: row.errors[q].size_ms)


def cells_of(row: Row, rows: list[Row]) -> list[str]:
    """A line of the table; the nearest to the truth at this number of users in bold."""
    figures = []
    for q, error in row.errors.items():
        is_nearest = error.size_ms == nearest(rows, row.users, q).errors[q].size_ms < inf
        figures.append(f"**{error}**" if is_nearest else str(error))
    truth = " / ".join(f"{median(trial.truth[q] for trial in row.trials):.1f}" for q in PERCENTILES)
    recorded = sum(trial.result.requests for trial in row.trials)
    served = sum(int(trial.truth["count"]) for trial in row.trials)
    server = median(trial.truth["cpu_s"] / trial.truth["wall_s"] for trial in row.trials)
    return [f"{row.users:,}", row.name, *figures, truth, f"{recorded:,} of {served:,}", f"{server:.0%}"]


def shortfalls(rows: list[Row], unit: str) -> str:
    """Where perflib misses its aim, and where a peer is nearer to the truth."""
    outside, behind = [], []
    peers = [row for row in rows if not row.is_own]
    for row in (row for row in rows if row.is_own):
        for q, error in row.errors.items():
            where = f"{row.name} {PERCENTILES[q]} at {row.users:,} {unit}"
            if not error.is_within_aim:
                outside.append(f"{where} {error}")
            peer = nearest(peers, row.users, q) if peers else row
            if peer.errors[q].size_ms < error.size_ms < inf:
                behind.append(f"{where} {error.size_ms:.2f} ms ({peer.name} {peer.errors[q].size_ms:.2f})")
    return (
        f"Outside both {AIM:.1%} and {AIM_MS} ms: {'; '.join(outside) or 'perflib nowhere'}. "
        f"Further from the truth than a peer: {'; '.join(behind) or 'perflib nowhere'}."
    )


def table(setting: Setting, rounds: int, seconds: float) -> str:
    """The whole measurement as Markdown."""
    rows = measure(setting, rounds, seconds)
    figures = [*(f"error at {q}" for q in PERCENTILES.values()), "truth p50 / p95 / p99 (ms)"]
    head = [setting.unit, "generator", *figures, "recorded of served", "server's CPU"]
    return (
        f"Accuracy, {setting.shape} delays, framing: {setting.framing}. Medians of {rounds} interleaved rounds, "
        f"{BESIDE[setting.beside]}"
        f"{seconds:g} s a run ({ENOUGH_S:g} s or more up to {setting.few} {setting.unit}); "
        f"the nearest to the truth in bold.\n\n"
        f"{markdown(head, [cells_of(row, rows) for row in rows])}\n\n{shortfalls(rows, setting.unit)}"
    )


def main() -> int:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=DELAYS_S, default="lognormal")
    parser.add_argument("--framing", choices=ANSWERS, default="length")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 10, 50, 150])
    parser.add_argument("--rates", type=int, nargs="+", help="open workloads instead, at so many requests a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--beside", choices=BESIDE, default="nothing", help="other work of this machine")
    parser.add_argument("--only", nargs="+", default=[], help="these generators")
    given = parser.parse_args()
    setting = Setting(
        given.shape,
        given.framing,
        tuple(given.rates or given.users),
        at_rate=given.rates is not None,
        beside=given.beside,
        only=tuple(given.only),
    )
    print(f"{table(setting, given.rounds, given.seconds)}\n\n{notes(*setting.names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
