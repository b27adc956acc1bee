"""Two processes share the tests: one measures, run after run; the other takes the rest, a file at a time."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MEASURING = ("integration", "session", "watch")
"""Rooms whose tests drive loads and look at time; two of them at once would measure each other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(TESTS)
        group = "measuring" if place.parts[0] in MEASURING else place.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
