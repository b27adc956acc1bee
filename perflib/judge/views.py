"""Views: what a stored run holds on its endpoints, computed once for all rules. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from perflib.figures.held_up import HeldUp, held_up
from perflib.figures.silences import Silence, silences
from perflib.figures.spent import Spent, spent
from perflib.figures.summary import PHASES, Phase, counted
from perflib.spec import Closed, Run
from perflib.spec.run import asked_alone
from perflib.stats import Floats

_DRAWS, _ENOUGH, _SEED = 100, 300, 3
_LEAST_TIMES = 20
_ALIKE, _SCORE = 0.2, 4.0


@dataclass(frozen=True)
class Times:
    """Where the time of an endpoint's warm successes went, in the order in which they began. Milliseconds."""

    endpoint: str
    requests: int
    """Failed and cold ones too."""
    total_ms: float
    """Of all answers, cold ones too."""
    cold: Floats
    """What cold answers took."""
    phases: dict[Phase, Floats]

    @cached_property
    def whole(self) -> Floats:
        return np.asarray(np.sum([*self.phases.values()], axis=0))

    @property
    def p50_ms(self) -> float | None:
        return float(np.median(self.whole)) if len(self.whole) else None

    def median_ms(self, phase: Phase) -> float | None:
        """Of a phase; None without a success."""
        return float(np.median(self.phases[phase])) if len(self.whole) else None

    @property
    def slow_together(self) -> bool:
        """Whether requests that follow each other are surely alike: what queues is, what differs by itself is not."""
        logs = np.log(self.whole.clip(1e-3))
        if len(logs) < _LEAST_TIMES or float(logs.std()) == 0:
            return False
        alike = float(np.corrcoef(logs[:-1], logs[1:])[0, 1])
        return alike >= max(_ALIKE, _SCORE / float(np.sqrt(len(logs))))

    def agreeing(self, rule: "Rule") -> float:
        """How large a share of its resamples shows what a rule asks for; 0 where it does not itself, or is too small.

        Source: Efron 1979, Annals of Statistics 7(1).
        """
        if len(self.whole) < _LEAST_TIMES or not rule(self):
            return 0.0
        draw = np.random.default_rng(_SEED)
        return sum(rule(self._drawn(draw)) for _ in range(_DRAWS)) / _DRAWS

    def _drawn(self, draw: np.random.Generator) -> "Times":
        some = draw.integers(0, len(self.whole), min(len(self.whole), _ENOUGH))
        drawn = {phase: values[some] for phase, values in self.phases.items()}
        return Times(self.endpoint, self.requests, self.total_ms, self.cold, drawn)

    @cached_property
    def interval_ms(self) -> tuple[float, float]:
        """Of its median: 95 %."""
        draw = np.random.default_rng(_SEED)
        drawn = [np.median(self._drawn(draw).whole) if len(self.whole) else np.nan for _ in range(_DRAWS)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(low), float(high)


Rule = Callable[[Times], bool]


class View:
    """A run, and what several rules ask of it."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def times(self) -> tuple[Times, ...]:
        """Of each endpoint that was asked after warm-up: its requests outside pages and journeys, where it has any."""
        rows = self.run.requests
        measured = rows[(rows["kind"] == "request") & counted(rows)]
        alone = asked_alone(measured)
        apart = set(measured.loc[alone, "endpoint"].unique())
        own = measured[alone | ~measured["endpoint"].isin(apart)]
        return tuple(_times(str(name), some) for name, some in own.groupby("endpoint", observed=True))

    @cached_property
    def total_ms(self) -> float:
        return sum(one.total_ms for one in self.times)

    def share_of(self, endpoint: str) -> float:
        """Of the time of all answers, that an endpoint took."""
        total_ms = self.total_ms
        return sum(one.total_ms for one in self.times if one.endpoint == endpoint) / total_ms if total_ms else 0.0

    @cached_property
    def silences(self) -> tuple[Silence, ...]:
        return silences(self.run)

    @cached_property
    def held_up(self) -> tuple[HeldUp, ...]:
        return held_up(self.run, self.silences)

    @cached_property
    def spent(self) -> Spent | None:
        """In the whole measured time."""
        return spent(self.run, self.run.facts.parts)

    def spent_by(self, endpoint: str) -> Spent | None:
        """By an endpoint that had parts of the run for itself."""
        return spent(self.run, [part for part in self.run.facts.parts if part.items == (endpoint,)])

    def users_of(self, endpoint: str) -> int:
        """That the run had; 0: not a number of users."""
        workload = self.run.facts.scenario.workload
        return workload.users if isinstance(workload, Closed) else 0


def _times(name: str, rows: pd.DataFrame) -> Times:
    answered = rows[(rows["end_ns"] >= 0) & rows["error"].isna()]
    good = answered[~answered["cold"] & (answered["first_byte_ns"] >= 0)].sort_values("start_ns")
    intended, start, first, end, connect = (
        good[column].to_numpy() / 1e6 for column in ("intended_ns", "start_ns", "first_byte_ns", "end_ns", "connect_ns")
    )
    values = (start - intended, connect, first - start - connect, end - first)
    took_ms = (answered["end_ns"] - answered["intended_ns"]) / 1e6
    cold_ms = took_ms[answered["cold"]].to_numpy()
    return Times(name, len(rows), float(took_ms.sum()), cold_ms, dict(zip(PHASES, values, strict=True)))
