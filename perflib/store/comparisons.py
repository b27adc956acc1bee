"""Stored comparisons of live sides: data/comparisons/ID/comparison.json."""

import json
from pathlib import Path

from perflib.judge.compare import Comparison
from perflib.spec import InputError
from perflib.store.atomic import write_atomically
from perflib.store.faults import unreadable


def path_of(data: Path, comparison_id: str) -> Path:
    """Where a comparison is kept."""
    return data / "comparisons" / comparison_id / "comparison.json"


def is_comparison(data: Path, name: str) -> bool:
    """Whether this is the id of a stored comparison."""
    return bool(name) and "/" not in name and path_of(data, name).is_file()


def keep(path: Path, comparison: Comparison) -> None:
    """Write a comparison."""
    write_atomically(path, comparison.model_dump_json(indent=1) + "\n")


def load_comparison(data: Path, comparison_id: str) -> Comparison:
    """A stored comparison. Raises InputError where there is none, or it is damaged."""
    if not is_comparison(data, comparison_id):
        raise InputError(f"{comparison_id!r}: no such comparison; {data / 'comparisons'} has the stored ones")
    path = path_of(data, comparison_id)
    try:
        return Comparison.parse(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from None
