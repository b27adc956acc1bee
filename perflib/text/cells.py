"""Cells: a figure or a verdict with its tone. Pure."""

import math

from perflib.figures.summary import EndpointSummary
from perflib.judge.check import EndpointVerdict
from perflib.show.numbers import INSUFFICIENT, NOTHING, ms, no_less, seconds, share, size
from perflib.show.table import Cell, Tone
from perflib.stats.percentile import required_count
from perflib.text.failures import rest_of

_TONES: dict[str, Tone] = {"REGRESSION": "bad", "LEAK": "bad", "IMPROVED": "good", "INCONCLUSIVE": "quiet"}


def figure(value_ms: float | None, missing: str = INSUFFICIENT, of: str = "") -> Cell:
    """A time, marked where it is `of` a small share of the requests; where there is none, why."""
    if of and value_ms is not None:
        return Cell(f"{ms(value_ms)} (of {of})", "quiet")
    return Cell(ms(value_ms, missing), "quiet" if value_ms is None else "")


def percentile(of: EndpointSummary, percent: int) -> Cell:
    """A percentile; where the sample is too small for it, how many successes there were of those it needs.

    p95 then has its bound before them.
    """
    value_ms: float | None = getattr(of, f"p{percent}_ms")
    lacking = f"{of.requests - of.errors - of.cold.requests:,} of {required_count(percent / 100)}"
    bound = no_less(of.p95_at_least_ms) if percent == 95 else ""
    return figure(value_ms, f"{bound} ({lacking})" if bound else lacking, rest_of(of))


def phases(of: EndpointSummary) -> list[Cell]:
    """Waiting, receiving and the size of an answer."""
    times = (figure(value_ms, NOTHING) for value_ms in (of.waiting_p50_ms, of.receiving_p50_ms))
    return [*times, Cell(NOTHING, "quiet") if of.bytes_p50 is None else Cell(size(of.bytes_p50))]


def failed(count: int, requests: int) -> Cell:
    """How many requests failed, and which share of all that is."""
    return Cell(f"{count:,} ({share(count / requests, 2)})", "bad") if count else Cell("0")


def met(limited: bool, meets: bool | None, judged: bool = True) -> Cell:
    """Whether all limits were met, where there is one."""
    if not limited:
        return Cell(NOTHING)
    if not judged:
        return Cell("not judged", "quiet")
    if meets is None:
        return Cell("too few requests", "quiet")
    return Cell("✓ met", "good") if meets else Cell("✗ missed", "bad")


def outcome(of: EndpointSummary | EndpointVerdict, judged: bool = True) -> Cell:
    """Whether an endpoint or page met its limit; one without an answer, or never asked, is told as such."""
    if of.unanswered_s is not None:
        return Cell(f"✗ unanswered for {seconds(of.unanswered_s)}", "bad")
    return met(bool(of.limits), of.meets_target, judged) if of.requests else Cell("not asked", "quiet")


def verdict(word: str, before: str = "") -> Cell:
    """A verdict in the colour of what it says, after the figure that it rests on."""
    return Cell(before + word.replace("_", " "), _TONES.get(word, ""))


def against(found: EndpointVerdict | None) -> Cell:
    """How many times its baseline, and the verdict; of p95, or of p50 where that decided."""
    if found is None or found.verdict == "NO_BASELINE":
        return Cell(NOTHING)
    told, p95_ms, before_ms = found.telling, found.p95_ms, found.baseline_p95_ms
    ratio = told.ratio if told else p95_ms / before_ms if p95_ms is not None and before_ms else None
    name = "p50 " if told and told.figure == "p50" else ""
    times = "" if ratio is None else f"{name}{ratio:.2f} × " if math.isfinite(ratio) else f"{name}failed, "
    return verdict(found.verdict, times)
