"""Rate limit: whether the target answers only so many requests per second, and refuses the others. Pure."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perflib.spec import Run

REFUSALS = (429, 503)
"""Too Many Requests (RFC 6585, section 4); Service Unavailable (RFC 9110, section 15.6.4)."""
_LEAST_REFUSED = 5
_STEADY = 1.5
"""A second of a target at its limit has at most so many times the answers of the median second."""


@dataclass(frozen=True)
class RateLimit:
    """The target refused requests by `status`.

    `per_s` is how many it answered in a second meanwhile, `advised_per_s` a rate of all endpoints together that it
    should bear: 80 % of that. None: it answered none. `endpoints` are those that it refused; empty: all of them.
    """

    status: int
    endpoints: tuple[str, ...]
    refused: int
    per_s: float | None
    advised_per_s: float | None


def rate_limit(run: Run) -> RateLimit | None:
    """The limit that a run met; None where it met none.

    An answer of 429 says so itself. One of 503 says it with Retry-After, or where as many requests were answered in
    each second: else the target is overloaded or broken.
    """
    rows = run.requests
    if not rows["status"].isin(REFUSALS).any():
        return None
    wire = rows.loc[(rows["kind"] == "request") & (rows["end_ns"] >= 0), ["endpoint", "status", "error", "end_ns"]]
    counts = wire.loc[wire["error"].notna(), "status"].value_counts().to_dict()
    status = max(REFUSALS, key=lambda one: counts.get(one, 0))
    if counts.get(status, 0) < _LEAST_REFUSED:
        return None
    names = wire.loc[wire["status"] == status, "endpoint"].unique().tolist()
    limited = wire[wire["endpoint"].isin(names)]
    per_s = _per_second(limited, status)
    if status == 503 and not (_asks_to_wait(run) or _is_steady(per_s)):
        return None
    usual = float(np.median(per_s)) or float(per_s.mean())
    advised = _rounded_down(0.8 * usual * len(wire) / len(limited)) if usual else 0.0
    some = () if len(limited) == len(wire) else tuple(sorted(names))
    return RateLimit(status, some, counts[status], usual or None, advised or None)


def _per_second(rows: pd.DataFrame, status: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Successes in each whole second between the first and the last refusal; within one second: those of a second."""
    refused_ns = rows.loc[rows["status"] == status, "end_ns"]
    good_s = (rows.loc[rows["error"].isna(), "end_ns"].to_numpy() - int(refused_ns.min())) / 1e9
    whole_s = int((refused_ns.max() - refused_ns.min()) / 1e9)
    if not whole_s:
        return np.array([len(good_s) / max(rows["end_ns"].max() / 1e9, 1.0)])
    return np.histogram(good_s, np.arange(whole_s + 1))[0].astype(np.float64)


def _is_steady(per_s: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> bool:
    return len(per_s) >= 3 and 0 < per_s.max() <= _STEADY * float(np.median(per_s))


def _asks_to_wait(run: Run) -> bool:
    refused = run.failures.loc[run.failures["status"].isin(REFUSALS), "headers"]
    return any(name.lower() == "retry-after" for headers in refused for name in headers)


def _rounded_down(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / unit + 1e-9) * unit:.2g}")
