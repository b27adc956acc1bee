"""Summary: a run's figures by endpoint and page. Pure."""

import math
import weakref
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perflib.figures.limits import Limit, all_met, limits_of
from perflib.show.numbers import INSUFFICIENT, limit, ms, no_less
from perflib.show.table import Row, Table, numbers, row, words
from perflib.spec import Endpoint, Page, Run
from perflib.spec.run import EXCUSED, Part, asked_alone
from perflib.spec.whole import Item, Journey
from perflib.stats import Floats
from perflib.stats.bootstrap import Series
from perflib.stats.percentile import at_least, percentile

Flags = NDArray[np.bool_]
Moments = NDArray[np.int64]

Phase = Literal["late", "connecting", "waiting", "receiving"]
PHASES: tuple[Phase, ...] = get_args(Phase)

_NS_PER_MS = 1e6
_POOLED = ["kind", "intended_ns", "start_ns", "end_ns", "error", "warmup"]


@dataclass(frozen=True)
class Accounting:
    """Counted requests on the wire (see `counted`): scheduled = completed + failed + dropped + in_flight."""

    scheduled: int
    completed: int
    failed: int
    dropped: int
    in_flight: int


@dataclass(frozen=True)
class Cold:
    """Cold answers, reported apart from the percentiles. None where there were none (or too few for p50)."""

    requests: int
    p50_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class EndpointSummary:
    """One endpoint's requests outside pages, or one page's loads.

    `p*_ms` are of warm successes; `judged_*_ms` count one that failed or was unanswered as infinitely slow, and are
    what limits are held against: see `limits`. None: the sample cannot support it.
    """

    endpoint: str
    kind: str
    requests: int
    errors: int
    errors_by_kind: dict[str, int]
    rate_per_s: float
    throughput_per_s: float
    """Of successes."""
    unanswered: int
    """Requests begun in warm-up that were under way all through the measured window: its limit is missed."""
    unanswered_s: float | None
    """How long the longest of them was under way, as far as it was watched."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    service_p50_ms: float | None
    service_p95_ms: float | None
    waiting_p50_ms: float | None
    """Of an endpoint's warm successes, from the request on the wire to the first byte; connecting is apart."""
    receiving_p50_ms: float | None
    """From the first byte to the last."""
    bytes_p50: float | None
    """Of an answer, its head included."""
    judged_p50_ms: float | None
    judged_p95_ms: float | None
    judged_p99_ms: float | None
    p95_at_least_ms: float | None
    """Where `p95_ms` is None: a bound that p95, failures infinite, is not below (`stats.percentile.at_least`)."""
    target_ms: float | None
    target_p99_ms: float | None
    max_errors: float | None
    meets_target: bool | None
    """Whether all its limits are met."""
    journey: str
    """Whose step this is; empty: of none."""
    first_ms: float | None
    """The very first answer of the run, warm-up included: what a first visitor waits."""
    cold: Cold

    @property
    def judged_errors(self) -> int:
        """Those of the target: what an error share is of."""
        return self.errors - sum(self.errors_by_kind.get(kind, 0) for kind in EXCUSED)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Its limits, and whether each is met."""
        share = self.judged_errors / self.requests if self.requests else None
        judged_ms = self.p95_at_least_ms, self.judged_p95_ms, self.judged_p99_ms
        return limits_of(self, judged_ms, share, self.unanswered)


@dataclass(frozen=True)
class Summary:
    """The figures of a run."""

    run_id: str
    duration_s: float
    throughput_per_s: float
    requests: Accounting
    server_errors: int
    """Answers with a 5xx status."""
    endpoints: tuple[EndpointSummary, ...]
    steps: tuple[EndpointSummary, ...] = ()
    """Of each journey, in its order; a step has no limit of its own there."""

    def frame(self) -> pd.DataFrame:
        """One row per endpoint or page, columns as in `EndpointSummary`."""
        return pd.DataFrame([asdict(row) for row in self.endpoints]).set_index("endpoint")

    def __repr__(self) -> str:
        counts = self.requests
        lost = counts.scheduled - counts.completed
        told = f"{counts.scheduled:,} requests in {self.duration_s:,.0f} s, {lost:,} not completed"
        missed = [row.endpoint for row in self.endpoints if row.meets_target is False]
        return f"<Summary of {self.run_id}: {told}; limits missed: {', '.join(missed) or 'none'}>"

    def _repr_html_(self) -> str:
        figures = numbers("Requests", "Failed", "p50, ms", "p95, ms", "p99, ms", "Max, ms", "Limit, ms")
        columns = (*words("Endpoint"), *figures, *words("Met"))
        return Table(columns, tuple(map(_row, self.endpoints)), f"Summary of {self.run_id}").html()


def _row(one: EndpointSummary) -> Row:
    met = {True: "met", False: "missed", None: "too few requests"}[one.meets_target] if one.limits else ""
    p95 = ms(one.p95_ms, no_less(one.p95_at_least_ms) or INSUFFICIENT)
    times = (ms(one.p50_ms), p95, ms(one.p99_ms), ms(one.max_ms))
    return row(one.endpoint, f"{one.requests:,}", f"{one.errors:,}", *times, limit(one), met)


@dataclass(frozen=True)
class ItemRows:
    """One endpoint's requests outside pages, or one page's loads, warm-up included. Arrays of shape (rows,)."""

    intended_ns: Moments
    start_ns: Moments
    first_byte_ns: Moments
    end_ns: Moments
    connect_ns: Moments
    received_bytes: Moments
    error: pd.Categorical
    counted: Flags
    cold: Flags

    @property
    def good(self) -> Flags:
        """The successes."""
        return np.asarray(self.error.isna())

    @property
    def warm(self) -> Flags:
        """The counted ones, cold answers and excused failures left out: what percentiles are of."""
        return self.counted & ~(self.cold | self.error.isin(list(EXCUSED)))

    @property
    def response_ms(self) -> Floats:
        """From the intended start; NaN if never answered."""
        return np.where(self.end_ns >= 0, (self.end_ns - self.intended_ns) / _NS_PER_MS, np.nan)

    @property
    def service_ms(self) -> Floats:
        """From the actual start; NaN if never answered."""
        answered = (self.end_ns >= 0) & (self.start_ns >= 0)
        return np.where(answered, (self.end_ns - self.start_ns) / _NS_PER_MS, np.nan)

    def phase_ms(self, phase: Phase) -> Floats:
        """How long a phase of each warm success took; together they are its response time. Shape (warm successes,)."""
        own = self.warm & self.good & (self.first_byte_ns >= 0)
        connected_ns = self.start_ns + self.connect_ns
        begin_ns, end_ns = {
            "late": (self.intended_ns, self.start_ns),
            "connecting": (self.start_ns, connected_ns),
            "waiting": (connected_ns, self.first_byte_ns),
            "receiving": (self.first_byte_ns, self.end_ns),
        }[phase]
        return np.asarray((end_ns - begin_ns)[own] / _NS_PER_MS)

    @property
    def warm_bytes(self) -> Floats:
        """The size of each warm success. Shape (warm successes,)."""
        return self.received_bytes[self.warm & self.good].astype(np.float64)

    def through(self, part: Part) -> Flags:
        """Begun in warm-up and under way all through a part's measured time. Shape (rows,)."""
        from_ns, to_ns = part.measured_from_ns, part.measured_to_ns
        begun = (self.start_ns >= 0) & (self.start_ns < from_ns)
        return np.asarray((from_ns < to_ns) & begun & (self._never | (self.end_ns > to_ns)))

    def series(self, part: Part) -> "Series":
        """The judged times: warm, failed and unanswered ones infinite."""
        at_s = (self.intended_ns - part.measured_from_ns).clip(0) / 1e9
        through = self.through(part)
        judged_ms = np.where(self.good & ~through, self.response_ms, math.inf)
        own = self.warm | through
        return Series(at_s[own], judged_ms[own], part.duration_s)

    def unanswered_s(self, part: Part) -> Floats:
        """How long those requests were under way, as far as it was watched. Shape (such,)."""
        over_ns = np.where(self._never, part.measured_to_ns, self.end_ns)
        return np.asarray((over_ns - self.start_ns)[self.through(part)] / 1e9)

    @property
    def _never(self) -> Flags:
        return (self.end_ns < 0) & np.asarray(self.error == "in_flight")

    @cached_property
    def warm_ms(self) -> Floats:
        """Response times of warm successes, ascending. Shape (warm successes,)."""
        return np.sort(self.response_ms[self.warm & self.good])

    @property
    def judged_ms(self) -> Floats:
        """The same, and every warm failed or dropped request as infinitely slow. Shape (warm,)."""
        failures = int((self.warm & ~self.good).sum())
        return np.append(self.warm_ms, np.full(failures, math.inf))


