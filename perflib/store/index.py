"""The history: figures of all stored runs as one tidy table, and the index that makes it quick to load.

The index is a cache beside the runs. A run is read anew as soon as its files differ from what the index saw of them;
an index that is missing, damaged or of another version is built again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perflib.figures.summary import series_of, summarize
from perflib.spec import InputError, Open, Ramp
from perflib.stats.bootstrap import intervals
from perflib.store.runs import FACTS, TABLE, RunFolder, load_run

if TYPE_CHECKING:
    from pathlib import Path

    from perflib.figures.summary import EndpointSummary
    from perflib.spec import Environment, Facts, Run, Scenario

INDEX = "index.parquet"
_VERSION = b"2"
"""Of the table's columns and of the rules behind its figures: a new one makes every index be built again."""
_VERSION_KEY = b"perflib.index"

ROWS: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("scenario", pa.string()),
        ("profile", pa.string()),
        ("target", pa.string()),
        ("workload", pa.string()),
        ("environment", pa.string()),
        ("started_at", pa.timestamp("us", "UTC")),
        ("duration_s", pa.float64()),
        ("state", pa.string()),
        ("valid", pa.bool_()),
        ("git_commit", pa.string()),
        ("brief", pa.string()),
        ("note", pa.string()),
        ("cpu", pa.string()),
        ("cores", pa.int64()),
        ("os", pa.string()),
        ("endpoint", pa.string()),
        ("kind", pa.string()),
        ("requests", pa.int64()),
        ("errors", pa.int64()),
        ("p50_ms", pa.float64()),
        ("p50_low_ms", pa.float64()),
        ("p50_high_ms", pa.float64()),
        ("p95_ms", pa.float64()),
        ("p95_low_ms", pa.float64()),
        ("p95_high_ms", pa.float64()),
        ("p99_ms", pa.float64()),
        ("max_ms", pa.float64()),
        ("judged_p95_ms", pa.float64()),
        ("target_ms", pa.float64()),
        ("meets_target", pa.bool_()),
    ]
)
"""A row a run and endpoint or page. NaN: too few successes; `judged_p95_ms` is infinite where failures reach it.

`*_low_ms` to `*_high_ms` hold the percentile with 95 % confidence, failures infinite; see `stats.bootstrap.intervals`.
NaN: a run too short for them, below 50 s.
"""

_SEEN = [("folder", pa.string()), ("facts_ns", pa.int64()), ("facts_bytes", pa.int64()), ("table_bytes", pa.int64())]
_INDEX: Final = pa.schema([*_SEEN, *ROWS], metadata={_VERSION_KEY: _VERSION})


@dataclass(frozen=True)
class _Stamp:
    """What tells a run's files from changed ones. `facts_ns`: when run.json was written; `table_bytes` -1: no table."""

    folder: str
    facts_ns: int
    facts_bytes: int
    table_bytes: int


def history(
    folder: Path, *, scenario: str = "", endpoint: str = "", environment: str = "", since: str = "", until: str = ""
) -> pd.DataFrame:
    """The stored runs' figures: a row a run and endpoint or page, oldest run first, columns as in `ROWS`.

    Runs under way are left out, and so are runs that cannot be read: `frame.attrs["unreadable"]` says which and why.
    Abandoned runs are finished on the way.

    Args:
        folder: the runs' folder; it need not exist.
        scenario: only this one; empty: all. So are the other filters.
        endpoint: only this endpoint or page.
        environment: only machines whose `environment` contains this text, upper and lower case being equal.
        since: only runs started at this date or moment or later, such as "2026-03-01" or "2026-03-01 14:30"; UTC.
        until: only runs started by then; a date takes in its whole day.

    Raises:
        InputError: for a date that cannot be read.
    """
    begin, end = _moment(since, "since"), _moment(until, "until")
    frame = _all_rows(folder)
    wanted = pd.Series(data=True, index=frame.index)
    for column, text in (("scenario", scenario), ("endpoint", endpoint)):
        if text:
            wanted &= frame[column] == text
    if environment:
        wanted &= frame["environment"].str.contains(environment, case=False, regex=False)
    if begin is not None:
        wanted &= frame["started_at"] >= begin
    if end is not None:
        is_day = len(until.strip()) <= len("2026-03-01")
        wanted &= frame["started_at"] < end + pd.Timedelta(days=1) if is_day else frame["started_at"] <= end
    return frame[wanted].reset_index(drop=True)


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


