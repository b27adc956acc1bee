"""Failures: which requests failed after warm-up, how, and when. Pure."""

from dataclasses import dataclass

from perflib.figures.summary import counted
from perflib.spec import Run


@dataclass(frozen=True)
class Failure:
    """An endpoint's requests on the wire that failed alike; seconds are from the run's start, warm-up included.

    `kind` is one of `perflib.spec.ERROR_KINDS`, `status` that of the HTTP answer (0 where there was none), `share` that
    of the endpoint's requests.
    """

    endpoint: str
    kind: str
    status: int
    count: int
    share: float
    first_s: float
    last_s: float


def failures(run: Run) -> tuple[Failure, ...]:
    """One per endpoint, kind and status, the most frequent first; a page's parts count, page loads do not."""
    wire = run.requests[(run.requests["kind"] == "request") & counted(run.requests)]
    sent, by = wire["endpoint"].value_counts().to_dict(), ["endpoint", "error", "status"]
    found = wire.groupby(by, observed=True, as_index=False)["intended_ns"].agg(["count", "min", "max"])
    return tuple(
        Failure(
            endpoint=str(one["endpoint"]),
            kind=str(one["error"]),
            status=int(one["status"]),
            count=int(one["count"]),
            share=float(one["count"] / sent[one["endpoint"]]),
            first_s=float(one["min"] / 1e9),
            last_s=float(one["max"] / 1e9),
        )
        for one in found.sort_values("count", ascending=False, kind="stable").to_dict("records")
    )
