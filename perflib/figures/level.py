"""Level: whether all endpoints became slower or faster at a moment of a steady run. Pure."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from perflib.figures.spent import waited_per_ran
from perflib.figures.under_way import on_the_wire
from perflib.spec import Run
from perflib.spec.workload import is_steady
from perflib.stats import Floats
from perflib.stats.change_points import change_points

_MOST_BINS, _LEAST_ROWS, _LEAST_BINS = 40, 20, 12
_ALPHA, _LEAST_RATIO = 0.005, 1.5
_CLEAR_RATIO, _CLEAR_SPREADS = 2.0, 5.0
_LEAST_WAIT, _WAIT_TIMES = 0.2, 2.0


@dataclass(frozen=True)
class Level:
    """All endpoints between two changes."""

    p95_ms: float
    per_s: float
    waited_per_ran: float | None
    """So many seconds the target stood without a core for each that it had one; None: not known."""


@dataclass(frozen=True)
class LevelChange:
    """From `at_s` of the run on a request took `ratio` times as long, by the median of all endpoints."""

    at_s: float
    ratio: float
    effect: float
    """Share of the run's time that the slower level cost."""
    p_value: float
    spreads: float
    """The change over the standard deviation of what the levels leave, both of logarithms."""
    before: Level
    after: Level

    @property
    def is_clear(self) -> bool:
        """Whether it stands out of a latency that wanders for seconds: such a one is in no random order."""
        return max(self.ratio, 1 / self.ratio) >= _CLEAR_RATIO and self.spreads >= _CLEAR_SPREADS

    @property
    def is_of_the_machine(self) -> bool | None:
        """Whether the target waited for a core in the slower level, and hardly in the other; None: not known."""
        fast, slow = (self.before, self.after) if self.ratio > 1 else (self.after, self.before)
        if fast.waited_per_ran is None or slow.waited_per_ran is None:
            return None
        return slow.waited_per_ran >= max(_LEAST_WAIT, _WAIT_TIMES * fast.waited_per_ran)


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
    cuts = [0, *(one.index for one in found), bins]
    place = cuts.index(worst.index)
    edges_ns = [*begins_ns, int(good["start_ns"].iloc[-1]) + 1]
    before, after = (
        _level(run, good, edges_ns[begin], edges_ns[end]) for begin, end in pairwise(cuts[place - 1 : place + 2])
    )
    return LevelChange(
        at_s=begins_ns[worst.index] / 1e9,
        ratio=worst.ratio,
        effect=float(cost.sum() / values.sum()),
        p_value=worst.p_value,
        spreads=abs(float(np.log(worst.ratio))) / _spread(np.log(values), cuts),
        before=before,
        after=after,
    )


def _spread(logs: Floats, cuts: list[int]) -> float:
    """The standard deviation of what the levels leave."""
    rest = np.concatenate([logs[begin:end] - np.median(logs[begin:end]) for begin, end in pairwise(cuts)])
    return max(1e-9, float(np.sqrt((rest**2).sum() / (len(logs) - len(cuts) + 1))))


def _level(run: Run, good: pd.DataFrame, from_ns: int, to_ns: int) -> Level:
    own = good[good["start_ns"].between(from_ns, to_ns, inclusive="left")]
    p95_ms = float(np.quantile(own["end_ns"] - own["start_ns"], 0.95)) / 1e6
    return Level(p95_ms, len(own) / (to_ns - from_ns) * 1e9, waited_per_ran(run, from_ns, to_ns))
