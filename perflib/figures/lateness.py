"""Lateness: what the load generator itself did to a run by the kernel's clock, read off the rows of its workers. Pure.

By that clock an answer ends when it reaches this machine, so a busy generator adds nothing to it by reading late. What
it can still do is offer less than the scenario asks, and send a request later than its row says.
Rows are as spooled, each worker's in the order in which they were recorded: a user's own follow each other.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflib.spec import ERROR_KINDS, Closed, Facts, Ramp, Target
from perflib.spec.presence import PAUSE_AFTER_CONNECT_ERROR_NS, Span, spans
from perflib.spec.run import MAX_LAG_MS, OwnError, Part
from perflib.spec.whole import PAGE_CONNECTIONS, Item, Journey
from perflib.stats import Floats
from perflib.stats.percentile import percentile

Rows = Sequence[NDArray[np.void]]
Moments = NDArray[np.int64]

_PAUSING = [ERROR_KINDS.index(kind) for kind in ("connect", "generator")]
_NEVER = np.iinfo(np.int64).max // 2
_LONG_SEND_NS, _LONG_SEND_SHARE, _TIMES_USUAL = 50_000, 0.01, 3.0
"""A send that took longer than both, and than so many times what a worker's sends usually take, was preempted: the
request may have left at any moment within. What all sends take is how this machine sends."""
_COPIED_PER_NS = 1.0
"""Bytes of a body that the kernel takes in, at the least."""
_PERCENTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True)
class Gaps:
    """Time in which virtual users waited for the load generator to send their next request, in the measured time."""

    lost_s: float
    present_s: float
    """All their time: lost, waiting for answers, thinking."""
    measured_s: float
    requests: int
    """And pages."""

    @property
    def share(self) -> float:
        return self.lost_s / self.present_s if self.present_s else 0.0

    @property
    def users(self) -> float:
        """So many users did nothing else, on average."""
        return self.lost_s / self.measured_s if self.measured_s else 0.0

    @property
    def mean_ms(self) -> float:
        return 1e3 * self.lost_s / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class _Turns:
    """When a user had nothing more to wait for but the load generator, and when it began again. Shape (rows + 1,)."""

    idle_ns: Moments
    next_ns: Moments


def gaps_of(workers: Rows, facts: Facts) -> Gaps:
    """Of a closed workload: from the end of a user's request or page to its next, without think time and pauses."""
    workload = facts.scenario.workload
    assert isinstance(workload, Closed | Ramp)
    present = spans(workload, facts.scenario.warmup_s, facts.scenario.most_s)
    think_ns = round(workload.think_time_s * 1e9) if isinstance(workload, Closed) else 0
    by_user = _turns(workers, think_ns, facts.target)
    lost_ns = present_ns = requests = 0
    for part in facts.parts:
        for span in present:
            from_ns, to_ns = _window(span, part)
            turns = by_user.get(span.user, _NO_TURNS)
            if facts.state != "finished":  # stopped: no user sends anything more
                to_ns = min(to_ns, int(turns.idle_ns[-1])) if turns.idle_ns[-1] < _NEVER else to_ns
            if to_ns > from_ns:
                idle, begun = turns.idle_ns.clip(from_ns, to_ns), turns.next_ns.clip(from_ns, to_ns)
                lost_ns += int(np.maximum(begun - idle, 0).sum())
                present_ns += to_ns - from_ns
                requests += int(((turns.next_ns >= from_ns) & (turns.next_ns < to_ns)).sum())
    return Gaps(lost_ns / 1e9, present_ns / 1e9, facts.duration_s, requests)


_NO_TURNS = _Turns(np.array([-1]), np.array([_NEVER]))


def _window(span: Span, part: Part) -> tuple[int, int]:
    begin_ns = part.measured_from_ns
    return max(begin_ns, begin_ns + int(span.start_s * 1e9)), min(begin_ns + int(span.end_s * 1e9), part.measured_to_ns)