def _all_rows(folder: Path) -> pd.DataFrame:
    stamps = _stamps(folder)
    stored = _read_index(folder / INDEX)
    seen = {_Stamp(*row) for row in zip(*(stored[name].to_pylist() for name, _ in _SEEN), strict=True)}
    current = seen & set(stamps.values())
    kept = stored.filter(pc.is_in(stored["folder"], pa.array([stamp.folder for stamp in current], pa.string())))
    rows: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    try:
        for stamp in sorted(set(stamps.values()) - current, key=lambda stamp: stamp.folder):
            try:
                rows += _rows_of(folder, stamp)
            except (InputError, OSError, ValueError, KeyError, pa.ArrowException) as error:
                unreadable[stamp.folder] = str(error)
    finally:  # what a long first build has read outlives Ctrl-C
        table = pa.concat_tables([kept, pa.Table.from_pylist(rows, _INDEX)])
        if rows or len(kept) < len(stored):
            _write_index(folder / INDEX, table)
    frame: pd.DataFrame = table.select(ROWS.names).to_pandas().astype({"meets_target": "boolean"})
    frame = frame.sort_values(["started_at", "run_id"], kind="stable", ignore_index=True)
    frame.attrs["unreadable"] = unreadable
    return frame


def _stamps(folder: Path) -> dict[str, _Stamp]:
    """A stamp of each run there is, by its folder's name."""
    found = {}
    for path in folder.glob(f"*/{FACTS}"):
        with suppress(FileNotFoundError):
            found[path.parent.name] = _stamp(path.parent)
    return found


def _stamp(run: Path) -> _Stamp:
    facts = (run / FACTS).stat()
    try:
        table_bytes = (run / TABLE).stat().st_size
    except FileNotFoundError:
        table_bytes = -1
    return _Stamp(run.name, facts.st_mtime_ns, facts.st_size, table_bytes)


def _rows_of(folder: Path, stamp: _Stamp) -> list[dict[str, Any]]:
    """The rows of a run; none while it is under way. The stamp is older: what changes meanwhile is read again."""
    stored = RunFolder(folder / stamp.folder)
    if stored.read_facts().state == "running" and not stored.is_abandoned():
        return []
    run = load_run(folder, stamp.folder)
    about = asdict(stamp) | _about(run.facts)
    return [about | _figures(row) | _ends(run, row.endpoint) for row in summarize(run).endpoints]


def _about(facts: Facts) -> dict[str, Any]:
    return {
        "run_id": facts.run_id,
        "scenario": facts.scenario.name,
        "profile": facts.profile,
        "target": facts.target.name,
        "workload": _workload(facts.scenario),
        "environment": _environment(facts.environment),
        "started_at": pd.Timestamp(facts.started_at).to_pydatetime(),
        "duration_s": facts.duration_s,
        "state": facts.state,
        "valid": facts.valid,
        "git_commit": facts.git_commit,
        "brief": facts.brief,
        "note": facts.note,
        "cpu": facts.environment.cpu,
        "cores": facts.environment.cores,
        "os": facts.environment.os,
    }


def _figures(row: EndpointSummary) -> dict[str, Any]:
    names = [name for name in ROWS.names if hasattr(row, name)]
    return {name: getattr(row, name) for name in names}


def _ends(run: Run, name: str) -> dict[str, float]:
    """The intervals of an endpoint's judged percentiles, by column."""
    series = series_of(run, name)
    estimates = () if series is None else intervals(series, (0.50, 0.95))
    return {
        f"p{estimate.q * 100:.0f}_{end}_ms": getattr(estimate.interval, end)
        for estimate in estimates
        if estimate.interval is not None
        for end in ("low", "high")
    }


def _workload(scenario: Scenario) -> str:
    """The load in words: runs whose words differ do not compare."""
    load = scenario.workload
    match load:
        case Open():
            words = f"{load.rate_per_s:g} requests/s, {load.arrivals}"
        case Ramp():
            words = f"ramp to {load.most_users} users"
        case _:
            words = f"{load.users} user{'' if load.users == 1 else 's'}"
            words += f", thinking {load.think_time_s:g} s" if load.think_time_s else ""
    only = f", only {', '.join(scenario.endpoints)}" if scenario.endpoints else ""
    return f"{words}, {scenario.duration_s:g} s{only}"


def _environment(machine: Environment) -> str:
    return f"{machine.cpu}, {machine.cores} cores, {machine.os} {machine.arch}"


def _read_index(path: Path) -> pa.Table:
    """The index; empty where there is none, or none of this version."""
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return _INDEX.empty_table()
    return table if table.schema.equals(_INDEX, check_metadata=True) else _INDEX.empty_table()


def _write_index(path: Path, table: pa.Table) -> None:
    """Replace the index in one step. Where that cannot be, the next reader builds it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        pq.write_table(table, unfinished, compression="zstd")
        unfinished.replace(path)
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)
