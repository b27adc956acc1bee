"""The figures of the stored runs: written once, as a run is sealed, and read as one tidy table. Computes nothing."""

import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perflib.spec import InputError, Run
from perflib.spec.figures import FigureRow
from perflib.store.atomic import replacing
from perflib.store.owner import Fate
from perflib.store.runs import FACTS, TABLE, RunFolder
from perflib.store.table import ROWS, TABLE_NAME, Kept, as_table, change_table, read_table

FiguresOf = Callable[[Run], tuple[FigureRow, ...]]

FIGURES = "figures.parquet"
_NAMED = 12
"""So many names at the most are told where another was asked for."""
_OF = b"perflib.of"
"""The key of the note in figures.parquet that says which files its figures are of."""


def write_figures(run: Path, rows: tuple[FigureRow, ...]) -> None:
    """Write the figures of a sealed run into its folder, and into the table of all runs.

    Raises:
        OSError, sqlite3.Error: where either cannot be written; the history makes up for it.
    """
    stamp = _stamp(run)
    table = as_table([Kept(run.name, stamp, rows)])
    with replacing(run / FIGURES) as unfinished:
        noted = table.select(ROWS.names).replace_schema_metadata({_OF: _fingerprint(run)})
        pq.write_table(noted, unfinished, write_page_checksum=True)
    change_table(run.parent / TABLE_NAME, [], table)


def history(
    folder: Path,
    figures_of: FiguresOf,
    *,
    scenario: str = "",
    endpoint: str = "",
    target: str = "",
    environment: str = "",
    since: str = "",
    until: str = "",
    setups: Sequence[str] = (),
) -> pd.DataFrame:
    """The stored runs' figures: a row per run and endpoint or page, oldest run first, columns as in `FigureRow`.

    Runs under way are left out, and so are copies of runs and runs that cannot be read: `frame.attrs["unreadable"]`
    says which folders and why; runs that go on elsewhere are among them. Abandoned runs are finished on the way.
    Where the filters leave nothing of them, `frame.attrs["none"]` says so, and what there is.

    Args:
        folder: the runs' folder; it need not exist.
        figures_of: computes the rows of a run that has no figures.parquet, or one of other files; they are kept in
            the table alone.
        scenario, endpoint, target: only this one; empty: all, as of the other filters.
        environment: only machines whose `environment` contains this text, upper and lower case being equal.
        setups: only runs of these, by their hashes; none: of all. The rows of others are not even read.
        since, until: dates or moments, such as "2026-03-01" or "2026-03-01 14:30", UTC; a date takes in its whole day.

    Raises:
        InputError: for a date that cannot be read.
    """
    begin, end = _moment(since, "since"), _moment(until, "until")
    every = frame = all_rows(folder, figures_of, setups).drop(columns="folder")
    named = {"scenario": scenario, "endpoint": endpoint, "target": target}
    for column, text in named.items():
        if text:
            frame = frame[frame[column] == text]
    if environment:
        frame = frame[frame["environment"].str.contains(environment, case=False, regex=False)]
    if begin is not None:
        frame = frame[frame["started_at"] >= begin]
    if end is not None:
        is_day = len(until.strip()) <= len("2026-03-01")
        frame = frame[frame["started_at"] < end + pd.Timedelta(days=1) if is_day else frame["started_at"] <= end]
    frame = frame.reset_index(drop=True)
    frame.attrs["none"] = _nothing_left(every, named) if frame.empty and not every.empty else ""
    return frame


def _nothing_left(frame: pd.DataFrame, named: Mapping[str, str]) -> str:
    """Which filter is to blame for it, and what it might have said."""
    for column, text in named.items():
        known = sorted(frame[column].unique())
        if text and text not in known:
            more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
            return f"No stored run has the {column} {text!r}; there are {', '.join(known[:_NAMED])}{more}."
    first, last = (f"{moment:%Y-%m-%d}" for moment in (frame["started_at"].min(), frame["started_at"].max()))
    return f"No stored run fits all of what was asked for; there are runs of {first} to {last}."


def _moment(text: str, name: str) -> pd.Timestamp | None:
    if not text:
        return None
    try:
        moment = pd.Timestamp(text)
        if pd.isna(moment):
            raise ValueError(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} is no date; write it as 2026-03-01 or 2026-03-01T14:30") from None
    return moment.tz_localize("UTC") if moment.tz is None else moment.tz_convert("UTC")