def _turns(workers: Rows, think_ns: int, target: Target) -> dict[int, _Turns]:
    """By user. One whose request was never answered is not idle, nor is one in a journey with pauses between steps."""
    found: dict[int, _Turns] = {}
    columns = ("user", "start_ns", "end_ns", "page", "error")
    pausing = [index for index, item in enumerate(target.items) if isinstance(item, Journey) and any(item.think_time)]
    for rows in workers:
        own = (rows["start_ns"] >= 0) & _is_turn(rows, target)
        order = _grouped(rows["user"][own])
        user, start_ns, end_ns, page, error = (rows[name][own][order] for name in columns)
        pause_ns = np.where(np.isin(error, _PAUSING), PAUSE_AFTER_CONNECT_ERROR_NS, think_ns)
        idle_ns = np.where(end_ns >= 0, end_ns + pause_ns, _NEVER)
        paused = np.isin(page[1:], pausing) & (page[1:] == page[:-1]) & (user[1:] == user[:-1])
        idle_ns[:-1] = np.where(paused, start_ns[1:], idle_ns[:-1])
        for number in np.unique(user).tolist():
            its = slice(*np.searchsorted(user, [number, number + 1]))
            found[number] = _in_order(start_ns[its], idle_ns[its])
    return found


def _in_order(start_ns: Moments, idle_ns: Moments) -> _Turns:
    """One user's turns. Where a ramp sends it away and back at once, its last request is still under way."""
    if (np.diff(start_ns) < 0).any():
        order = np.argsort(start_ns, kind="stable")
        start_ns, idle_ns = start_ns[order], np.maximum.accumulate(idle_ns[order])
    return _Turns(np.r_[-1, idle_ns], np.r_[start_ns, _NEVER])


def _is_turn(rows: NDArray[np.void], target: Target) -> NDArray[np.bool_]:
    """Requests, pages, and the steps of journeys, whose own rows leave their pauses out."""
    first = target.first_journey
    return ((rows["page"] < 0) & (rows["item"] < first)) | (rows["page"] >= first)


def _grouped(users: NDArray[np.int32]) -> Moments:
    """The order that puts the rows of a user together, each in its place; of 16 bits a stable sort is a fast one."""
    small = users.astype(np.uint16) if users.max(initial=0) < 2**16 and users.min(initial=0) >= 0 else users
    return np.argsort(small, kind="stable")


def late_share(workers: Rows, left_out: int) -> float:
    """The share of an open workload's arrivals that went out more than `MAX_LAG_MS` late.

    Args:
        left_out: bits of `flags` of rows outside the figures.
    """
    sent = late = 0
    for rows in workers:
        own = (rows["start_ns"] >= 0) & (rows["flags"] & left_out == 0)
        sent += int(own.sum())
        late += int((own & (rows["start_ns"] - rows["intended_ns"] > MAX_LAG_MS * 1e6)).sum())
    return late / sent if sent else 0.0


def own_errors(workers: Rows, facts: Facts, lag_ms: float, left_out: int) -> list[OwnError]:
    """What each judged percentile loses without the load generator's own doing, at the most; none where it is nothing.

    Args:
        lag_ms: of the event loop: what is known of an answer whose clock fell back.
        left_out: bits of `flags` of rows outside the figures.
    """
    target = facts.target
    errors = [_errors_ns(rows, target, lag_ms) for rows in workers]
    found = []
    for item in facts.scenario.takes(target):
        index = target.items.index(item)
        took, ours = [np.empty(0)], [np.empty(0)]
        for rows, error_ns in zip(workers, errors, strict=True):
            own = (rows["item"] == index) & (rows["page"] < 0) & (rows["flags"] & left_out == 0)
            good = rows["error"][own] < 0
            took_ns = (rows["end_ns"][own] - rows["intended_ns"][own]).astype(np.float64)
            took.append(np.where(good, took_ns, math.inf))
            ours.append(np.where(good, error_ns[own], 0.0))
        found += _of_percentiles(item, np.concatenate(took), np.concatenate(ours))
    return found


