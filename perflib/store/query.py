"""SQL over the stored runs, by DuckDB: a view of each thing that a run holds. Reads the runs' folder alone."""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pandas as pd
import psutil
import pyarrow as pa

from perflib.spec import InputError
from perflib.store.failures import FAILURES, FAILURES_TABLE
from perflib.store.figures import FiguresOf, all_rows
from perflib.store.runs import MEMORY_TABLE, REQUESTS, TABLE
from perflib.store.spool import MEMORY_ROW
from perflib.store.table import ROWS

VIEWS = ("runs", "figures", "requests", "memory", "failures")
MOST_BYTES = 2 * 2**30
"""Of memory, or half of the machine's where that is less; a query that needs more is refused: it spills to no disk."""
_OF_A_RUN = [*ROWS.names[: ROWS.names.index("endpoint")], "setup"]
_FILES = {"requests": TABLE, "memory": MEMORY_TABLE, "failures": FAILURES_TABLE}
_COLUMNS = {
    "requests": REQUESTS,
    "memory": pa.schema([(name, pa.from_numpy_dtype(MEMORY_ROW[name])) for name in MEMORY_ROW.names or ()]),
    "failures": FAILURES,
}
_SELECTED = {
    "requests": "* EXCLUDE path, CASE WHEN end_ns >= 0 THEN (end_ns - intended_ns) / 1e6 END AS ms FROM {rows}",
    "memory": "run_id, rows.* EXCLUDE path FROM {rows} AS rows JOIN run_of USING (path)",
    "failures": "* EXCLUDE path FROM {rows}",
}
_RUN_OF = pa.schema([("path", pa.string()), ("run_id", pa.string())])


def query(folder: Path, figures_of: FiguresOf, statement: str) -> pd.DataFrame:
    """What one SELECT statement, in DuckDB's SQL, finds in the stored runs.

    `runs` has a row per run; `figures` one per run and endpoint, page or journey, columns as in `FigureRow`. The others
    are the rows of requests.parquet, with `ms` from the intended start to the end, of memory.parquet, with `run_id`,
    and of failures.parquet. Runs under way, unreadable ones and copies are left out.

    It writes nothing, and reaches no file but those of the runs.

    Args:
        figures_of: as in `store.figures.history`.

    Raises:
        InputError: for anything but one SELECT, one that DuckDB refuses, and one that needs too much memory.
    """
    most_bytes = min(MOST_BYTES, psutil.virtual_memory().total // 2)
    try:
        with duckdb.connect(":memory:", config={"memory_limit": f"{most_bytes}B", "temp_directory": ""}) as database:
            names = _views_in(database, statement)
            _add_views(database, folder, all_rows(folder, figures_of), names)
            _lock(database, folder)
            return database.execute(statement).df()
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.OutOfMemoryException:
        told = f"query: it needs more than {most_bytes / 1e9:.2g} GB of memory; narrow it, as by WHERE run_id = '…'"
        raise InputError(told) from None
    except duckdb.Error as error:
        raise InputError(f"query: {_in_words(error)}; the views are {', '.join(VIEWS)}") from None


def _views_in(database: duckdb.DuckDBPyConnection, statement: str) -> Sequence[str]:
    """The views that a statement reads, all where it names none. Raises InputError unless it is one SELECT."""
    if [one.type for one in database.extract_statements(statement)] != [duckdb.StatementType.SELECT]:
        raise InputError('query: takes one SELECT statement alone, as "SELECT run_id, note FROM runs"')
    try:
        named = {name.rpartition(".")[2].strip('"').lower() for name in database.get_table_names(statement)}
    except duckdb.Error:  # it looks for columns too, as USING (run_id), before there is a view that has them
        named = {*re.findall(r"\w+", statement.lower())}
    return [name for name in VIEWS if name in named] or VIEWS


def _add_views(database: duckdb.DuckDBPyConnection, folder: Path, rows: pd.DataFrame, names: Sequence[str]) -> None:
    figures = rows.drop(columns="folder")
    for name in names:
        if name in _FILES:
            _add_rows(database, folder, rows, name)
        else:
            frame = figures if name == "figures" else _runs(figures)
            database.register(name, pa.Table.from_pandas(frame, preserve_index=False))


def _runs(figures: pd.DataFrame) -> pd.DataFrame:
    """A row per run, with its requests on the wire outside pages and journeys, and how many of them failed."""
    wire = figures[figures["kind"] == "request"].groupby("run_id")[["requests", "errors"]].sum()
    runs = figures.drop_duplicates("run_id")[_OF_A_RUN]
    requests, errors = (runs["run_id"].map(wire[name]).fillna(0).astype("int64") for name in ("requests", "errors"))
    return runs.assign(requests=requests, errors=errors)


def _add_rows(database: duckdb.DuckDBPyConnection, folder: Path, rows: pd.DataFrame, name: str) -> None:
    """The view of a table that each run has in a file of its own, or lacks; it has all columns that it may have."""
    runs = rows[["run_id", "folder"]].drop_duplicates().itertuples(index=False)
    named = {str(folder / place / _FILES[name]): run_id for run_id, place in runs}
    found = {path: run_id for path, run_id in named.items() if Path(path).is_file()}
    database.register("run_of", pa.table({"path": [*found], "run_id": [*found.values()]}, _RUN_OF))
    database.register(f"no_{name}", _COLUMNS[name].empty_table())
    selected = f"SELECT *, NULL AS path FROM no_{name}"
    if found:
        files = ", ".join(map(_quoted, found))
        selected += f" UNION ALL BY NAME SELECT * FROM read_parquet([{files}], union_by_name = true, filename = 'path')"
    database.execute(f"CREATE VIEW {name} AS SELECT {_SELECTED[name].format(rows=f'({selected})')}")


def _lock(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """From now on nothing is reached but the runs, and no setting changes that."""
    for setting in (
        *("autoinstall_known_extensions", "autoload_known_extensions", "allow_community_extensions"),
        "python_enable_replacements",
    ):
        database.execute(f"SET {setting} = false")
    database.execute(f"SET allowed_directories = [{_quoted(str(folder))}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _in_words(error: duckdb.Error) -> str:
    """What it says, without the kind of error before it and the drawing of the place behind it."""
    words = " ".join(str(error).partition("\n\nLINE ")[0].split())
    return words.partition(": ")[2] or words
