"""A run's facts: also those of earlier versions are read."""

import pytest

from perflib.spec import InputError
from perflib.spec.run import Generator


def test_a_run_that_still_counts_its_checked_bodies_is_read() -> None:
    earlier = {"requests": 4, "bodies_checked": 4, "bodies_parsed": 1}
    assert Generator.parse(earlier, "run.json") == Generator(requests=4)
    with pytest.raises(InputError, match="bodies_counted"):
        Generator.parse(earlier | {"bodies_counted": 4}, "run.json")
