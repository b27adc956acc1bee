"""The history: where the figures of many runs changed. Pure."""

import numpy as np
import pandas as pd

from perflib.stats.change_points import change_points

PERCENTILES = ("p50_ms", "p95_ms")
"""The figures whose changes are looked for, in one family of series."""
SETUP_WORDS = ["target", "scenario", "profile", "workload", "environment"]
"""What says in words how runs of one setup were made; the column `setup` says which runs are alike."""
_CHANGES: dict[str, str] = {
    **dict.fromkeys(("endpoint", "percentile"), "str"),
    **dict.fromkeys(("ratio", "before_ms", "after_ms", "p_value"), "float64"),
    "at_least": "bool",
    "run_id": "str",
    "started_at": "datetime64[us, UTC]",
    **dict.fromkeys(("git_commit", "revision", "brief", "note", *SETUP_WORDS, "setup"), "str"),
}


def changes(frame: pd.DataFrame, *, alpha: float = 0.01) -> pd.DataFrame:
    """The change points in p50 and p95 of every endpoint: the run a new level began with, and the levels' medians.

    Only finished, valid runs of one `setup` are compared. A run too slow for its p95 counts with what its p95 is at
    least; `at_least`: the new level rests on such runs. The chance of any false alarm in the whole frame
    is at most `alpha`, if its runs do not drift; see `stats.change_points`.

    Args:
        frame: as `perflib.runs` gives it.
        alpha: of all series of the frame together.

    Returns:
        A row per change, the latest first.

    >>> import perflib
    >>> found = perflib.changes(perflib.runs(endpoint="GET /clients"))
    >>> found[["run_id", "percentile"]].iloc[0].tolist()
    ['sample-21-release-1.4', 'p50_ms']
    """
    fit = judged(frame)
    series = [rows for _, rows in fit.groupby(["setup", "endpoint"], sort=False, dropna=False)]
    family = max(1, len(series) * len(PERCENTILES))
    found = [
        rows.iloc[point.index].to_dict()
        | {"percentile": percentile, "before_ms": point.before, "after_ms": point.after}
        | {"ratio": point.ratio, "p_value": point.p_value, "at_least": point.at_least}
        for rows in series
        for percentile in PERCENTILES
        for of in [valued(rows, percentile)]
        for point in change_points(of["ms"].to_numpy(), bounds=of["bound"].to_numpy(), alpha=alpha, family=family)
    ]
    table = pd.DataFrame(found, columns=list(_CHANGES)).astype(_CHANGES)
    return table.sort_values(["started_at", "p_value"], ascending=[False, True], kind="stable", ignore_index=True)


def valued(frame: pd.DataFrame, percentile: str) -> pd.DataFrame:
    """The percentile of each row as `ms`; `bound`: the run was too slow to have it, and this is what it is at least."""
    ms = frame[percentile].astype(np.float64)
    known = frame.get(f"{percentile.removesuffix('_ms')}_at_least_ms", pd.Series(np.nan, frame.index))
    bounds = known.astype(np.float64).where(np.isfinite)
    return pd.DataFrame({"ms": ms.fillna(bounds), "bound": ms.isna() & bounds.notna()})


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["valid"].astype(bool) & (frame["state"] == "finished")]


def runs_before(frame: pd.DataFrame, setup: str, moment: str) -> list[str]:
    """The ids of the sound runs of this setup that were started before this moment, the latest first."""
    sound = judged(frame)
    earlier = sound["started_at"] < pd.to_datetime(moment, utc=True)
    like = sound[earlier & (sound["setup"] == setup) & (sound["requests"] > 0)]
    return [str(run_id) for run_id in like["run_id"].drop_duplicates().iloc[::-1]]
