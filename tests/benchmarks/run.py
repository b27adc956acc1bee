"""All benchmarks of the generator and its tables, one after the other; prints Markdown.

    python -m tests.benchmarks.run

About 50 minutes (two rounds of every generator in `peers`), or 3 minutes with --quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import accuracy, cost, scale
from tests.benchmarks.accuracy import BESIDE, Setting
from tests.benchmarks.peers import PEERS, notes

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Plan:
    """What is measured, how often, and for how long each."""

    cost_users: tuple[int, ...]
    accuracy: tuple[Setting, ...]
    requests: int
    rounds: int
    seconds: float = 3


FULL = Plan(
    (1, 50, 100),
    (
        *(Setting(beside=beside) for beside in BESIDE),
        *(Setting(all_users=(50, 1000), at_rate=True, beside=beside) for beside in BESIDE),
        *(Setting(shape, all_users=(50,)) for shape in ("bimodal", "heavy")),
        *(Setting(framing=framing, all_users=(10, 50)) for framing in ("chunked", "close")),
    ),
    requests=10_000_000,
    rounds=2,
)
QUICK = Plan(
    (50,),
    (Setting(all_users=(10, 50)), Setting(all_users=(1000,), at_rate=True)),
    requests=1_000_000,
    rounds=1,
)


def tables(plan: Plan) -> Iterator[str]:
    """Each table as soon as it is measured."""
    yield f"Machine: {os.cpu_count()} shared cores; load before: {os.getloadavg()[0]:.1f}."
    yield notes(*PEERS)
    yield cost.table(list(plan.cost_users), plan.rounds, plan.seconds)
    for setting in plan.accuracy:
        yield accuracy.table(setting, plan.rounds, plan.seconds)
    yield scale.table(plan.requests)


def main() -> int:
    """Run all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round, fewer numbers of users, a tenth of the requests"
    )
    parser.add_argument("--rounds", type=int, help="of every generator; more make steadier medians, and take longer")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    for table in tables(replace(plan, rounds=given.rounds or plan.rounds)):
        print(table, end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
