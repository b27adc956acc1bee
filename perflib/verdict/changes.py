"""The history: where the figures of many runs changed. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perflib.stats.change_points import change_points

PERCENTILES = ("p50_ms", "p95_ms")
"""The figures whose changes are looked for, in one family of series."""
SETUP = ["target", "scenario", "profile", "workload", "environment"]
"""Runs compare where these are equal."""
_CHANGES: dict[str, str] = {
    **dict.fromkeys(("endpoint", "percentile"), "str"),
    **dict.fromkeys(("ratio", "before_ms", "after_ms", "p_value"), "float64"),
    "run_id": "str",
    "started_at": "datetime64[us, UTC]",
    **dict.fromkeys(("git_commit", "brief", "note", *SETUP), "str"),
}


def changes(frame: pd.DataFrame, *, alpha: float = 0.01) -> pd.DataFrame:
    """The change points in p50 and p95 of every endpoint: the run a new level began with, and the levels' medians.

    Only finished, valid runs of one setup (`SETUP`) are compared. The chance of any false alarm in the whole frame
    is at most `alpha`, if its runs do not drift; see `stats.change_points`.

    Args:
        frame: as `perflib.runs` gives it.
        alpha: of all series of the frame together.

    Returns:
        A row a change, the latest first.

    >>> import perflib
    >>> found = perflib.changes(perflib.runs(endpoint="GET /clients"))
    >>> found[["run_id", "percentile"]].iloc[0].tolist()
    ['sample-21-release-1.4', 'p50_ms']
    """
    fit = judged(frame)
    series = [rows for _, rows in fit.groupby([*SETUP, "endpoint"], sort=False, dropna=False)]
    family = max(1, len(series) * len(PERCENTILES))
    found = [
        rows.iloc[point.index].to_dict()
        | {"percentile": percentile, "before_ms": point.before, "after_ms": point.after}
        | {"ratio": point.ratio, "p_value": point.p_value}
        for rows in series
        for percentile in PERCENTILES
        for point in change_points(rows[percentile].to_numpy(dtype=np.float64), alpha=alpha, family=family)
    ]
    table = pd.DataFrame(found, columns=list(_CHANGES)).astype(_CHANGES)
    return table.sort_values(["started_at", "p_value"], ascending=[False, True], kind="stable", ignore_index=True)


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["valid"].astype(bool) & (frame["state"] == "finished")]