_KEPT: dict[int, dict[str, ItemRows]] = {}
"""By the identity of a run's table, and name; a table is not hashable."""


def item_rows(run: Run, name: str) -> ItemRows:
    """The rows of an endpoint or page, in the order of the run's table; none where it has none.

    Figures and charts share them: they are kept as long as that table, whose values must not change meanwhile.
    """
    table = run.requests
    if id(table) not in _KEPT:
        weakref.finalize(table, _KEPT.pop, id(table))
    kept = _KEPT.setdefault(id(table), {})
    if name not in kept:
        kept[name] = _rows_of(table, (table["endpoint"] == name) & asked_alone(table))
    return kept[name]


def series_of(run: Run, name: str) -> Series | None:
    """An endpoint's or page's judged times: warm, failed and unanswered ones infinite; None where it was not driven."""
    part = _part_of(run, name)
    if part is None:
        return None
    return item_rows(run, name).series(part)


def _part_of(run: Run, name: str) -> Part | None:
    return next((part for part in run.facts.parts if name in part.items), None)


def _rows_of(table: pd.DataFrame, which: "pd.Series[bool]") -> ItemRows:
    own = np.flatnonzero(which)
    same = ("intended_ns", "start_ns", "first_byte_ns", "end_ns", "connect_ns", "cold")
    return ItemRows(
        **{name: table[name].to_numpy()[own] for name in same},
        received_bytes=table["bytes"].to_numpy()[own],
        error=pd.Categorical(table["error"].array[own]),
        counted=counted(table).to_numpy()[own],
    )


