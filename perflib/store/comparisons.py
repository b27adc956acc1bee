"""Stored comparisons of live sides: data/comparisons/ID/comparison.json."""

import json
from pathlib import Path

from perflib.spec import InputError
from perflib.store.faults import unreadable


def path_of(data: Path, comparison_id: str) -> Path:
    """Where a comparison is kept."""
    return data / "comparisons" / comparison_id / "comparison.json"


def is_comparison(data: Path, name: str) -> bool:
    """Whether this is the id of a stored comparison."""
    return bool(name) and "/" not in name and path_of(data, name).is_file()


def read_comparison(data: Path, comparison_id: str) -> object:
    """A stored comparison as JSON values. Raises InputError where there is none, or it is damaged."""
    if not is_comparison(data, comparison_id):
        raise InputError(f"{comparison_id!r}: no such comparison; {data / 'comparisons'} has the stored ones")
    path = path_of(data, comparison_id)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from None
