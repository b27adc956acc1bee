"""The fuzz tests for longer, by atheris, guided by coverage. `python -m tests.long.fuzz --seconds 600`.

Without atheris (it is no dependency: `pip install atheris`), the tests of tests/test_fuzz.py with many examples.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from hypothesis import settings

from tests import test_fuzz as fuzz

_BATCH = 2000


def _by_hypothesis(seconds: float) -> None:
    """Every property in turn, `_BATCH` new examples at a time."""
    named: dict[str, Any] = {name: test for name, test in vars(fuzz).items() if name.startswith("test_")}
    properties = {name: test for name, test in named.items() if hasattr(test, "hypothesis")}
    until_s, batches = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        for test in properties.values():
            settings(fuzz.CASES, max_examples=_BATCH)(test)()
        batches += 1
    sys.stdout.write(f"{len(properties)} properties, up to {batches * _BATCH:,} examples each: nothing broke\n")


def _by_atheris(seconds: float) -> None:
    """Ends this process by itself, with status 0 where nothing broke."""
    import atheris

    def one(data: bytes) -> None:
        cut = data[0] if data else 0
        fuzz.outcome([data[1:cut], data[max(1, cut) :]])
        fuzz.check_target(data)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds:.0f}", "-max_len=400"], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    arguments = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        sys.stdout.write("atheris is not installed: Hypothesis instead\n")
        _by_hypothesis(arguments.seconds)
    else:
        _by_atheris(arguments.seconds)


if __name__ == "__main__":
    main()
