"""The figures of a run: a row per endpoint or page, as figures.parquet and the history hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRow:
    """What a run was, and the figures of one of its endpoints or pages.

    None: too few successes for the figure; `judged_p95_ms` is infinite where failures reach it. `*_low_ms` to
    `*_high_ms` hold the percentile with 95 % confidence, failures counted as infinite (see
    `stats.bootstrap.intervals`); None for a run below 50 s, which is too short for them.
    `p95_at_least_ms`: where `p95_ms` lacks successes, what the judged p95 is not below, with 95 % confidence (see
    `stats.percentile.at_least`); None where p95 is known, or below five requests.
    """

    run_id: str
    scenario: str
    profile: str
    target: str
    workload: str
    """The load in words, for people."""
    environment: str
    started_at: datetime
    duration_s: float
    state: str
    valid: bool
    git_commit: str | None
    revision: str
    """Of the target, or the commit of the sample dashboard; empty: not known."""
    brief: str
    note: str
    cpu: str
    cores: int
    os: str
    endpoint: str
    kind: str
    requests: int
    errors: int
    judged_errors: int
    """Without those that say nothing of the target."""
    unanswered: int
    """Requests that were unanswered all through the run: see `EndpointSummary`."""
    p50_ms: float | None
    p50_low_ms: float | None = None
    p50_high_ms: float | None = None
    p95_ms: float | None
    p95_low_ms: float | None = None
    p95_high_ms: float | None = None
    p95_at_least_ms: float | None = None
    p99_ms: float | None
    max_ms: float | None
    judged_p95_ms: float | None
    target_ms: float | None
    meets_target: bool | None
    setup: str
    """The hash of the run's setup: runs of one hash are alike."""
    waited_per_ran: float | None = None
    """The target's wait for a core in this endpoint's part of the run, see `figures.spent.Effort`; None: not known."""
    cpu_ms_per_request: float | None = None
    """The target's CPU per request: of the endpoint where it had a part of the run for itself, else of all together."""
