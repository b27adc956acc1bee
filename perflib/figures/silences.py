"""Silences: stretches in which several requests waited and none was answered, too long to be chance. Pure."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflib.figures.under_way import Moments, UnderWay, on_the_wire
from perflib.spec import Run

_WAITING = 3
"""Fewer requests than so many may all be slow at the same time."""
_SEED, _MOST_ORDERS, _FEWEST_ORDERS, _MOST_ROWS = 7, 60, 20, 6_000_000
_LONGER = 1.25
_RANKS = (1, 4)
_LEAST_NS = 15_000_000


@dataclass(frozen=True)
class Silence:
    """From when the third request waited until the next answer, whose endpoint is `first`; from the run's start."""

    at_ns: int
    lasted_ns: int
    under_way: dict[str, int]
    """At its end, by endpoint."""
    first: str


def silences(run: Run) -> tuple[Silence, ...]:
    """Those longer than any that the same requests would have if each took the time of another of its endpoint.

    That order, drawn some 60 times, keeps how long an endpoint takes, and loses what its requests have in common with
    those of others at that moment. Silences are told where the longest, or the fourth longest, is longer than that of
    every order: a run without stalls has some with a chance of at most 2 in 60 (2 in 20, if it has very many rows).
    """
    sent = on_the_wire(run)
    answered = sent[sent["end_ns"] >= 0]
    start_ns, took_ns = answered["start_ns"].to_numpy(), (answered["end_ns"] - answered["start_ns"]).to_numpy()
    if len(answered) < 10 * _WAITING:
        return ()
    by_chance_ns = _by_chance(start_ns, took_ns, answered["endpoint"].cat.codes.to_numpy())
    at_ns, lasted_ns = _silent(start_ns, start_ns + took_ns)
    usable = _measured(run, at_ns) & ~_own(run, at_ns, at_ns + lasted_ns)
    over = [
        (usable & (lasted_ns > max(_LEAST_NS, _LONGER * ns)), rank)
        for ns, rank in zip(by_chance_ns, _RANKS, strict=True)
    ]
    some = [places for places, rank in over if places.sum() >= rank]
    long = np.flatnonzero(np.any(some, axis=0)) if some else np.empty(0, np.int64)
    under_way, ends = UnderWay.of(sent), answered.sort_values("end_ns", kind="stable")
    return tuple(_silence(int(at_ns[one]), int(lasted_ns[one]), under_way, ends) for one in long)


def _silence(at_ns: int, lasted_ns: int, under_way: UnderWay, ends: pd.DataFrame) -> Silence:
    over_ns = at_ns + lasted_ns
    first = ends["endpoint"].iloc[int(np.searchsorted(ends["end_ns"].to_numpy(), over_ns))]
    return Silence(at_ns, lasted_ns, under_way.names_at(over_ns - 1), str(first))


def _silent(start_ns: Moments, end_ns: Moments) -> tuple[Moments, Moments]:
    """When each silence began, and how long it lasted; `start_ns` ascending."""
    ends = np.sort(end_ns)
    begun = np.searchsorted(start_ns, ends[:-1], "right")
    missing = _WAITING - (begun - np.arange(1, len(ends)))
    third = np.append(start_ns, ends[-1])[np.minimum(begun + missing - 1, len(start_ns)).clip(0)]
    at_ns = np.where(missing > 0, third, ends[:-1])
    return at_ns, (ends[1:] - at_ns).clip(0)


def _by_chance(start_ns: Moments, took_ns: Moments, endpoint: NDArray[np.integer]) -> Moments:
    """The longest silence of each rank that any of the orders has. Shape (ranks,)."""
    rng, by_endpoint = np.random.default_rng(_SEED), np.argsort(endpoint, kind="stable")
    orders = max(_FEWEST_ORDERS, min(_MOST_ORDERS, _MOST_ROWS // len(start_ns)))
    longest, other_ns = np.zeros(len(_RANKS), np.int64), np.empty_like(took_ns)
    for _ in range(orders):
        other_ns[by_endpoint] = took_ns[np.lexsort((rng.random(len(endpoint)), endpoint))]
        silent_ns = np.sort(_silent(start_ns, start_ns + other_ns)[1])
        longest = np.maximum(longest, silent_ns[[-rank for rank in _RANKS]])
    return longest


def _measured(run: Run, at_ns: Moments) -> NDArray[np.bool_]:
    within = [(part.measured_from_ns <= at_ns) & (at_ns < part.measured_to_ns) for part in run.facts.parts]
    return np.any(within, axis=0) if within else np.zeros(len(at_ns), bool)


def _own(run: Run, from_ns: Moments, to_ns: Moments) -> NDArray[np.bool_]:
    """Whether the load generator itself stood still meanwhile."""
    stills = run.facts.generator.standstills
    touched = [(1e9 * one.at_s < to_ns) & (from_ns < 1e9 * (one.at_s + one.lasted_s)) for one in stills]
    return np.any(touched, axis=0) if touched else np.zeros(len(from_ns), bool)
