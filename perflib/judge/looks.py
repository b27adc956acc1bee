"""Looks: the figures of a fresh run that are judged, and those of its baseline beside them. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from perflib.figures.spent import Effort, effort, efforts_of
from perflib.figures.summary import EndpointSummary, Summary
from perflib.judge.validity import held_cores
from perflib.spec import Run
from perflib.spec.baselines import Baseline
from perflib.stats import Floats
from perflib.stats.band import BASELINE_RUNS, Sample

CPU = "CPU a request"
ALL = "all requests"
"""What the CPU a request is of, where several endpoints share the load."""


@dataclass(frozen=True)
class Look:
    """What is judged of a run."""

    rows: dict[str, EndpointSummary]
    efforts: dict[str, Effort]
    """That of `ALL` too, where they share the load."""
    held: str
    """See `held_of`."""

    @classmethod
    def at(cls, run: Run, summary: Summary) -> Self:
        parts = run.facts.parts
        shared = {ALL: effort(run, parts)} if any(len(part.items) > 1 for part in parts) else {}
        return cls({row.endpoint: row for row in summary.endpoints}, efforts_of(run) | shared, held_of(run))

    def effort(self, name: str) -> Effort:
        """All None for what was not driven."""
        return self.efforts.get(name, Effort())


def held_of(run: Run) -> str:
    """Who kept the target from its cores; empty: nobody, or not known."""
    return held_cores(effort(run, run.facts.parts).waited_per_ran)


def samples_of(looks: Sequence[Look], baseline: Baseline) -> list[Sample]:
    """Every figure that can be compared: percentiles by endpoint, and the CPU as far as enough runs know it."""
    percentiles = [
        _percentile(name, figure, looks, baseline)
        for name in looks[0].rows
        for figure in ("p50", "p95")
        if name in baseline.endpoints
    ]
    names = (ALL,) if ALL in looks[0].efforts else looks[0].rows
    cpu = [Sample(name, CPU, cpu_before(name, baseline), cpu_after(name, looks)) for name in names]
    return percentiles + [one for one in cpu if _is_known(one.baseline) and np.isfinite(one.new).any()]


def _percentile(name: str, figure: str, looks: Sequence[Look], baseline: Baseline) -> Sample:
    before = baseline.endpoints[name].per_run
    return Sample(
        endpoint=name,
        figure=figure,
        baseline=_floats(getattr(before, f"{figure}_ms")),
        new=_floats(getattr(look.rows[name], f"judged_{figure}_ms") for look in looks),
        waited=_floats(before.waited_per_ran or ()),
        new_waited=_floats(look.effort(name).waited_per_ran for look in looks),
    )


def cpu_after(name: str, looks: Sequence[Look]) -> Floats:
    """Milliseconds of CPU a request by run, NaN where it is not known. Shape (looks,)."""
    return _floats(look.effort(name).cpu_ms_per_request for look in looks)


def cpu_before(name: str, baseline: Baseline) -> Floats:
    """The same of the baseline's runs; none where it was recorded before they told it."""
    entry = baseline.endpoints.get(name) if name != ALL else next(iter(baseline.endpoints.values()))
    return _floats((entry and entry.per_run.cpu_ms) or ())


def _is_known(values: Floats) -> bool:
    return bool(np.isfinite(values).sum() >= BASELINE_RUNS)


def _floats(values: Iterable[float | None]) -> Floats:
    return np.array([*values], np.float64)
