"""The tally: how many requests of each kind there were, and how long their successes took. Pure."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflib.stats import Floats

SCALE = 3
"""Buckets of a time are 2 ** (2 ** -SCALE), or 9 %, wide (OpenTelemetry's exponential histogram)."""
FIRST, _LAST = -20 * 2**SCALE, 10 * 2**SCALE
"""Bucket i holds the times from 2 ** (i / 2 ** SCALE) seconds on; these are 1 µs and 17 minutes."""


class Series(NamedTuple):
    """What is counted apart: an endpoint by itself, in each page and journey, within warm-up and after it."""

    endpoint: str
    kind: str
    page: str
    journey: str
    counted: bool


class Answered(NamedTuple):
    """How requests ended; no error: a success."""

    status: int
    error: str


@dataclass
class Times:
    """Times in seconds, in buckets."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_LAST - FIRST, np.int64))
    sum_s: float = 0.0
    min_s: float = np.inf
    max_s: float = 0.0

    def add(self, took_s: Floats) -> None:
        """Take in times of shape (n,), one or more."""
        least_s = 2.0 ** (FIRST / 2**SCALE)
        place = np.ceil(np.log2(np.maximum(took_s, least_s)) * 2**SCALE).astype(np.int64) - 1 - FIRST
        self.counts += np.bincount(place.clip(0, len(self.counts) - 1), minlength=len(self.counts))
        self.sum_s += float(took_s.sum())
        self.min_s, self.max_s = min(self.min_s, float(took_s.min())), max(self.max_s, float(took_s.max()))


class Tally:
    """Counts rows of requests, as `Run.requests` has them; loads of pages and journeys are rows too."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[Series, Answered]] = Counter()
        self.times: defaultdict[Series, Times] = defaultdict(Times)
        """Of successes, from the intended start to the last byte."""

    def add(self, rows: pd.DataFrame) -> None:
        alike = [*Series._fields, *Answered._fields]
        for key, same in rows.groupby(alike, observed=True, dropna=False):
            series, answered = Series(*_named(key[:-2])), Answered(*_named(key[-2:]))
            self.requests[series, answered] += len(same)
            if not answered.error:
                self.times[series].add((same["end_ns"] - same["intended_ns"]).to_numpy() / 1e9)


def _named(key: tuple[Any, ...]) -> list[Any]:
    return ["" if pd.isna(one) else one for one in key]
