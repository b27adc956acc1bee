"""How near does the search for the ceiling come? Real M/M/c servers on loopback, whose ceiling is computed.

python -m tests.benchmarks.ceiling --seeds 4 --budget 45
python -m tests.benchmarks.ceiling --simulated --seeds 100 --budget 46
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from perflib.session.ceiling import find_ceiling
from perflib.session.drive import prepare
from perflib.spec import Options
from perflib.stats.ceiling import PAUSE_S
from perflib.store.folders import Workbook
from tests.benchmarks.peers import markdown
from tests.queues import Exponential, responses_s, serving
from tests.stats.test_ceiling import WARMUP_S, searched

if TYPE_CHECKING:
    from perflib.spec.diagnosis import Ceiling

NEAR = 0.1
SERVERS = {0.060: Exponential(2, 100), 0.100: Exponential(8, 50), 0.150: Exponential(1, 100)}
"""By the limit of p95 in seconds."""


def search(server: Exponential, limit_s: float, seed: int, budget_s: float) -> Ceiling:
    """One search; the first guess is what a crowd of 8 gets through."""
    with tempfile.TemporaryDirectory() as folder, serving(server, "--seed", str(seed)) as url:
        path = Path(folder, "target.toml")
        endpoint = f'[[endpoint]]\npath = "/"\ntarget_ms = {limit_s * 1e3:g}\n'
        path.write_text(f'[target]\nname = "queue"\nbase_url = "{url}"\n{endpoint}', encoding="utf-8")
        facts = prepare("light_load", Options(target=str(path), seed=seed), Workbook.find(Path(folder)))
        about_per_s = 0.9 * server.places * server.service_per_s
        found = find_ceiling(facts, ["GET /"], about_per_s=about_per_s, budget_s=budget_s, alone_p50_ms={})
    assert found is not None
    return found


SIMULATED = (
    (0.060, Exponential(1, 100)),
    (0.150, Exponential(1, 100)),
    (0.300, Exponential(2, 20)),
    (0.060, Exponential(2, 100)),
    (0.100, Exponential(4, 50)),
    (0.100, Exponential(8, 50)),
    (0.063, Exponential(8, 50)),
)
"""Limits of p95 in seconds, and servers; the last limit is 5 % above the p95 of a server that is idle."""


def simulated(seeds: int, budget_s: float) -> str:
    """A table of simulated searches, beside what all of their time at the truth itself would tell."""
    rows = []
    for limit_s, server in SIMULATED:
        truth, close_s = server.ceiling_per_s(limit_s), 0.01 * limit_s
        around = (server.ceiling_per_s(limit_s + sign * close_s) for sign in (-1, 1))
        slope = 0.02 / (-math.log(next(around)) + math.log(next(around)))
        found = [searched(server, limit_s, seed, budget_s).estimate for seed in range(seeds)]
        near = np.mean([abs(one.rate_per_s / truth - 1) <= NEAR for one in found])
        held = np.mean([one.interval.low <= truth <= one.interval.high for one in found])
        width = np.median([one.interval.high / one.interval.low for one in found])
        draw, off = np.random.default_rng(1), []
        for _ in range(seeds):
            took_s = responses_s(draw, server.places, server, truth, budget_s - PAUSE_S, WARMUP_S)
            off.append(math.log(np.quantile(took_s, 0.95, method="inverted_cdf") / limit_s) / slope)
        best = np.mean(np.abs(np.expm1(off)) <= NEAR)
        what = f"M/M/{server.places}, {server.service_per_s:g}/s a place, {limit_s * 1e3:g} ms", f"{slope:.1f}"
        rows.append([*what, f"{near:.0%}", f"{held:.0%}", f"{width:.2f}", f"{best:.0%}"])
        print(*rows[-1], sep=", ", flush=True)
    return markdown(["server, limit", "slope", "within 10 %", "interval holds", "high/low", "at the truth"], rows)


def main() -> int:
    """Measure and print a table. Exits 1 where the interval held the truth in less than 80 % of the searches."""
    parser = argparse.ArgumentParser(description="The error of the search for the ceiling.")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--budget", type=float, default=45.0, help="seconds of a search")
    parser.add_argument("--simulated", action="store_true", help="queues by numbers alone")
    given = parser.parse_args()
    if given.simulated:
        print(simulated(given.seeds, given.budget))
        return 0
    rows, covered = [], []
    for limit_s, server in SERVERS.items():
        truth = server.ceiling_per_s(limit_s)
        for seed in range(1, given.seeds + 1):
            found = search(server, limit_s, seed, given.budget)
            low, high = found.interval
            covered.append(low <= truth <= high)
            held = f"{low:.1f} to {high:.1f}", "yes" if covered[-1] else "no", str(len(found.probes))
            what = f"M/M/{server.places}, {limit_s * 1e3:g} ms", f"{truth:.1f}", f"{found.rate_per_s:.1f}"
            rows.append([*what, f"{found.rate_per_s / truth - 1:+.1%}", *held])
            print(*rows[-1], sep=", ", flush=True)
    columns = ["server, limit", "truth/s", "found/s", "error", "interval", "holds it", "probes"]
    print(markdown(columns, rows))
    return 0 if sum(covered) >= 0.8 * len(covered) else 1


if __name__ == "__main__":
    sys.exit(main())
