"""Summary: a run's figures by endpoint and page. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from perflib.stats.percentile import percentile

if TYPE_CHECKING:
    from perflib.model import Run

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Accounting:
    """Requests on the wire after warm-up: scheduled = completed + failed + dropped + in_flight."""

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

    `p*_ms` are of warm successes; `judged_p95_ms` counts a failure as infinitely slow, and is what `meets_target`
    compares. None: the sample cannot support the figure.
    """

    endpoint: str
    kind: str
    requests: int
    errors: int
    errors_by_kind: dict[str, int]
    rate_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    service_p50_ms: float | None
    service_p95_ms: float | None
    judged_p95_ms: float | None
    target_ms: float | None
    meets_target: bool | None
    first_ms: float | None
    """The very first answer of the run, warm-up included: what a first visitor waits."""
    cold: Cold


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

    def frame(self) -> pd.DataFrame:
        """One row an endpoint or page, columns as in `EndpointSummary`."""
        return pd.DataFrame([asdict(row) for row in self.endpoints]).set_index("endpoint")


def measured(run: Run) -> pd.DataFrame:
    """The rows after warm-up, with `response_ms` (from the intended start) and `service_ms`; NaN if never answered."""
    rows = run.requests[~run.requests["warmup"]]
    answered = rows["end_ns"] >= 0
    return rows.assign(
        response_ms=((rows["end_ns"] - rows["intended_ns"]) / _NS_PER_MS).where(answered),
        service_ms=((rows["end_ns"] - rows["start_ns"]) / _NS_PER_MS).where(answered & (rows["start_ns"] >= 0)),
    )


def summarize(run: Run) -> Summary:
    """All figures of a run."""
    rows = measured(run)
    requests = _account(rows[rows["kind"] == "request"])
    duration_s = run.facts.duration_s
    return Summary(
        run_id=run.facts.run_id,
        duration_s=duration_s,
        throughput_per_s=requests.completed / duration_s if duration_s else 0.0,
        requests=requests,
        server_errors=int(((rows["kind"] == "request") & (rows["status"] >= 500)).sum()),
        endpoints=tuple(
            _summarize_item(run, rows, item.name, "page" if item in run.facts.target.pages else "request")
            for item in run.facts.scenario.takes(run.facts.target)
        ),
    )


def _account(rows: pd.DataFrame) -> Accounting:
    errors = rows["error"].value_counts()
    dropped, in_flight = int(errors.get("dropped", 0)), int(errors.get("in_flight", 0))
    return Accounting(
        scheduled=len(rows),
        completed=int(rows["error"].isna().sum()),
        failed=int(errors.sum()) - dropped - in_flight,
        dropped=dropped,
        in_flight=in_flight,
    )


def _summarize_item(run: Run, measured_rows: pd.DataFrame, name: str, kind: str) -> EndpointSummary:
    everything = run.requests[(run.requests["endpoint"] == name) & run.requests["page"].isna()]
    rows = measured_rows[(measured_rows["endpoint"] == name) & measured_rows["page"].isna()]
    good = rows["error"].isna()
    warm = rows[~rows["cold"]]
    times = warm.loc[warm["error"].isna(), ["response_ms", "service_ms"]]
    response, service = times["response_ms"].to_numpy(), times["service_ms"].to_numpy()
    target_ms = next(item.target_ms for item in run.facts.target.items if item.name == name)
    judged = percentile(judged_ms(warm), 0.95)
    return EndpointSummary(
        endpoint=name,
        kind=kind,
        requests=len(rows),
        errors=int((~good).sum()),
        errors_by_kind={str(k): int(n) for k, n in rows["error"].value_counts().items() if n},
        rate_per_s=len(rows) / duration if (duration := _duration_s(run, name)) else 0.0,
        p50_ms=percentile(response, 0.50),
        p95_ms=percentile(response, 0.95),
        p99_ms=percentile(response, 0.99),
        max_ms=_largest(response),
        service_p50_ms=percentile(service, 0.50),
        service_p95_ms=percentile(service, 0.95),
        judged_p95_ms=judged,
        target_ms=target_ms,
        meets_target=None if target_ms is None or judged is None else judged < target_ms,
        first_ms=_first_ms(everything),
        cold=_cold(rows[rows["cold"] & good]),
    )


def judged_ms(rows: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Response times with every failed or dropped request as infinitely slow: failing never makes a figure better."""
    return rows["response_ms"].where(rows["error"].isna(), math.inf).to_numpy(dtype=np.float64)


def _cold(answers: pd.DataFrame) -> Cold:
    times = answers["response_ms"].to_numpy()
    return Cold(len(times), percentile(times, 0.50), _largest(times))


def _first_ms(rows: pd.DataFrame) -> float | None:
    good = rows[rows["error"].isna()]
    if good.empty:
        return None
    took_ns = (good["end_ns"] - good["intended_ns"]).to_numpy()
    return float(took_ns[good["start_ns"].to_numpy().argmin()]) / _NS_PER_MS


def _largest(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    return float(values.max()) if len(values) else None


def _duration_s(run: Run, name: str) -> float:
    return sum(part.duration_s for part in run.facts.parts if name in part.items)


def as_json(run: Run, summary: Summary) -> dict[str, Any]:
    """The object that `perflib run --json` prints, without its memory."""
    facts = run.facts
    return {
        "run_id": facts.run_id,
        "scenario": facts.scenario.name,
        "profile": facts.profile,
        "valid": facts.valid,
        "invalid_reasons": list(facts.invalid_reasons),
        "interrupted": facts.interrupted,
        "workload": facts.scenario.workload.model_dump(mode="json"),
        "duration_s": summary.duration_s,
        "throughput_per_s": summary.throughput_per_s,
        "requests": asdict(summary.requests),
        "generator": facts.generator.as_json(),
        "endpoints": [
            {key: None if value == math.inf else value for key, value in asdict(row).items()}
            for row in summary.endpoints
        ],
    }
