"""What measures runs alone; of the rest two processes take a file each at a time (see the Makefile)."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MEASURING = frozenset(
    {f"session/test_{name}.py" for name in ("by_turns", "ceiling", "check", "memory", "sound", "until_clear")}
    | {f"session/test_{name}.py" for name in ("validity", "why", "workloads")}
    | {f"watch/test_{name}.py" for name in ("allocations", "process", "profiler", "sampler", "tree_clock", "waits")}
)
"""Tests that compare times, rates or memory: other tests beside them would be measured too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        item.add_marker(pytest.mark.measuring if place in MEASURING else pytest.mark.xdist_group(place))
