"""What a spike did: response time by active users, and when it was back to normal. Pure.

Endpoints are pooled: requests on the wire outside pages (page loads, where the run drives only pages). Each user walks
the same shuffled cycle, so every endpoint has its share of the mix in every window, and windows compare in time.
Cold answers are left out, as in all percentiles. A ramp's users are those it asks for at a request's intended start.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from perflib.figures.summary import counted, judged_ms, pooled
from perflib.spec import Ramp, Run
from perflib.stats import Floats
from perflib.stats.percentile import percentile, required_count

IN_A_ROW = 3
"""So many windows inside the band make a recovery."""
TOLERANCE = 1.1
"""The band ends 10 % above the highest window before the spike: of windows alike, one more would exceed the highest
of k with a chance of 1 / (k + 1). In simulation (5 s before the spike, half-second windows) the mean error of the
recovery time is 0.3 s with it and 1.4 s without."""
_WINDOWS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)

Phase = Literal["before", "spike", "after"]


@dataclass(frozen=True)
class LoadBand:
    """The requests sent while the ramp asked for `users_from` to `users_to` users; p95 None where too few."""

    users_from: int
    users_to: int
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True)
class Window:
    """The requests with an intended start in [start_s, end_s), seconds from the end of warm-up.

    `p95_ms` is of successes; `judged_p95_ms` counts a failure as infinitely slow. None: too few requests.
    """

    start_s: float
    end_s: float
    phase: Phase
    requests: int
    p95_ms: float | None
    judged_p95_ms: float | None

    def is_below(self, most_ms: float) -> bool:
        return self.judged_p95_ms is not None and self.judged_p95_ms <= most_ms


@dataclass(frozen=True)
class Recovery:
    """Whether response times came back after a spike.

    recovered: None where there were too few windows to tell.
    after_s: from the load going back to the first of `IN_A_ROW` windows inside the band: true to about a window.
    band_ms: lowest and highest window p95 before the spike, the upper one with `TOLERANCE`; None: too few windows.
    back_s: when the load went back, seconds from the end of warm-up; None if it never did.
    """

    recovered: bool | None
    after_s: float | None
    band_ms: tuple[float, float] | None
    back_s: float | None
    windows: tuple[Window, ...]


def users_at(ramp: Ramp, at_s: Floats) -> Floats:
    """`Ramp.users_at` for many moments."""
    ends_s = np.cumsum([stage.duration_s for stage in ramp.stages])
    number = np.searchsorted(ends_s, at_s, side="right").clip(max=len(ramp.stages) - 1)
    start, end, lasts_s = np.array([(stage.start, stage.end, stage.duration_s) for stage in ramp.stages]).T
    share = (at_s - (ends_s - lasts_s)[number]) / lasts_s[number]
    return np.asarray(start[number] + (end - start)[number] * share.clip(0, 1), dtype=np.float64)


def degradation(run: Run) -> tuple[LoadBand, ...]:
    """p50 and p95 of successes by number of active users, up to the moment the load went back.

    What follows that moment is `recovery`'s: there the level is low again and the queue need not be.
    Empty for a run without a ramp.
    """
    ramp = run.facts.scenario.workload
    if not isinstance(ramp, Ramp):
        return ()
    rows = _measured(run)
    _, back_s = _spike_s(ramp)
    rows = rows[rows["at_s"] < (math.inf if back_s is None else back_s)]
    users = np.ceil(users_at(ramp, rows["at_s"].to_numpy()) - 1e-9)
    bounds = _band_bounds(ramp)
    return tuple(
        _load_band(rows[(users > below) & (users <= upto)], max(below + 1, _lowest(ramp)), upto)
        for below, upto in pairwise((0, *bounds))
    )


def recovery(run: Run) -> Recovery:
    """Whether and when window p95s came back into the band they had before the spike, three windows in a row.

    Windows are the shortest of `_WINDOWS_S` that hold enough successes for a p95 in every window before the spike
    (at least `IN_A_ROW` of them); they are laid backwards from the first rise and forwards from the moment the load
    went back, so that none mixes two levels. Failures count as infinitely slow: failing fast is no recovery.
    """
    ramp = run.facts.scenario.workload
    if not isinstance(ramp, Ramp) or not run.facts.parts:
        return Recovery(None, None, None, None, ())
    rise_s, back_s = _spike_s(ramp)
    rows, end_s = _measured(run), run.facts.parts[0].duration_s
    width_s = _width_s(rows, rise_s)
    windows = _windows(rows, width_s or 1.0, rise_s, back_s, end_s)
    before = [window.p95_ms for window in windows if window.phase == "before" and window.p95_ms is not None]
    if width_s is None or not before:
        return Recovery(None, None, None, back_s, windows)
    band = (min(before), TOLERANCE * max(before))
    after = [window for window in windows if window.phase == "after" and window.judged_p95_ms is not None]
    first = next((n for n in range(len(after)) if _in_a_row(after[n : n + IN_A_ROW], band[1])), None)
    if first is not None and back_s is not None:
        return Recovery(True, after[first].start_s - back_s, band, back_s, windows)
    told = len(after) >= IN_A_ROW and not after[-1].is_below(band[1])
    return Recovery(False if told else None, None, band, back_s, windows)


def _in_a_row(some: Sequence[Window], most_ms: float) -> bool:
    """All are inside, and nothing between them was too thin to tell."""
    adjoin = all(earlier.end_s == later.start_s for earlier, later in pairwise(some))
    return len(some) == IN_A_ROW and all(window.is_below(most_ms) for window in some) and adjoin


def _measured(run: Run) -> pd.DataFrame:
    """The pooled counted requests, with `at_s` from the end of warm-up; those begun in it stand at its end."""
    rows = pooled(run)
    rows = rows[counted(run.requests)[rows.index]]
    from_ns = run.facts.parts[0].measured_from_ns if run.facts.parts else 0
    return rows.assign(at_s=(rows["intended_ns"] - from_ns).clip(lower=0) / 1e9)


def _spike_s(ramp: Ramp) -> tuple[float, float | None]:
    """When the level first rises above the first one, and when it is back for good; None if it never is."""
    usual = ramp.stages[0].start
    ends_s = np.cumsum([stage.duration_s for stage in ramp.stages])
    above = [max(stage.start, stage.end) > usual for stage in ramp.stages]
    if not any(above):
        return float(ends_s[-1]), None
    first, last = above.index(True), len(above) - 1 - above[::-1].index(True)
    rise_s = float(ends_s[first]) - ramp.stages[first].duration_s
    return rise_s, float(ends_s[last]) if last + 1 < len(above) else None


def _lowest(ramp: Ramp) -> int:
    return max(1, int(min(min(stage.start, stage.end) for stage in ramp.stages)))


def _band_bounds(ramp: Ramp) -> list[int]:
    """Upper bounds of the bands: the lowest level, twice that, then fifths of the peak.

    5 to 100 users: 5, 10, 20, 40, 60, 80, 100.
    """
    peak, lowest = ramp.most_users, _lowest(ramp)
    fifths = [math.ceil(peak * n / 5) for n in range(1, 6)]
    low = [bound for bound in (lowest, 2 * lowest) if bound < peak]
    return sorted({*low, *(bound for bound in fifths if bound > 2 * lowest), peak})


def _load_band(rows: pd.DataFrame, users_from: int, users_to: int) -> LoadBand:
    good = rows["error"].isna()
    times = rows.loc[good, "response_ms"].to_numpy()
    p50, p95 = percentile(times, 0.50), percentile(times, 0.95)
    return LoadBand(users_from, users_to, len(rows), int((~good).sum()), p50, p95)


def _width_s(rows: pd.DataFrame, rise_s: float) -> float | None:
    """The window width, or None where the stretch before the spike cannot support `IN_A_ROW` window p95s."""
    at_s = rows.loc[rows["error"].isna(), "at_s"].to_numpy()
    for width_s in _WINDOWS_S:
        edges = _edges(rise_s, -width_s, 0.0)[::-1]
        if len(edges) <= IN_A_ROW:
            return None
        if np.histogram(at_s[at_s < edges[-1]], edges)[0].min() >= required_count(0.95):
            return width_s
    return None


def _edges(from_s: float, step_s: float, to_s: float) -> Floats:
    """Edges of the whole windows from one moment towards another."""
    count = max(0, math.floor((to_s - from_s) / step_s + 1e-9))
    return np.asarray(from_s + step_s * np.arange(count + 1), dtype=np.float64)


def _windows(
    rows: pd.DataFrame, width_s: float, rise_s: float, back_s: float | None, end_s: float
) -> tuple[Window, ...]:
    over_s = end_s if back_s is None else min(back_s, end_s)
    phases: dict[Phase, Floats] = {
        "before": _edges(min(rise_s, end_s), -width_s, 0.0)[::-1],
        "spike": _edges(rise_s, width_s, over_s),
        "after": np.empty(0) if back_s is None else _edges(back_s, width_s, end_s),
    }
    at_s = rows["at_s"].to_numpy()
    order = np.argsort(at_s, kind="stable")
    at_s, judged = at_s[order], judged_ms(rows)[order]
    windows = []
    for phase, edges in phases.items():
        places = np.searchsorted(at_s, edges)
        for (start_s, stop_s), (begin, stop) in zip(pairwise(edges), pairwise(places), strict=True):
            own = judged[begin:stop]
            p95, judged_p95 = percentile(own[np.isfinite(own)], 0.95), percentile(own, 0.95)
            windows.append(Window(float(start_s), float(stop_s), phase, len(own), p95, judged_p95))
    return tuple(windows)
