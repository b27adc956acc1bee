"""Follow: the progress of a run that any process drives, read off what its workers have spooled."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from perflib.figures.failures import Failure, evidence_of
from perflib.figures.under_way import users_now
from perflib.spec import ERROR_KINDS, Facts
from perflib.stats.histogram import LogHistogram
from perflib.store.failures import FAILURE_SPOOLS, spooled
from perflib.store.runs import RunFolder
from perflib.store.spool import GENERATOR_ROW, generator_spool, read_spool, requests_spool
from perflib.text.failures import failure_lines
from perflib.workbook.live.so_far import EndpointSoFar, SoFar, supported

Rows = NDArray[np.void]


@dataclass(frozen=True)
class Progress:
    """One second of a run, as it goes. `p50_ms` and `p95_ms` are of that second, the others so far."""

    elapsed_s: float
    planned_s: float
    doing: str
    users: int
    """As the workload has them; of an open one the connections used in this second."""
    requests: int
    errors: int
    rate_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    so_far_p50_ms: float | None
    so_far_p95_ms: float | None
    why: str = ""
    """Of the endpoint with the most failures: which, how often, since when, and why; empty where none failed."""
    endpoints: tuple[EndpointSoFar, ...] = ()
    """Of the newest second alone."""


class Follower:
    """Reads the seconds of a run as they are spooled; all its workers together."""

    def __init__(self, folder: RunFolder) -> None:
        self._path, self._facts = folder.path, folder.read_facts()
        self._so_far, self._errors, self._taken = LogHistogram(), 0, 0
        self._endpoints = SoFar(self._facts.target)
        self._failed: dict[tuple[int, int, int], _Failed] = {}

    def news(self) -> list[Progress]:
        """The seconds since the last call, oldest first."""
        workers = range(self._facts.workers)
        try:  # health first: a worker flushes its requests before it
            health = [read_spool(generator_spool(self._path, worker), GENERATOR_ROW) for worker in workers]
            requests = [read_spool(requests_spool(self._path, worker)) for worker in workers]
        except FileNotFoundError:  # sealed just now
            return []
        seconds = range(self._taken, min(map(len, health)))
        self._taken = max(self._taken, seconds.stop)
        news = [self._second(second, health, requests) for second in seconds]
        whole = [replace(last, why=self._why(), endpoints=self._endpoints.endpoints()) for last in news[-1:]]
        return [*news[:-1], *whole]

    def _second(self, second: int, health: list[Rows], requests: list[Rows]) -> Progress:
        ends = [(int(rows["requests"][second]), int(rows["t_ns"][second])) for rows in health]
        begins = [(int(rows["requests"][second - 1]), int(rows["t_ns"][second - 1])) for rows in health]
        begins = begins if second else [(0, 0)] * len(health)
        spans = list(zip(begins, ends, strict=True))
        rows = np.concatenate([own[before[0] : now[0]] for own, (before, now) in zip(requests, spans, strict=True)])
        good = rows[rows["error"] < 0]
        self._count_failures(rows[(rows["error"] >= 0) & (rows["item"] < len(self._facts.target.endpoints))])
        times_ms = LogHistogram()
        times_ms.add_all((good["end_ns"] - good["start_ns"]) / 1e6)
        self._so_far.add_bins(times_ms.bins())
        self._errors += len(rows) - len(good)
        self._endpoints.add(rows, max((now[1] - before[1]) / 1e9 for before, now in spans))
        elapsed_s = max(at_ns for _, at_ns in ends) / 1e9
        return Progress(
            elapsed_s=elapsed_s,
            planned_s=planned_s(self._facts),
            doing=_doing(self._facts, rows),
            users=users_now(self._facts.scenario, rows["user"], elapsed_s),
            requests=sum(count for count, _ in ends),
            errors=self._errors,
            rate_per_s=sum((now[0] - before[0]) / (now[1] - before[1]) * 1e9 for before, now in spans),
            p50_ms=supported(times_ms, 0.50),
            p95_ms=supported(times_ms, 0.95),
            so_far_p50_ms=supported(self._so_far, 0.50),
            so_far_p95_ms=supported(self._so_far, 0.95),
        )

    def _count_failures(self, bad: Rows) -> None:
        alike = np.stack([bad[name].astype(np.int64) for name in ("item", "error", "status")], axis=1)
        for kind in np.unique(alike, axis=0).tolist():
            same = bad["intended_ns"][(alike == kind).all(axis=1)]
            before = self._failed.setdefault(tuple(kind), _Failed(0, int(same.min())))
            self._failed[tuple(kind)] = replace(before, count=before.count + len(same))

    def _why(self) -> str:
        if not self._failed:
            return ""
        (item, error, status), failed = max(self._failed.items(), key=lambda one: one[1].count)
        name, kind = self._facts.target.endpoints[item].name, ERROR_KINDS[error]
        samples = spooled(self._path.glob(FAILURE_SPOOLS), self._facts.run_id).to_pandas()
        alike = samples.query("endpoint == @name and kind == @kind and status == @status")
        at_s = failed.first_ns / 1e9
        told = Failure(name, kind, status, failed.count, math.nan, at_s, at_s, **evidence_of(alike))
        return failure_lines([told])[0]


@dataclass(frozen=True)
class _Failed:
    """Requests that failed alike."""

    count: int
    first_ns: int


def planned_s(facts: Facts) -> float:
    """The longest that a run takes, warm-up included, the drain not."""
    scenario = facts.scenario
    return scenario.lasts_s(facts.target)


def _doing(facts: Facts, rows: Rows) -> str:
    if not facts.scenario.isolated or not len(rows):
        return f"{len(facts.scenario.takes(facts.target))} endpoints and pages"
    last = rows[-1]
    return facts.target.items[int(last["page"] if last["page"] >= 0 else last["item"])].name
