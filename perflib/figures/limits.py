"""Limits: the bounds of an endpoint or page, and what was judged against each. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from perflib.show.numbers import Limited

AT_LEAST = "at least"
"""Says that a percentile is no smaller than its bound."""
_FIGURES = (AT_LEAST, "p95", "p99")


@dataclass(frozen=True)
class Limit:
    """A bound: of p95 or p99 in ms, or of the share of requests that may fail.

    `found` is what was judged, None where nothing could be: the percentile, or, `by`, one that it is no smaller than,
    where it lacks requests: a smaller percentile, or the bound of p95. `meets` None: too few requests.
    """

    of: str
    """"p95", "p99" or "failed"."""
    bound: float
    by: str
    found: float | None
    meets: bool | None


def limits_of(
    item: Limited, judged_ms: Sequence[float | None], error_share: float | None, unanswered: int
) -> tuple[Limit, ...]:
    """The limits of an endpoint or page.

    Args:
        judged_ms: the bound of a p95 that lacks requests, p95 and p99, each failed request as infinitely slow.
        error_share: None where nothing was asked.
        unanswered: requests that were under way all through: they miss a limit of time.
    """
    found = []
    for count, bound_ms in ((2, item.target_ms), (3, item.target_p99_ms)):
        if bound_ms is not None:
            figures = list(zip(_FIGURES, judged_ms, strict=True))[:count]
            known = [(by, value_ms) for by, value_ms in figures if value_ms is not None]
            missed = [one for one in known if one[1] >= bound_ms]
            by, least_ms = (missed or known or figures)[-1]
            found.append(Limit(figures[-1][0], bound_ms, by, least_ms, meets(bound_ms, judged_ms[:count], unanswered)))
    if item.max_errors is not None:
        met = None if error_share is None else error_share <= item.max_errors
        found.append(Limit("failed", item.max_errors, "failed", error_share, met))
    return tuple(found)


def meets(limit_ms: float | None, judged_ms: Sequence[float | None], unanswered: int) -> bool | None:
    """Whether a judged percentile meets a limit; None: no limit, or too few requests.

    Args:
        judged_ms: the percentile, after what it is no smaller than where it lacks requests.
    """
    if limit_ms is None:
        return None
    if unanswered or any(value_ms is not None and value_ms >= limit_ms for value_ms in judged_ms):
        return False
    return None if judged_ms[-1] is None else True


def all_met(limits: Iterable[Limit]) -> bool | None:
    """Whether all limits are met; None: there is none, or too few requests for one of them."""
    met = [one.meets for one in limits]
    return False if False in met else None if None in met or not met else True
