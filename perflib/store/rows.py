"""Files that a target file names: rows of data, and contents to be sent. They lie below its folder."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from perflib.spec import InputError, Target
from perflib.spec.data import MOST_ROWS, Data, Value
from perflib.spec.secret import Secret

_JSON_LINES = (".jsonl", ".ndjson")
_DELIMITERS = ",;\t"
"""Of a CSV: the one that its first line has most of."""

Columns = dict[str, list[Value]]
"""The values of each column, a row each; "" for data of one value a row."""


def file_below(folder: Path, name: str, where: str) -> Path:
    """A file that a target file names at the key `where`. Raises InputError where it lies elsewhere, or is none."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{where}: {name} lies outside of the target file's folder; put it there")
    if not path.is_file():
        raise InputError(f"{where}: {path} is no file; mend the name, which counts from the target file's folder")
    return path


def bytes_of(folder: Path, name: str, where: str) -> bytes:
    """The content of a file. Raises InputError, as `file_below`."""
    path = file_below(folder, name, where)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: {path}: {error.strerror}; make it readable") from None


def with_digests(target: Target) -> Target:
    """The target, each file of its data known by its content. Raises InputError where one cannot be read."""
    if not any(one.file for one in target.data.values()):
        return target
    known = {
        name: one.replaced(digest=_digest(bytes_of(target.folder, one.file, f"data.{name}.file"))) if one.file else one
        for name, one in target.data.items()
    }
    return target.replaced(data=known)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def columns_of(name: str, data: Data, folder: Path, environment: Mapping[str, str]) -> Columns:
    """The rows of the data `name`, by column.

    Args:
        folder: where its file lies.
        environment: what its secrets are read from.

    Raises:
        InputError: naming the file and the line, or the variable that is not set.
    """
    if data.range:
        return {"": list(range(data.range[0], data.range[1] + 1))}
    if data.file:
        return _in_file(file_below(folder, data.file, f"data.{name}.file"))
    rows = [row if isinstance(row, dict) else {"": row} for row in data.values or ()]
    shared = data.columns or ()
    return {column: [_revealed(row[column], environment) for row in rows] for column in shared}


def _revealed(cell: Value | Secret, environment: Mapping[str, str]) -> Value:
    return cell.value_in(environment) if isinstance(cell, Secret) else cell


def _in_file(path: Path) -> Columns:
    columns: Columns = {}
    count = 0
    if path.suffix == ".json":
        raise InputError(f"{path}: write JSON lines, an object a line, and name the file .jsonl")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _json_lines(file, path) if path.suffix in _JSON_LINES else _csv_rows(file, path)
            for count, row in enumerate(lines, 1):
                if not columns:
                    columns = {column: [] for column in row}
                if row.keys() != columns.keys():
                    raise InputError(f"{path}: row {count} has other columns than the first; give each row the same")
                if count > MOST_ROWS:
                    raise InputError(f"{path}: more than {MOST_ROWS:,} rows; use a part of them")
                for column, value in row.items():
                    columns[column].append(value)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as rows in UTF-8 ({error}); mend it") from None
    if not count:
        raise InputError(f"{path}: holds no row; write one per line, in a CSV below a line with the columns' names")
    return columns


def _csv_rows(file: Any, path: Path) -> Iterator[dict[str, Value]]:
    first = file.readline()
    file.seek(0)
    reader = csv.reader(file, strict=True, delimiter=max(_DELIMITERS, key=first.count))
    head = [name.strip() for name in next(reader, [])]
    if not all(head) or len(set(head)) < len(head):
        raise InputError(f"{path}: line 1 names the columns, each once; mend it")
    for row in filter(None, reader):
        if len(row) != len(head):
            raise InputError(f"{path}: line {reader.line_num} has {len(row)} values for {len(head)} columns; mend it")
        yield dict(zip(head, row, strict=True))


def _json_lines(file: Any, path: Path) -> Iterator[dict[str, Value]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict) or not all(isinstance(value, Value) for value in row.values()):
            raise InputError(f"{path}: line {number} is no object of texts and numbers; mend it")
        yield row
