"""Level: whether all endpoints became slower or faster at a moment of a steady run. Pure."""

from dataclasses import dataclass

import numpy as np

from perflib.figures.under_way import on_the_wire
from perflib.spec import Run
from perflib.spec.workload import is_steady
from perflib.stats.change_points import change_points

_MOST_BINS, _LEAST_ROWS, _LEAST_BINS = 40, 20, 12
_ALPHA, _LEAST_RATIO = 0.005, 1.5


@dataclass(frozen=True)
class LevelChange:
    """From `at_s` of the run on a request took `ratio` times as long, by the median of all endpoints."""

    at_s: float
    ratio: float
    effect: float
    """Share of the run's time that the slower level cost."""
    p_value: float


def level_change(run: Run) -> LevelChange | None:
    """The largest change of a load that stays the same; None of another, or of a part an endpoint.

    A stretch of the run is one figure: the median of its times, each over the median of its endpoint.
    """
    scenario, parts = run.facts.scenario, run.facts.parts
    if not is_steady(scenario.workload) or scenario.isolated or len(parts) != 1:
        return None
    sent = on_the_wire(run)
    good = sent[~sent["warmup"] & sent["error"].isna() & ~sent["cold"]]
    bins = min(_MOST_BINS, len(good) // _LEAST_ROWS)
    if bins < _LEAST_BINS:
        return None
    took = good["end_ns"] - good["start_ns"]
    relative = (took / took.groupby(good["endpoint"], observed=True).transform("median").clip(lower=1)).to_numpy()
    values = np.array([np.median(some) for some in np.array_split(relative, bins)])
    begins_ns = [some[0] for some in np.array_split(good["start_ns"].to_numpy(), bins)]
    found = change_points(values, alpha=_ALPHA, least_ratio=_LEAST_RATIO)
    if not found:
        return None
    worst = max(found, key=lambda one: abs(np.log(one.ratio)))
    fast, slow = sorted((worst.before, worst.after))
    cost = values[values > (fast + slow) / 2] - fast
    return LevelChange(begins_ns[worst.index] / 1e9, worst.ratio, float(cost.sum() / values.sum()), worst.p_value)
