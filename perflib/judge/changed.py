"""What changed between two diagnoses: where an endpoint's time goes, what holds it up, and its code. Pure."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from perflib.show.numbers import ms, share
from perflib.spec.diagnosis import Anatomy, Change, Diagnosis, Interference, Interval

_TIMES, _LEAST_SHARE, _LEAST_ADDED_MS = 1.25, 0.15, 5.0
_LEAST_MS = {"p50_ms": 1.0, "cpu_ms": 0.5, "waiting_ms": 2.0, "receiving_ms": 1.0}
_OF_MANY = ("interference", "code")
"""Told after what changed of an endpoint by itself."""
_NAMES = {"p50_ms": "p50", "cpu_ms": "CPU", "waiting_ms": "waiting", "receiving_ms": "receiving"}


@dataclass(frozen=True)
class _Weighed:
    change: Change
    weight_ms: float


def changed(before: Diagnosis, after: Diagnosis) -> tuple[Change, ...]:
    """What is larger or smaller than noise makes it, the most milliseconds of an endpoint first.

    A time has changed where it is a quarter more or less, and by half a millisecond or more, and where the interval of
    the difference leaves out 0, as far as it is known; what is served at once, and who holds up whom, where the
    intervals lie apart; a function where it has 15 % more of the samples.
    """
    old = {one.endpoint: one for one in before.endpoints}
    some = [
        weighed for new in after.endpoints if new.endpoint in old for weighed in _of_endpoint(old[new.endpoint], new)
    ]
    some += [*_of_interference(before.interference, after.interference), *_of_code(before, after)]
    return tuple(one.change for one in sorted(some, key=lambda one: (one.change.what in _OF_MANY, -one.weight_ms)))


def _of_endpoint(old: Anatomy, new: Anatomy) -> Iterator[_Weighed]:
    what: Literal["p50_ms", "cpu_ms", "waiting_ms", "receiving_ms"]
    for what in ("p50_ms", "cpu_ms", "waiting_ms", "receiving_ms"):
        was, now = _known(old, what), _known(new, what)
        if was is None or now is None or abs(now - was) < _LEAST_MS[what]:
            continue
        less = _less(_span(old, what), _span(new, what), was, now)
        if max(now, was) > _TIMES * min(now, was) and (less is None or less[0] > 0 or less[1] < 0):
            says = f"{new.endpoint}: {_NAMES[what]} {ms(was)} → {ms(now)} ms per request{_told(less)}"
            change = Change(endpoint=new.endpoint, what=what, before=was, after=now, interval=less, says=says)
            yield _Weighed(change, abs(now - was))
    yield from _of_crowd(old, new)


def _known(one: Anatomy, what: str) -> float | None:
    """Alone, or else under the load of the run."""
    value: float | None = getattr(one, _figure(one, what))
    return value


def _span(one: Anatomy, what: str) -> Interval | None:
    return one.intervals.get(_figure(one, what))


def _figure(one: Anatomy, what: str) -> str:
    alone = "alone_p50_ms" if what == "p50_ms" else what
    return f"crowd_{what}" if getattr(one, alone) is None else alone


def _less(old: Interval | None, new: Interval | None, was: float, now: float) -> tuple[float, float] | None:
    """The interval of after less before, by the two of its own (Zou & Donner 2008, Statistics in Medicine 27(10))."""
    if old is None or new is None:
        return None
    low, high = math.hypot(now - new.low, old.high - was), math.hypot(new.high - now, was - old.low)
    return now - was - low, now - was + high


def _told(less: tuple[float, float] | None) -> str:
    if less is None:
        return ""
    low, high = sorted(map(abs, less))
    return f" ({ms(low)} to {ms(high)} ms {'more' if less[0] > 0 else 'less'})"


def _of_crowd(old: Anatomy, new: Anatomy) -> Iterator[_Weighed]:
    was, now = old.at_once_interval, new.at_once_interval
    if was is None or now is None or old.at_once is None or new.at_once is None or old.users != new.users:
        return
    if (now.high < was.low or was.high < now.low) and max(old.at_once, new.at_once) > 2 * min(old.at_once, new.at_once):
        says = f"{new.endpoint}: of {new.users} users {old.at_once:.1f} → {new.at_once:.1f} are served at once"
        less = _less(was, now, old.at_once, new.at_once)
        change = Change(
            endpoint=new.endpoint, what="at_once", before=old.at_once, after=new.at_once, interval=less, says=says
        )
        yield _Weighed(change, abs((new.crowd_p50_ms or 0.0) - (old.crowd_p50_ms or 0.0)))


def _of_interference(old: Iterable[Interference], new: Iterable[Interference]) -> Iterator[_Weighed]:
    known = {(one.victim, one.aggressor): one for one in old}
    for one in new:
        was = known.get((one.victim, one.aggressor))
        more_ms = 0.0 if was is None else abs((one.added_ms or 0.0) - (was.added_ms or 0.0))
        if was is None or max(was.ratio, one.ratio) < 2 * min(was.ratio, one.ratio) or more_ms < _LEAST_ADDED_MS:
            continue
        if one.interval[0] > was.interval[1] or one.interval[1] < was.interval[0]:
            says = f"{one.victim} beside {one.aggressor}: × {was.ratio:.1f} → × {one.ratio:.1f} of its time alone"
            ends = [Interval(low=low, high=high) for low, high in (was.interval, one.interval)]
            less = _less(ends[0], ends[1], was.ratio, one.ratio)
            change = Change(
                endpoint=one.victim, what="interference", before=was.ratio, after=one.ratio, interval=less, says=says
            )
            yield _Weighed(change, more_ms)


def _of_code(before: Diagnosis, after: Diagnosis) -> Iterator[_Weighed]:
    """Functions by name: their lines move."""
    was = {(one.endpoint, one.file, one.function): one.share for one in before.code}
    now = {(one.endpoint, one.file, one.function): one.share for one in after.code}
    sampled = {one.endpoint for one in before.code} & {one.endpoint for one in after.code}
    for key in dict.fromkeys([*now, *was]):
        old, new = was.get(key, 0.0), now.get(key, 0.0)
        if key[0] in sampled and abs(new - old) >= _LEAST_SHARE:
            says = f"{key[0]}: {key[2]} ({key[1]}) has {share(old)} → {share(new)} of the samples"
            yield _Weighed(Change(endpoint=key[0], what="code", before=old, after=new, says=says), 0.0)