def all_rows(folder: Path, figures_of: FiguresOf, setups: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of `history`, unfiltered, with the `folder` of each run among the runs."""
    stamps = _stamps(folder)
    stored = read_table(folder / TABLE_NAME, setups)
    current = {name for name, stamp in stored.stamps.items() if stamps.get(name) == stamp}
    kept = stored.rows.filter(pc.is_in(stored.rows["folder"], pa.array(current, pa.string())))
    found: list[Kept] = []
    unreadable: dict[str, str] = {}
    try:
        for name in sorted(stamps.keys() - current):
            try:
                found.append(Kept(name, stamps[name], _rows_of(folder / name, figures_of)))
            except (InputError, OSError, ValueError, KeyError, pa.ArrowException) as error:
                unreadable[name] = str(error)
    finally:  # what was read by then outlives Ctrl-C
        rows, gone = as_table(found), stored.stamps.keys() - stamps.keys()
        if len(rows) or gone:
            with suppress(sqlite3.Error, OSError):
                change_table(folder / TABLE_NAME, gone, rows)
    frame: pd.DataFrame = pa.concat_tables([kept, rows]).to_pandas()
    frame = frame[frame["setup"].isin(setups)] if setups else frame
    copies = _copies(frame)
    frame = frame[~frame["folder"].isin(copies.keys())].astype({"meets_target": "boolean"})
    frame = frame[["folder", *ROWS.names]].sort_values(["started_at", "run_id"], kind="stable", ignore_index=True)
    frame.attrs["unreadable"] = unreadable | copies
    return frame


def _copies(frame: pd.DataFrame) -> dict[str, str]:
    """The folders that hold a run which another folder holds already, the one of the run's name before others."""
    places = frame[["folder", "run_id"]].drop_duplicates()
    places = places.assign(renamed=places["folder"] != places["run_id"]).sort_values(["renamed", "folder"])
    first = places.drop_duplicates("run_id").set_index("run_id")["folder"]
    copies = places[places.duplicated("run_id")]
    return {
        folder: f"a copy of run {run_id}, which is counted once; remove this folder or {first[run_id]}"
        for folder, run_id in zip(copies["folder"], copies["run_id"], strict=True)
    }


def _rows_of(path: Path, figures_of: FiguresOf) -> tuple[FigureRow, ...]:
    """The rows of a run; none while it is under way. Raises InputError for one that is so elsewhere."""
    run = RunFolder(path)
    match run.recover():
        case Fate.HERE:
            return ()
        case Fate.ELSEWHERE:
            raise InputError(run.elsewhere())
    written = _read_figures(path)
    if written is not None:
        return written
    return () if run.read_facts().state == "running" else figures_of(run.load())


def _read_figures(run: Path) -> tuple[FigureRow, ...] | None:
    """The rows of figures.parquet; None where it cannot be read, has other columns, or the run was changed since."""
    try:
        table = pq.read_table(run / FIGURES, partitioning=None, page_checksum_verification=True)
        if table.schema.equals(ROWS) and (table.schema.metadata or {}).get(_OF) == _fingerprint(run):
            return tuple(FigureRow(**row) for row in table.to_pylist())
    except (OSError, ValueError, pa.ArrowException):
        pass
    return None


def _stamps(folder: Path) -> dict[str, str]:
    """A stamp of each run there is, by its folder's name."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # no run, or one that is being removed
            found[path.name] = _stamp(path)
    return found


def _stamp(run: Path) -> str:
    """What tells a run's files from changed ones, without opening them."""
    facts = (run / FACTS).stat()
    return f"{facts.st_mtime_ns} {facts.st_size} {_table_bytes(run)}"


def _fingerprint(run: Path) -> bytes:
    """What tells them by their content: a copy of a run has the same."""
    return b"%08x %d" % (zlib.crc32((run / FACTS).read_bytes()), _table_bytes(run))


def _table_bytes(run: Path) -> int:
    """The size of requests.parquet; -1: it is not there."""
    try:
        return (run / TABLE).stat().st_size
    except FileNotFoundError:
        return -1
