"""Failures: which requests failed after warm-up, how, and when. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from perflib.figures.summary import counted
from perflib.spec import Run


@dataclass(frozen=True)
class Sample:
    """What a failed answer was: its headers, and the first bytes of its body as text."""

    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Failure:
    """An endpoint's requests on the wire that failed alike; seconds are from the run's start, warm-up included.

    `kind` is one of `perflib.spec.ERROR_KINDS`, `status` that of the HTTP answer (0 where there was none), `share` that
    of the endpoint's requests. `reason` and `content_type` are the commonest ones of the samples; empty: none known.
    """

    endpoint: str
    kind: str
    status: int
    count: int
    share: float
    first_s: float
    last_s: float
    reason: str = ""
    content_type: str = ""
    sample: Sample | None = None
    """The first one; None where none was kept, or nothing was answered."""


def failures(run: Run) -> tuple[Failure, ...]:
    """One per endpoint, kind and status, the most frequent first; a page's parts count, page loads do not.

    Of a run that ended in its warm-up: those of the warm-up.
    """
    rows, by = run.requests, ["endpoint", "error", "status"]
    wire = rows["kind"] == "request"
    measured = wire & counted(rows)
    wire = measured if measured.any() else wire
    failed = wire & rows["error"].notna()
    if not failed.any():
        return ()
    sent = rows.loc[wire, "endpoint"].value_counts().to_dict()
    groups = rows.loc[failed, [*by, "intended_ns"]].groupby(by, observed=True, as_index=False)
    found = groups["intended_ns"].agg(["count", "min", "max"])
    samples = dict(iter(run.failures.groupby(["endpoint", "kind", "status"], observed=True)))
    return tuple(
        Failure(
            endpoint=str(one["endpoint"]),
            kind=str(one["error"]),
            status=int(one["status"]),
            count=int(one["count"]),
            share=float(one["count"] / sent[one["endpoint"]]),
            first_s=float(one["min"] / 1e9),
            last_s=float(one["max"] / 1e9),
            **evidence_of(samples.get((one["endpoint"], one["error"], one["status"]))),
        )
        for one in found.sort_values("count", ascending=False, kind="stable").to_dict("records")
    )


def evidence_of(samples: pd.DataFrame | None) -> dict[str, Any]:
    """What the samples of failures that are alike tell of them: values of `Failure`."""
    if samples is None or samples.empty:
        return {}
    first = samples.iloc[0]
    answered = first["status"] or first["headers"] or first["body"]
    return {
        "reason": str(samples["reason"].mode()[0]),
        "content_type": str(samples["content_type"].mode()[0]).partition(";")[0].strip(),
        "sample": Sample(first["headers"], first["body"]) if answered else None,
    }


def as_json(found: Sequence[Failure]) -> list[dict[str, Any]]:
    """The list `failures` of what `perflib run --json` prints."""
    plain = ("endpoint", "kind", "status", "count", "first_s", "last_s")
    return [
        {name: getattr(one, name) for name in plain} | {"sample": None if one.sample is None else vars(one.sample)}
        for one in found
    ]
