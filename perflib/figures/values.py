"""Values: which rows of the data were slow. Pure."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from perflib.figures.summary import measured
from perflib.spec import Run
from perflib.spec.data import Data

COLUMNS = ("endpoint", "row", "value", "requests", "failed", "p50_ms", "max_ms")


def by_value(run: Run) -> pd.DataFrame:
    """What each row of the data cost, the slowest first.

    Returns:
        A row per endpoint and row of the data that it was asked with: `row` counts from 0, `value` is what stands
        there (empty for a file's, whose rows no run keeps), `p50_ms` (the upper median) and `max_ms` are of its
        successes, cold ones too. Steps of journeys count as their endpoints'.
    """
    rows = measured(run)
    asked = rows[rows["row"] >= 0] if "row" in rows else rows[:0].assign(row=0)
    if asked.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    good = asked.assign(response_ms=asked["response_ms"].where(asked["error"].isna()), failed=asked["error"].notna())
    grouped = good.groupby(["endpoint", "row"], observed=True)
    found = grouped["response_ms"].quantile(0.5, interpolation="higher").rename("p50_ms").to_frame()
    found = found.assign(max_ms=grouped["response_ms"].max(), requests=grouped.size(), failed=grouped["failed"].sum())
    found = found.reset_index().astype({"endpoint": str})
    found["value"] = [_value(run, endpoint, row) for endpoint, row in zip(found["endpoint"], found["row"], strict=True)]
    return found.sort_values(["p50_ms", "max_ms"], ascending=False, ignore_index=True)[list(COLUMNS)]


def _value(run: Run, endpoint: str, row: int) -> str:
    target = run.facts.target
    asked = next(one for one in target.endpoints if one.name == endpoint)
    named = (one.source for one in asked.patterns(in_text=target.has_values) if one.source in target.data)
    data = next((target.data[name] for name in named), None)
    return "" if data is None else _shown(data, row)


def _shown(data: Data, row: int) -> str:
    if data.range:
        return str(data.range[0] + row)
    cell = data.values[row] if data.values and row < len(data.values) else ""
    return ", ".join(f"{name} {value}" for name, value in _plain(cell).items()) if isinstance(cell, dict) else str(cell)


def _plain(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A secret by the name of its variable."""
    return {name: f"${value.env}" if hasattr(value, "env") else value for name, value in cell.items()}
