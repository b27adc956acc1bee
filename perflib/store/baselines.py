"""performance_baselines.json: read, and changed under a lock in one step."""

import fcntl
import json
from pathlib import Path

from perflib.spec import InputError
from perflib.spec.baselines import SCHEMA_VERSION, Baseline, Baselines
from perflib.store.atomic import write_atomically


def load_baselines(path: Path) -> Baselines:
    """All baselines; none where the file does not exist.

    Raises:
        InputError: where it cannot be read, or was written by another version.
    """
    if not path.exists():
        return Baselines()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); restore it from version control") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version not in range(1, SCHEMA_VERSION + 1):
        read = f"this version reads 1 to {SCHEMA_VERSION}"
        raise InputError(f"{path}: schema_version: is {version!r}, {read}; install a newer perflib, or record it anew")
    return Baselines.parse(document, str(path))


def store_baseline(path: Path, entry: Baseline) -> None:
    """Put an entry in, in the place of one of the same key. Two writers at once lose nothing."""
    try:
        with path.with_name(f".{path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            changed = load_baselines(path).with_entry(entry)
            write_atomically(path, json.dumps(changed.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); the runs are kept: use --from") from None