def counted(requests: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows figures are of: those begun after warm-up, and those begun in it that failed after it.

    Runs of versions before 0.3 do not know the latter.
    """
    return requests["counted"] if "counted" in requests else ~requests["warmup"]


def unmeasured(run: Run) -> str:
    """Why a run has no figures; empty where it has some."""
    if run.requests.empty:
        return "no request was measured"
    names = (item.name for item in run.facts.scenario.takes(run.facts.target))
    if counted(run.requests).any() or any(len(_unanswered_s(run, name)) for name in names):
        return ""
    return "no request was sent after warm-up; measure longer with --duration"


def _unanswered_s(run: Run, name: str) -> Floats:
    part = _part_of(run, name)
    return np.empty(0) if part is None else item_rows(run, name).unanswered_s(part)


def measured(run: Run) -> pd.DataFrame:
    """The counted rows, with `response_ms` (from the intended start) and `service_ms`; NaN if never answered."""
    return _timed(run.requests[counted(run.requests)])


def pooled(run: Run) -> pd.DataFrame:
    """The requests outside pages, all endpoints together; where a run drives pages alone, the loads of its pages.

    Warm-up included, cold answers and excused failures left out, with the columns that `measured` adds.
    """
    left_out = run.requests["cold"] | run.requests["error"].isin(list(EXCUSED))
    own = run.requests.loc[asked_alone(run.requests) & ~left_out, _POOLED]
    requests = own[own["kind"] == "request"]
    return _timed(own if requests.empty else requests)


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    answered = rows["end_ns"] >= 0
    return rows.assign(
        response_ms=((rows["end_ns"] - rows["intended_ns"]) / _NS_PER_MS).where(answered),
        service_ms=((rows["end_ns"] - rows["start_ns"]) / _NS_PER_MS).where(answered & (rows["start_ns"] >= 0)),
    )


def summarize(run: Run) -> Summary:
    """All figures of a run.

    >>> import perflib
    >>> perflib.summarize(perflib.load_run("sample-28-release-1.4"))
    <Summary of sample-28-release-1.4: 508 requests in 6 s, 0 not completed; limits missed: none>
    """
    wire = (run.requests["kind"] == "request") & counted(run.requests)
    requests = _account(run.requests.loc[wire, "error"])
    duration_s = run.facts.duration_s
    return Summary(
        run_id=run.facts.run_id,
        duration_s=duration_s,
        throughput_per_s=requests.completed / duration_s if duration_s else 0.0,
        requests=requests,
        server_errors=int((wire & (run.requests["status"] >= 500)).sum()),
        endpoints=tuple(_summarize_item(run, item) for item in run.facts.scenario.takes(run.facts.target)),
        steps=tuple(_summarize_step(run, *step) for step in _steps(run)),
    )


def _steps(run: Run) -> list[tuple[Journey, Endpoint]]:
    """The steps of the journeys that were driven, each once."""
    target = run.facts.target
    by_name = {endpoint.name: endpoint for endpoint in target.endpoints}
    driven = [item for item in run.facts.scenario.takes(target) if isinstance(item, Journey)]
    return [(journey, by_name[step]) for journey in driven for step in dict.fromkeys(journey.steps)]


def _summarize_step(run: Run, journey: Journey, step: Endpoint) -> EndpointSummary:
    table = run.requests
    rows = _rows_of(table, (table["journey"] == journey.name) & (table["endpoint"] == step.name))
    free = step.replaced(target_ms=None, target_p99_ms=None, max_errors=None)
    return _summarize(free, "step", rows, _part_of(run, journey.name), journey=journey.name)


def _account(error: "pd.Series[str]") -> Accounting:
    dropped, in_flight = (int((error == fate).sum()) for fate in ("dropped", "in_flight"))
    failed = int(error.notna().sum()) - dropped - in_flight
    return Accounting(len(error), int(error.isna().sum()), failed, dropped, in_flight)


_KIND_OF: dict[type[Item], str] = {Endpoint: "request", Page: "page", Journey: "journey"}


def _summarize_item(run: Run, item: Item) -> EndpointSummary:
    return _summarize(item, _KIND_OF[type(item)], item_rows(run, item.name), _part_of(run, item.name))


def _summarize(item: Item, kind: str, rows: ItemRows, part: Part | None, journey: str = "") -> EndpointSummary:
    good, response_ms = rows.good, rows.response_ms
    unanswered_s = np.empty(0) if part is None else rows.unanswered_s(part)
    failures = pd.Series(rows.error[rows.counted & ~good]).value_counts()
    count, errors = int(rows.counted.sum()), int(failures.sum())
    per_s = 1 / part.duration_s if part and part.duration_s else 0.0
    response, service = rows.warm_ms, rows.service_ms[rows.warm & good]
    phases_ms = [
        np.empty(0) if kind in ("page", "journey") else rows.phase_ms(phase) for phase in ("waiting", "receiving")
    ]
    series = None if part is None else rows.series(part)
    judged_ms = rows.judged_ms if series is None else series.values
    p50_ms, p95_ms, p99_ms = (percentile(judged_ms, q) for q in (0.50, 0.95, 0.99))
    shown_p95_ms = percentile(response, 0.95)
    started_ns = rows.start_ns[good]
    found = EndpointSummary(
        endpoint=item.name,
        kind=kind,
        requests=count,
        errors=errors,
        errors_by_kind={str(kind): int(number) for kind, number in failures.items() if number},
        rate_per_s=count * per_s,
        throughput_per_s=(count - errors) * per_s,
        unanswered=len(unanswered_s),
        unanswered_s=_largest(unanswered_s),
        p50_ms=percentile(response, 0.50),
        p95_ms=shown_p95_ms,
        p99_ms=percentile(response, 0.99),
        max_ms=_largest(response),
        service_p50_ms=percentile(service, 0.50),
        service_p95_ms=percentile(service, 0.95),
        waiting_p50_ms=percentile(phases_ms[0], 0.50),
        receiving_p50_ms=percentile(phases_ms[1], 0.50),
        bytes_p50=percentile(rows.warm_bytes, 0.50),
        judged_p50_ms=p50_ms,
        judged_p95_ms=p95_ms,
        judged_p99_ms=p99_ms,
        p95_at_least_ms=at_least(judged_ms, 0.95) if shown_p95_ms is None else None,
        target_ms=item.target_ms,
        target_p99_ms=item.target_p99_ms,
        max_errors=item.max_errors,
        meets_target=None,
        journey=journey,
        first_ms=float(response_ms[good][started_ns.argmin()]) if len(started_ns) else None,
        cold=_cold(response_ms[rows.counted & rows.cold & good]),
    )
    return replace(found, meets_target=all_met(found.limits))


def judged_ms(rows: pd.DataFrame) -> Floats:
    """Response times with every failed or dropped request as infinitely slow: failing never makes a figure better."""
    return rows["response_ms"].where(rows["error"].isna(), math.inf).to_numpy(dtype=np.float64)


def _cold(answers_ms: Floats) -> Cold:
    return Cold(len(answers_ms), percentile(answers_ms, 0.50), _largest(answers_ms))


def _largest(values: Floats) -> float | None:
    return float(values.max()) if len(values) else None


def as_json(run: Run, summary: Summary) -> dict[str, Any]:
    """The object that `perflib run --json` prints, without its memory."""
    facts = run.facts
    return {
        "run_id": facts.run_id,
        "scenario": facts.scenario.name,
        "profile": facts.profile,
        "revision": facts.version,
        "valid": facts.valid,
        "invalid_reasons": list(facts.invalid_reasons),
        "state": facts.state,
        "interrupted": facts.interrupted,
        "workload": facts.scenario.workload.model_dump(mode="json"),
        "duration_s": summary.duration_s,
        "throughput_per_s": summary.throughput_per_s,
        "requests": asdict(summary.requests),
        "generator": facts.generator.as_json(),
        "endpoints": [_as_json(row) for row in summary.endpoints],
        "steps": [_as_json(row) for row in summary.steps],
    }


def _as_json(row: EndpointSummary) -> dict[str, Any]:
    return {name: None if value == math.inf else value for name, value in asdict(row).items()}
