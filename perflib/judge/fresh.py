"""What is judged of a fresh run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from perflib.figures.spent import Effort, effort, efforts_of
from perflib.figures.summary import EndpointSummary, Summary
from perflib.judge.validity import held_cores
from perflib.spec import Run
from perflib.spec.baselines import Baseline
from perflib.spec.run import Generator
from perflib.stats import Floats

CPU = "CPU per request"
ALL = "all requests"
"""What the CPU per request is of, where several endpoints share the load."""


@dataclass(frozen=True)
class Fresh:
    """The figures of a run, by endpoint."""

    rows: dict[str, EndpointSummary]
    efforts: dict[str, Effort]
    """That of `ALL` too, where they share the load."""
    held: str
    """See `held_of`."""
    generator: Generator

    @classmethod
    def of(cls, run: Run, summary: Summary) -> Self:
        parts = run.facts.parts
        shared = {ALL: effort(run, parts)} if any(len(part.items) > 1 for part in parts) else {}
        rows = {row.endpoint: row for row in summary.endpoints}
        return cls(rows, efforts_of(run) | shared, held_of(run), run.facts.generator)

    def effort(self, name: str) -> Effort:
        """All None for what was not driven."""
        return self.efforts.get(name, Effort())

    @property
    def cpu_names(self) -> tuple[str, ...]:
        """What a CPU per request is of."""
        return (ALL,) if ALL in self.efforts else tuple(self.rows)


def held_of(run: Run) -> str:
    """That others kept the target from its cores; empty: not, or not known."""
    return held_cores(effort(run, run.facts.parts).waited_per_ran)


def cpu_after(name: str, runs: Sequence[Fresh]) -> Floats:
    """Milliseconds of CPU per request by run, NaN where it is not known. Shape (runs,)."""
    return np.array([run.effort(name).cpu_ms_per_request for run in runs], np.float64)


def cpu_before(name: str, baseline: Baseline | None) -> Floats:
    """The same of a baseline's runs; none where it was recorded before they told it."""
    entries = baseline.endpoints if baseline else {}
    entry = next(iter(entries.values()), None) if name == ALL else entries.get(name)
    return np.array((entry and entry.per_run.cpu_ms) or (), np.float64)
