"""Samples of failed answers, the first ones of each kind: JSON lines while a run goes, then failures.parquet."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from perflib.spec.run import MOST_SAMPLES
from perflib.store.faults import unreadable
from perflib.store.spool import typed

FAILURES_TABLE, FAILURE_SPOOLS = "failures.parquet", "failures.*.spool"

FAILURES = pa.schema(
    [
        *typed("string: run_id endpoint kind", "int16: status", "int64: t_ns"),
        *typed("string: reason content_type"),
        pa.field("headers", pa.map_(pa.string(), pa.string())),
        pa.field("body", pa.string()),
    ]
)
"""failures.parquet: one row per sample; `t_ns`, when it failed, is from the run's start."""


def spooled(paths: Iterable[Path], run_id: str) -> pa.Table:
    """The samples that the workers of a run have written so far, columns as in `FAILURES`; a torn one is left out."""
    found = [FAILURES.empty_table()]
    for path in paths:
        for line in path.read_bytes().splitlines() if path.exists() else ():
            with suppress(ValueError, TypeError, AttributeError, LookupError, pa.ArrowException, RecursionError):
                sample = json.loads(line)
                own = sample | {"run_id": run_id, "headers": list(sample["headers"].items())}
                one = pa.Table.from_pylist([{name: own[name] for name in FAILURES.names}], FAILURES)
                found += [] if any(column.null_count for column in one.columns) else [one]
    rows = pa.concat_tables(found).to_pandas().sort_values("t_ns", kind="stable")
    first = rows.groupby(["endpoint", "kind", "status"]).head(MOST_SAMPLES)
    return pa.Table.from_pandas(first, FAILURES, preserve_index=False)


def read_failures(path: Path) -> pa.Table:
    """A sealed run's samples; none where it has no such table. Raises InputError for a damaged one."""
    if not path.exists():
        return FAILURES.empty_table()
    try:
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        if not table.schema.equals(FAILURES):
            raise ValueError("its columns are not those of failures")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error, "it") from None
    return table


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Samples for a reader: the headers of each are a dictionary."""
    frame: pd.DataFrame = table.to_pandas()
    return frame.assign(headers=frame["headers"].map(dict))
