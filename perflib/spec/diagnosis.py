"""The diagnosis: why a target is slow, as experiments on it, or a stored run, tell it.

Intervals are of 95 %. Times are milliseconds, rates are requests per second; None: not measured, or not known.
"""

from typing import Any, Literal

from pydantic import Field

from perflib.spec.values import Spec

Kind = (
    Literal["cpu", "wait", "transfer", "blocks", "lock", "limit", "stall", "saturated", "queue"]
    | Literal["cold", "errors", "rate_limited", "connect", "level_change"]
)
Limit = Literal["cpu", "limit", "blocks", "lock", "unknown"]
MOST_FINDINGS = 7


class Interval(Spec):
    """From `low` to `high`."""

    low: float
    high: float


class Finding(Spec):
    """One cause, in a sentence that claims no more than was shown."""

    kind: Kind
    endpoint: str | None
    """None: the whole target."""
    others: tuple[str, ...] = ()
    """Endpoints that it holds up, or that share what it waits for."""
    where: str | None = None
    """In the code: ``planted.py:13 fetch_rates``."""
    effect: float
    """The share of the endpoint's time, or of the whole mix's where there is no endpoint, that it accounts for."""
    confidence: float
    """That the kind is right, as far as the repeated measurements agree: 0 to 1."""
    says: str
    next: str
    """What to look at now."""


class Anatomy(Spec):
    """Where the time of an endpoint goes, alone and in a crowd. Medians per request; parts add up to the whole."""

    endpoint: str
    alone_p50_ms: float | None = None
    alone_interval_ms: Interval | None = None
    cpu_ms: float | None = None
    """CPU time of the target's processes a request, alone, less what they use when idle."""
    queue_ms: float | None = None
    """Ready to run, without a core: the machine's doing, not the target's."""
    waiting_ms: float | None = None
    """Until the first byte, neither computing nor ready to run: database, lock, sleep, another service."""
    receiving_ms: float | None = None
    connect_ms: float | None = None
    users: int = 0
    """Of the crowd."""
    crowd_p50_ms: float | None = None
    crowd_cpu_ms: float | None = None
    crowd_waiting_ms: float | None = None
    crowd_receiving_ms: float | None = None
    at_once: float | None = None
    """How many requests of the crowd were truly served at once: throughput times the time of one alone (Little)."""
    at_once_interval: Interval | None = None
    cores_used: float | None = None
    """By the target in the crowd."""
    requests: int = 0
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """Of the figures above by their names, such as ``cpu_ms``; none where too few blocks were measured."""


class Interference(Spec):
    """What a crowd on one endpoint does to another: the victim's p50 beside it over its p50 alone."""

    victim: str
    aggressor: str
    ratio: float
    interval: tuple[float, float]
    added_ms: float | None = None


class Probe(Spec):
    """One try of the search for the ceiling: whether every limit held at this rate."""

    rate_per_s: float
    met: bool
    worst: float
    """The largest p95 over its limit: above 1 is a miss."""
    duration_s: float


class UslPoint(Spec):
    """What so many users got through."""

    users: float
    throughput_per_s: float


class Usl(Spec):
    """Gunther's Universal Scalability Law, fitted: X(N) = rate N / (1 + contention (N - 1) + coherency N (N - 1))."""

    rate_per_s: float
    """Of one user."""
    contention: float
    coherency: float
    peak_users: float | None
    """Where throughput is highest; None: it never falls."""
    points: tuple[UslPoint, ...]


class Ceiling(Spec):
    """The highest rate at which every limit still holds."""

    rate_per_s: float
    interval: tuple[float, float]
    limited_by: Limit
    probes: tuple[Probe, ...] = ()
    usl: Usl | None = None
    cpu_bound_per_s: float | None = None
    """No more is possible by the utilization law: usable cores over mean CPU per request."""
    told: str = ""
    """What is not known of it, and why."""


class CodeShare(Spec):
    """How much of the samples of an endpoint's crowd block stood in a function of the target's own."""

    endpoint: str
    function: str
    file: str
    line: int
    share: float


class Stack(Spec):
    """Samples that were seen in one call stack; frames from the outermost, each ``function (file:line)``."""

    endpoint: str
    frames: tuple[str, ...]
    samples: int


class Stall(Spec):
    """A stretch in which nothing was answered though endpoints of all kinds were asked."""

    at_s: float
    """From the beginning of the run, or of the experiments."""
    lasted_s: float


class Slow(Spec):
    """One of the slowest requests, and what was under way when it began."""

    endpoint: str
    run_id: str
    at_s: float
    ms: float
    waiting_ms: float
    receiving_ms: float
    connect_ms: float
    under_way: dict[str, int]


class WhatIf(Spec):
    """The mix again without one endpoint: the others' p95 before and after. A cause, not a correlation."""

    without: str
    before_p95_ms: float
    after_p95_ms: float
    ratio_interval: tuple[float, float]
    """Of after over before."""


class Change(Spec):
    """What differs between two sides of a diagnosis."""

    endpoint: str | None
    what: Literal["cpu_ms", "waiting_ms", "receiving_ms", "at_once", "interference", "code", "p50_ms"]
    before: float | None
    after: float | None
    interval: tuple[float, float] | None = None
    """Of after less before, in their unit."""
    says: str


class Diagnosis(Spec):
    """Why a target is slow: what was found, and what it was found by."""

    diagnosis_id: str
    target: str
    run_ids: tuple[str, ...]
    live: bool
    """Experiments were made; else a stored run was looked at."""
    budget_s: float | None
    valid: bool = True
    interrupted: bool = False
    invalid_reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    endpoints: tuple[Anatomy, ...] = ()
    interference: tuple[Interference, ...] = ()
    ceiling: Ceiling | None = None
    code: tuple[CodeShare, ...] = ()
    stacks: tuple[Stack, ...] = ()
    stalls: tuple[Stall, ...] = ()
    span_s: float = 0.0
    """How long was measured, for the time line of stalls."""
    slowest: tuple[Slow, ...] = ()
    what_if: tuple[WhatIf, ...] = ()
    against: str | None = None
    """The run or URL that it was compared with."""
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out, and why; what was sent; what attaching a profiler cost. A sentence each."""

    def as_json(self) -> dict[str, Any]:
        """What `perflib why --json` prints."""
        return self.model_dump(mode="json", exclude={"stacks"})
