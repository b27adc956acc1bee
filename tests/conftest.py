"""What measures runs alone; of the rest two processes take a file each at a time (see the Makefile)."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MEASURING = ("integration", "session", "watch")
"""Rooms whose tests drive loads and look at time: other tests beside them would be measured too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(TESTS)
        is_measuring = place.parts[0] in MEASURING
        item.add_marker(pytest.mark.measuring if is_measuring else pytest.mark.xdist_group(place.as_posix()))
