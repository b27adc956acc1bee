"""Briefs: what a customer's brief asks of a report, line by line. A target file names its brief by `validation`."""

from dataclasses import dataclass
from typing import Literal

Question = Literal["all ran", "recorded", "every p95 recorded", "no 5xx", "no leak", "pages in time"]


@dataclass(frozen=True)
class Criterion:
    """A line of a brief in its own words, the question that it comes to, and the scenarios that answer it."""

    wording: str
    question: Question
    scenarios: tuple[str, ...] = ()
    limit_ms: float | None = None
    """Of "pages in time", judged on p95."""


BRIEFS: dict[str, tuple[Criterion, ...]] = {
    "PS-5.1": (
        Criterion("Baseline recorded for all critical endpoints", "every p95 recorded", ("baseline",)),
        Criterion("Load test script runs successfully", "all ran"),
        Criterion("50 concurrent requests/sec sustained for 2 minutes without 5xx errors", "no 5xx", ("steady_rate",)),
        Criterion("No memory leaks detected over 30-minute sustained test", "no leak", ("sustained",)),
        Criterion(
            "Dashboard home loads in <1 second under light load", "pages in time", ("light_load",), limit_ms=1000.0
        ),
        Criterion("Performance baselines documented", "recorded", ("baseline", "light_load")),
    )
}
"""The criteria of a brief, in its order, by its name."""


def check_brief(name: str) -> str:
    """The name of a known brief, or "" for none. Raises ValueError that names those known."""
    if name and name not in BRIEFS:
        raise ValueError(f"not a brief that perflib knows; write {' or '.join(BRIEFS)}, or remove the line")
    return name