def _of_percentiles(item: Item, took_ns: Floats, error_ns: Floats) -> list[OwnError]:
    if not error_ns.any():
        return []
    found, without_ns = [], took_ns - np.minimum(error_ns, took_ns)
    of_p99_ms = item.target_p99_ms or item.target_ms
    for word, q in _PERCENTILES:
        of_ns, less_ns = percentile(took_ns, q), percentile(without_ns, q)
        if of_ns is not None and less_ns is not None and math.isfinite(of_ns):
            ms, limit_ms = (of_ns - less_ns) / 1e6, of_p99_ms if word == "p99" else item.target_ms
            found.append(OwnError(endpoint=item.name, percentile=word, ms=ms, of_ms=of_ns / 1e6, limit_ms=limit_ms))
    return found


def _errors_ns(rows: NDArray[np.void], target: Target, lag_ms: float) -> Moments:
    """By how much each answer's time may be too long at the most. Shape (rows,)."""
    took_ns = rows["end_ns"] - rows["intended_ns"]
    late_ns = np.maximum(rows["start_ns"] - rows["intended_ns"], 0)
    least_ns = max(_LONG_SEND_NS, _TIMES_USUAL * _usual_send_ns(rows))
    long_ns = np.maximum(least_ns + _copied_ns(target)[rows["item"]], _LONG_SEND_SHARE * took_ns)
    sending_ns = np.where(rows["send_ns"] > long_ns, rows["send_ns"], 0)
    unread_ns = np.where(rows["read_late_ns"] < 0, round(lag_ms * 1e6), 0)
    whole = rows["item"] >= len(target.endpoints)
    ours = np.where(whole, late_ns, late_ns + sending_ns + unread_ns)
    if whole.any():
        ours[whole] += _of_pages_ns(rows, whole, ours, target)
    answered = (rows["end_ns"] >= 0) & (rows["start_ns"] >= 0)
    return np.where(answered, ours, 0)


def _usual_send_ns(rows: NDArray[np.void]) -> float:
    """The median over what was sent; 0 for nothing."""
    sent_ns = rows["send_ns"][(rows["start_ns"] >= 0) & (rows["send_ns"] > 0)]
    return float(np.median(sent_ns)) if len(sent_ns) else 0.0


def _copied_ns(target: Target) -> Moments:
    """How long the kernel may take to copy the body of each endpoint's request, at the most. Shape (items,)."""
    sizes = [0 if one.body is None else len(json.dumps(one.body)) for one in target.endpoints]
    return np.array([*(round(size / _COPIED_PER_NS) for size in sizes), *(0 for _ in target.wholes)])


def _of_pages_ns(rows: NDArray[np.void], whole: NDArray[np.bool_], ours: Moments, target: Target) -> Moments:
    """The same of pages, in the order of their rows: the worst part's own, and each later turn read and sent late.

    A page's parts are recorded before it. Of a journey it is that of all its steps.
    """
    some = np.flatnonzero(whole | (rows["page"] >= 0))
    some = some[_grouped(rows["user"][some])]
    ends = np.flatnonzero(whole[some])
    some = some[: ends[-1] + 1]
    begins = np.r_[0, ends[:-1] + 1]
    parts = ~whole[some]
    worst = np.maximum.reduceat(np.where(parts, ours[some], 0), begins)
    read_late = np.maximum.reduceat(np.where(parts, rows["read_late_ns"][some], 0), begins)
    turns = np.array([math.ceil(len(one.loads) / PAGE_CONNECTIONS) for one in target.wholes])
    page = rows["item"][some][ends] - len(target.endpoints)
    summed = np.add.reduceat(np.where(parts, ours[some], 0), begins)
    of_pages = worst + (turns[page] - 1) * np.maximum(read_late, 0)
    total: Moments = np.where(page < len(target.pages), of_pages, summed)
    return total[np.argsort(some[ends])]
