"""Files replaced in one step."""

from pathlib import Path

import pytest

from perflib.store.atomic import write_atomically
from tests.store.test_runs import files_of_at_most


def test_where_no_room_is_left_the_old_file_stays_and_the_error_names_it(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    write_atomically(page, "old")
    with files_of_at_most(10), pytest.raises(OSError, match="too large") as told:
        write_atomically(page, "x" * 1000)
    assert told.value.filename == str(page)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert page.read_text(encoding="utf-8") == "old"
