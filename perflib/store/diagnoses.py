"""Stored diagnoses: data/diagnoses/ID/diagnosis.json, beside the runs of their experiments."""

import json
from pathlib import Path

from perflib.spec.diagnosis import Diagnosis
from perflib.store.atomic import write_atomically
from perflib.store.faults import unreadable

_FILE = "diagnosis.json"


def folder_of(data: Path, diagnosis_id: str) -> Path:
    """Where a diagnosis is kept."""
    return data / "diagnoses" / diagnosis_id


def stored_diagnosis(data: Path, name: str) -> Path | None:
    """Where the diagnosis of this name is; None: there is none."""
    if not name or "/" in name:
        return None
    path = folder_of(data, name) / _FILE
    return path if path.is_file() else None


def keep(folder: Path, diagnosis: Diagnosis) -> None:
    """Write a diagnosis into its folder."""
    write_atomically(folder / _FILE, diagnosis.model_dump_json(indent=1) + "\n")


def load_diagnosis(path: Path) -> Diagnosis:
    """A stored diagnosis. Raises InputError where it is damaged."""
    try:
        return Diagnosis.parse(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, error) from None
