"""The figures of all stored runs: one SQLite file beside them.

It is a cache: one that is missing, damaged or of other columns is made again from the runs. Several processes may read
and write it at once; on a network folder too, as it keeps no write-ahead log.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import pyarrow as pa

from perflib.spec.figures import FigureRow

TABLE_NAME = ".figures.sqlite"
PATIENCE_S = 5.0
"""How long one waits for others to have written."""

_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "datetime": pa.timestamp("us", "UTC"),
}
ROWS: Final = pa.schema([(field.name, _TYPES[str(field.type).removesuffix(" | None")]) for field in fields(FigureRow)])
"""The columns of `FigureRow`."""
COLUMNS: Final = pa.schema([("folder", pa.string()), ("stamp", pa.string()), *ROWS])
_NAMES = ", ".join(COLUMNS.names)
_STORED = {_TYPES["datetime"]: pa.int64()}
"""How a type is stored that SQLite does not know."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows of a run, and by what its files are known as unchanged."""

    folder: str
    stamp: str
    rows: tuple[FigureRow, ...]


@dataclass(frozen=True)
class Stored:
    """The stamps by folder of all runs that have rows, and the rows that were asked for, columns as in `COLUMNS`."""

    stamps: dict[str, str]
    rows: pa.Table


def as_table(kept: Iterable[Kept]) -> pa.Table:
    """Rows in the form of `COLUMNS`."""
    rows = [(one.folder, one.stamp, *(getattr(row, name) for name in ROWS.names)) for one in kept for row in one.rows]
    return _columns(rows)


def read_table(path: Path, setups: Sequence[str] = ()) -> Stored:
    """What is stored, of some setups alone where they are named; nothing where the file is missing, damaged or old."""
    only = " WHERE setup IN (SELECT value FROM json_each(?))" if setups else ""
    try:
        with _opened(path, "ro") as file:
            rows = file.execute(f"SELECT {_NAMES} FROM figures{only} ORDER BY rowid", [json.dumps(setups)] * bool(only))
            found = _columns(rows.fetchall())
            return Stored(dict(file.execute("SELECT DISTINCT folder, stamp FROM figures").fetchall()), found)
    except (sqlite3.Error, OSError, pa.ArrowException):
        return Stored({}, COLUMNS.empty_table())


def change_table(path: Path, gone: Iterable[str], rows: pa.Table) -> None:
    """Take out the rows of the folders `gone` and put `rows` in, in the place of older ones of their folders.

    Raises:
        sqlite3.Error: where the file is damaged or cannot be written, or others write for too long.
    """
    places = ", ".join("?" * len(COLUMNS))
    values = (column.cast(_STORED.get(column.type, column.type)).to_pylist() for column in rows.columns)
    old = {*gone, *rows["folder"].to_pylist()}
    with _opened(path, "rwc") as file:
        file.execute("BEGIN IMMEDIATE")
        _make(file)
        file.execute("DELETE FROM figures WHERE folder IN (SELECT value FROM json_each(?))", [json.dumps([*old])])
        file.executemany(f"INSERT INTO figures ({_NAMES}) VALUES ({places})", zip(*values, strict=True))


def _make(file: sqlite3.Connection) -> None:
    """Begin an empty table, where there is none or one of other columns."""
    try:
        file.execute(f"SELECT {_NAMES} FROM figures LIMIT 0")
    except sqlite3.OperationalError:
        file.execute("DROP TABLE IF EXISTS figures")
        file.execute(f"CREATE TABLE figures ({_NAMES})")


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """The file for one transaction; a damaged one is thrown away."""
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", timeout=PATIENCE_S, uri=True)) as file,
            file,
        ):
            yield file
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        for damaged in (path, path.with_name(f"{path.name}-journal")):
            damaged.unlink(missing_ok=True)
        raise


def _columns(rows: list[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    cast = [pa.array(values).cast(field.type) for values, field in zip(columns, COLUMNS, strict=True)]
    return pa.table(cast, schema=COLUMNS)
