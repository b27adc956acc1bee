"""What a check compares: the figures of its runs, of the runs before, and how large a change matters. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from perflib.figures.summary import EndpointSummary
from perflib.judge.knowledge import Known
from perflib.judge.matters import least_that_matters
from perflib.spec import Facts
from perflib.spec.run import Generator
from perflib.stats import Floats
from perflib.stats.band import Change, Least, Sample, changes
from perflib.stats.spending import Look

_FIGURES = ("p50", "p95")


def samples_of(
    runs: Mapping[str, tuple[EndpointSummary, ...]], known: Known, generators: Sequence[Generator]
) -> list[Sample]:
    """Both figures of each endpoint that is known, with those of `runs` by endpoint; none where nothing is known."""
    return [
        _sample(name, figure, known, _judged_ms(runs[name], figure), runs[name][0].target_ms, generators)
        for name, figure in _known_figures(known)
        if name in runs
    ]


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
    found = changes(samples, Look(runs, runs))
    return max((one.mde for one in found if isinstance(one, Change) and one.figure == "p95"), default=None)


def _known_figures(known: Known) -> Iterator[tuple[str, str]]:
    if known.baseline is not None and known.noise is not None:
        yield from product((name for name in known.baseline.endpoints if name in known.noise.endpoints), _FIGURES)


def _sample(
    name: str, figure: str, known: Known, new: Floats, limit_ms: float | None, generators: Sequence[Generator]
) -> Sample:
    assert known.baseline is not None
    assert known.noise is not None
    usual, level = (
        np.array(getattr(one.endpoints[name].per_run, f"{figure}_ms"), np.float64)
        for one in (known.noise, known.baseline)
    )
    of_ms = _level_ms(known, name, figure)
    least = least_that_matters(name, figure, of_ms, limit_ms, generators) if of_ms else Least()
    return Sample(name, figure, usual, new, least, None if known.noise is known.baseline else level, known.name)


def _level_ms(known: Known, name: str, figure: str) -> float | None:
    assert known.baseline is not None
    found: float | None = getattr(known.baseline.endpoints[name], f"{figure}_ms")
    return found


def _judged_ms(some: Sequence[EndpointSummary], figure: str) -> Floats:
    return np.array([getattr(row, f"judged_{figure}_ms") for row in some], np.float64)
