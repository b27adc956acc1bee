"""How far off is each generator? Its p50, p95, p99 against the delays that the server really served in that run.

python -m tests.benchmarks.accuracy --shape bimodal
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.known_latency import ANSWERS, DELAYS_S
from tests.benchmarks.peers import BRIEF, PERFLIB, PERFLIB_OPEN, Peer, Result, installed, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOSED, OPEN = (PERFLIB, "wrk", "hey", BRIEF), (PERFLIB_OPEN, "vegeta")
_PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


@dataclass(frozen=True)
class Trial:
    """One run of one generator, and the truth of that run."""

    result: Result
    truth: dict[str, float]

    def error_ms(self, q: str) -> float:
        said = getattr(self.result, q)
        return float("nan") if said is None else said - self.truth[q]


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


def attempt(peer: Peer, base_url: str, users: int, seconds: float) -> Trial:
    """Drive load, with the truth taken over the same requests."""
    httpx.get(f"{base_url}/truth?reset=1")
    result = peer(f"{base_url}/answer", users, seconds)
    return Trial(result, httpx.get(f"{base_url}/truth").json())


def measure(
    names: tuple[str, ...], shape: str, framing: str, all_users: list[int], rounds: int
) -> dict[tuple[int, str], list[Trial]]:
    """All trials by users and generator; rounds interleave the generators in random order."""
    peers, trials, order = installed(*names), defaultdict(list), random.Random(1)
    with known_latency(shape, framing) as base_url:
        for _ in range(rounds):
            for users in all_users:
                for name in order.sample(list(peers), len(peers)):
                    trials[users, name].append(attempt(peers[name], base_url, users, 10 if users == 1 else 5))
    return {(users, name): trials[users, name] for users in all_users for name in peers}


def row_of(users: int, name: str, trials: list[Trial]) -> list[str]:
    """Medians over the rounds; an error is signed, the generator's figure less the truth."""
    cells = [str(users), name]
    for q in _PERCENTILES:
        error_ms = median(trial.error_ms(q) for trial in trials)
        error = median(trial.error_ms(q) / trial.truth[q] for trial in trials)
        cells.append("insufficient" if isnan(error_ms) else f"{error_ms:+.2f} ms ({error:+.1%})")
    truth = " / ".join(f"{median(trial.truth[q] for trial in trials):.1f}" for q in _PERCENTILES)
    recorded = sum(trial.result.requests for trial in trials)
    served = sum(int(trial.truth["count"]) for trial in trials)
    server = median(trial.truth["cpu_s"] / trial.truth["wall_s"] for trial in trials)
    return [*cells, truth, f"{recorded:,} of {served:,}", f"{server:.0%}"]


def table(shape: str, framing: str, all_users: list[int], rounds: int, *, at_rate: bool = False) -> str:
    """The whole measurement as Markdown; `at_rate`: open workloads, `all_users` being rates a second."""
    head = [
        "requests/s" if at_rate else "users",
        "generator",
        "error at p50",
        "at p95",
        "at p99",
        "truth p50 / p95 / p99 (ms)",
    ]
    trials = measure(OPEN if at_rate else CLOSED, shape, framing, all_users, rounds)
    rows = [row_of(users, name, some) for (users, name), some in trials.items()]
    return f"Accuracy, {shape} delays, framing: {framing}. Medians of {rounds} interleaved rounds.\n\n" + markdown(
        [*head, "recorded of served", "server's CPU"], rows
    )


def main() -> int:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=DELAYS_S, default="lognormal")
    parser.add_argument("--framing", choices=ANSWERS, default="length")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 10, 50, 100])
    parser.add_argument("--rates", type=int, nargs="+", help="open workloads instead, at so many requests a second")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    at_rate = given.rates is not None
    print(table(given.shape, given.framing, given.rates or given.users, given.rounds, at_rate=at_rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
