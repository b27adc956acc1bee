"""All benchmarks, one after the other; prints Markdown. About 15 minutes, or 2 with --quick.

python -m tests.benchmarks.run
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import accuracy, cost


def main() -> int:
    """Run all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, two numbers of users")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 3
    print(f"Machine: {os.cpu_count()} shared cores; load before: {os.getloadavg()[0]:.1f}.\n", flush=True)
    print(cost.table([1, 50] if quick else [1, 50, 100], rounds, 5), flush=True)
    for shape in ("lognormal",) if quick else ("lognormal", "bimodal"):
        print(f"\n{accuracy.table(shape, 'length', [10, 50] if quick else [1, 10, 50, 100], rounds)}", flush=True)
    print(f"\n{accuracy.table('lognormal', 'length', [50, 1000], rounds, at_rate=True)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
