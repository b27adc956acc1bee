"""Failures in words: a line per endpoint, and what to do about them. Pure."""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import islice

from perflib.figures.failures import Failure, failures
from perflib.figures.rate_limit import rate_limit
from perflib.figures.summary import EndpointSummary
from perflib.show.numbers import share
from perflib.show.table import one_line
from perflib.spec import Open, Run
from perflib.spec.run import failure_in_words

_NAMED = 3
"""So many kinds of failure are named in a sentence."""
_LINES = 10


def failed_sentence(run: Run, lost: int, scheduled: int) -> str:
    """How many requests failed, most frequent failures first; empty where none did."""
    if not lost:
        return ""
    found = failures(run)
    named = [f"{one.count:,} × {failure_in_words(one.kind, one.status)} from {one.endpoint}" for one in found[:_NAMED]]
    others = sum(one.count for one in found[_NAMED:])
    told = ", ".join([*named, *([f"{others:,} others"] if others else [])])
    limit = rate_limit_phrase(run)
    return f"{lost:,} of {scheduled:,} requests failed: {told}{f'; {limit}' if limit else ''}."


def failure_lines(found: Sequence[Failure]) -> list[str]:
    """A line per endpoint that failed, the one with the most failures first: status, count, since when, and why."""
    by_endpoint: dict[str, list[Failure]] = {}
    for one in found:
        by_endpoint.setdefault(one.endpoint, []).append(one)
    lines = [_line(name, some) for name, some in islice(by_endpoint.items(), _LINES)]
    more = len(by_endpoint) - _LINES
    return [*lines, *([f"{more} more endpoints failed."] if more > 0 else [])]


def _line(endpoint: str, found: Sequence[Failure]) -> str:
    others = sum(one.count for one in found[_NAMED:])
    told = "; ".join([*map(_told, found[:_NAMED]), *([f"{others:,} others"] if others else [])])
    return one_line(f"{endpoint}: {told}")


def _told(one: Failure) -> str:
    """A failure: "403 × 877 since 5 s, text/html, '403 Forbidden'"."""
    what = str(one.status) if one.kind == "status" else one.kind.replace("_", " ")
    why = f": {one.reason}" if one.reason else ""
    if why and one.kind != "status":
        return f"{what} × {one.count:,}{why}"
    since = f"{one.first_s:,.1f}".removesuffix(".0")
    kind, phrase = (f", {one.content_type}" if one.content_type else ""), _phrase(one)
    return f"{what} × {one.count:,} since {since} s{kind}{phrase}{why}"


def _phrase(one: Failure) -> str:
    known = one.kind == "status" and one.status in set(HTTPStatus)
    return f", '{one.status} {HTTPStatus(one.status).phrase}'" if known else ""


def rate_limit_phrase(run: Run) -> str:
    """At which rate the target, or some of its endpoints, began to refuse, and which one to use; empty: at none."""
    limit = rate_limit(run)
    if limit is None:
        return ""
    named, more = ", ".join(limit.endpoints[:_NAMED]), len(limit.endpoints) - _NAMED
    who = f"{named}{f' and {more} more' if more > 0 else ''}" if named else "the target"
    if limit.per_s is None or limit.advised_per_s is None:
        return f"{who} answered nothing but {limit.status}: a limit is used up; wait, then try a lower --rate"
    scenario = "" if isinstance(run.facts.scenario.workload, Open) else " with steady_rate"
    return f"{who} answered at most {limit.per_s:.3g}/s: {limit.status}; try --rate {limit.advised_per_s:g}{scenario}"


def rest(errors: int, requests: int) -> str:
    """Which share the successes are, where more than half of the requests failed: their times are not all there is.

    >>> rest(998, 1000), rest(2, 1000)
    ('0.2 %', '')
    """
    return share((requests - errors) / requests, 2) if errors > requests / 2 else ""


def rest_of(row: EndpointSummary) -> str:
    """The same of an endpoint or page."""
    return rest(row.errors, row.requests)
