"""What a check compares: the figures of its runs, of the runs before, and how large a change matters. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from perflib.judge.fresh import ALL, CPU, Fresh, cpu_after, cpu_before
from perflib.judge.knowledge import Known
from perflib.judge.matters import least_that_matters
from perflib.spec import Facts
from perflib.spec.baselines import Baseline
from perflib.stats import Floats
from perflib.stats.band import BASELINE_RUNS, Change, Least, Sample, changes
from perflib.stats.explained import Waits
from perflib.stats.spending import Look

_FIGURES = ("p50", "p95")
CPU_SLOPE_SD = 0.25
"""CPU per request grows little beside neighbours: they take the caches."""


def samples_of(runs: Sequence[Fresh], known: Known) -> list[Sample]:
    """Both percentiles of each endpoint that is known, and the CPU per request as far as enough runs tell it."""
    rows = runs[0].rows
    percentiles = [
        _sample(name, figure, known, _judged_ms(runs, name, figure), rows[name].target_ms, runs)
        for name, figure in _known_figures(known)
        if name in rows
    ]
    percentiles = [_with_waits(one, known, runs) for one in percentiles]
    return [*percentiles, *(one for name in runs[0].cpu_names if (one := _cpu_sample(name, runs, known)))]


def _with_waits(sample: Sample, known: Known, runs: Sequence[Fresh]) -> Sample:
    usual, level = (_waited(one, sample.endpoint) for one in (known.noise, known.baseline))
    new = np.array([run.effort(sample.endpoint).waited_per_ran for run in runs], np.float64)
    return replace(sample, waits=Waits(usual, new, None if known.noise is known.baseline else level))


def _waited(baseline: Baseline | None, name: str) -> Floats | None:
    told = baseline and baseline.endpoints[name].per_run.waited_per_ran
    return np.array(told, np.float64) if told else None


def _cpu_sample(name: str, runs: Sequence[Fresh], known: Known) -> Sample | None:
    """None where too few runs tell it: nobody is told then that it could not be compared."""
    usual, level, new = cpu_before(name, known.noise), cpu_before(name, known.baseline), cpu_after(name, runs)
    if np.isfinite(usual).sum() < BASELINE_RUNS or not np.isfinite(level).any() or not np.isfinite(new).any():
        return None
    one = Sample(name, CPU, usual, new, level=None if known.noise is known.baseline else level, than=known.name)
    first = next(iter(runs[0].rows)) if name == ALL else name
    waits = _with_waits(replace(one, endpoint=first), known, runs).waits
    return replace(one, waits=replace(waits, slope=0.0, slope_sd=CPU_SLOPE_SD))


def smallest_detectable(facts: Facts, known: Known, runs: int) -> float | None:
    """The smallest rise of p95 that a check of at most so many runs finds in 9 of 10 cases, of the worst endpoint.

    None where too few runs are known.
    """
    limits_ms = {item.name: item.target_ms for item in facts.scenario.takes(facts.target)}
    samples = [
        _sample(name, figure, known, np.full(runs, of_ms), limits_ms[name], ())
        for name, figure in _known_figures(known)
        if name in limits_ms and (of_ms := _level_ms(known, name, figure))
    ]
    usual = [_waited(known.noise, one.endpoint) for one in samples]
    as_usual = [replace(one, waits=Waits(waited, waited)) for one, waited in zip(samples, usual, strict=True)]
    found = changes(as_usual, Look(runs, runs))
    return max((one.mde for one in found if isinstance(one, Change) and one.figure == "p95"), default=None)


def _known_figures(known: Known) -> Iterator[tuple[str, str]]:
    if known.baseline is not None and known.noise is not None:
        yield from product((name for name in known.baseline.endpoints if name in known.noise.endpoints), _FIGURES)


def _sample(name: str, figure: str, known: Known, new: Floats, limit_ms: float | None, runs: Sequence[Fresh]) -> Sample:
    assert known.baseline is not None
    assert known.noise is not None
    usual, level = (
        np.array(getattr(one.endpoints[name].per_run, f"{figure}_ms"), np.float64)
        for one in (known.noise, known.baseline)
    )
    of_ms = _level_ms(known, name, figure)
    least = least_that_matters(name, figure, of_ms, limit_ms, [run.generator for run in runs]) if of_ms else Least()
    return Sample(name, figure, usual, new, least, None if known.noise is known.baseline else level, known.name)


def _level_ms(known: Known, name: str, figure: str) -> float | None:
    assert known.baseline is not None
    found: float | None = getattr(known.baseline.endpoints[name], f"{figure}_ms")
    return found


def _judged_ms(runs: Sequence[Fresh], name: str, figure: str) -> Floats:
    return np.array([getattr(run.rows[name], f"judged_{figure}_ms") for run in runs], np.float64)
