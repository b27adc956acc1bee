"""Holding: which endpoints hold up others, by the rows of a run: blocks, locks, stalls. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from perflib.figures.held_up import HeldUp
from perflib.figures.silences import Silence
from perflib.judge.views import View
from perflib.judge.weighed import Weighed, named
from perflib.show.numbers import ms, seconds
from perflib.spec.diagnosis import Finding
from perflib.stats.period import period_s

_CHANCE = 0.02
_LEAST_MS, _OF_ITS_TIME, _BACK = 3.0, 0.5, 0.35
_NOTHING = 0.25
_MOST_OF_ITS_TIME = 3.0
"""What a request adds cannot be many times its own time: then something else slows both."""
_NEARLY_ALL = 0.75
_FEWEST, _FIRST_SHARE, _SCORE = 5, 0.8, 3.0
_FEWEST_STALLS, _LEAST_STALL_NS, _LONG_STALL_NS = 4, 80_000_000, 1_000_000_000
_NEXT_BLOCKS = "what its handler does synchronously, on an event loop or under a global lock; {} settles it"


class Holding:
    """What the pairs and the silences of a run show."""

    def __init__(self, view: View) -> None:
        self._view, self._again = view, view.run.facts.again("why")
        self._whole_s = view.run.facts.duration_s

    @cached_property
    def blocking(self) -> dict[str, tuple[str, ...]]:
        """Endpoints that hold up nearly all others, the cheapest too, and whom."""
        return {name: held for name in self._aggressors if (held := self._held_by(name))}

    @cached_property
    def silencing(self) -> dict[str, list[Silence]]:
        """Endpoints whose own answers end most of the silences: while one is served, none is answered."""
        some = self._view.silences
        firsts = Counter(one.first for one in some)
        if len(some) < _FEWEST:
            return {}
        name, count = firsts.most_common(1)[0]
        shares = np.array([one.under_way.get(name, 0) / max(1, sum(one.under_way.values())) for one in some])
        spread = float(np.sqrt((shares * (1 - shares)).sum()))
        is_first = count >= _FIRST_SHARE * len(some) and count - shares.sum() >= _SCORE * spread > 0
        lasts_ns = float(np.median([one.lasted_ns for one in some]))
        takes_ms = next((one.p50_ms or 0.0 for one in self._view.times if one.endpoint == name), 0.0)
        if not is_first or 1e6 * takes_ms < lasts_ns / 2:
            return {}
        return {name: [one for one in some if one.first == name]}

    @cached_property
    def stalls(self) -> tuple[Silence, ...]:
        """Silences that no endpoint explains: several, or a long one."""
        takes_ns = {one.endpoint: 2e6 * (one.p50_ms or 0.0) for one in self._view.times}
        known = {*self.blocking, *self.silencing}
        some = tuple(
            one
            for one in self._view.silences
            if one.lasted_ns >= _LEAST_STALL_NS
            and not any(name in one.under_way and one.lasted_ns <= takes_ns.get(name, 0.0) for name in known)
        )
        enough = len(some) >= _FEWEST_STALLS or any(one.lasted_ns >= _LONG_STALL_NS for one in some)
        return some if enough and not self.silencing else ()

    def findings(self) -> Iterable[Weighed]:
        """Of what blocks, what shares a lock, and stalls."""
        yield from (self._of_blocking(name, held) for name, held in self.blocking.items())
        yield from (self._of_silencing(*pair) for pair in self.silencing.items() if pair[0] not in self.blocking)
        yield from (self._of_lock(one, back) for one, back in self._locks())
        if self.stalls:
            yield self._of_stalls(self.stalls)

    @cached_property
    def _aggressors(self) -> dict[str, dict[str, HeldUp]]:
        found: dict[str, dict[str, HeldUp]] = {}
        for one in self._view.held_up:
            if one.victim != one.aggressor:
                found.setdefault(one.aggressor, {})[one.victim] = one
        return found

    def _held_by(self, aggressor: str) -> tuple[str, ...]:
        victims = self._aggressors[aggressor]
        held = [one.victim for one in victims.values() if _reaches(one, _OF_ITS_TIME)]
        cheapest = min(victims.values(), key=lambda one: one.victim_ms)
        enough = len(held) >= _NEARLY_ALL * len(victims) and cheapest.victim in held
        sure = any(min(one.p_value, one.all_p_value) <= _CHANCE for one in victims.values() if one.victim in held)
        return tuple(sorted(held)) if enough and sure and cheapest.added_ms >= cheapest.victim_ms else ()

    def _locks(self) -> Iterable[tuple[HeldUp, HeldUp]]:
        """Pairs that hold up each other, and surely nobody else; none with one that blocks."""
        for name, victims in self._aggressors.items():
            for victim, one in victims.items():
                back = self._aggressors.get(victim, {}).get(name)
                if back is None or name > victim or {name, victim} & {*self.blocking, *self.silencing}:
                    continue
                both = _reaches(one, _BACK) and _reaches(back, _BACK)
                if both and min(one.p_value, back.p_value) <= _CHANCE and self._spares_others({name, victim}):
                    yield one, back

    def _spares_others(self, pair: set[str]) -> bool:
        """Whether there are other endpoints, and none of them is surely held up by one of the pair."""
        others = [one for name in pair for one in self._aggressors[name].values() if one.victim not in pair]
        return bool(others) and not any(one.low_ms > 0 and one.added_ms > _NOTHING * one.aggressor_ms for one in others)

    def _lost(self, pairs: Sequence[HeldUp]) -> float:
        """Share of the victims' time that went with the aggressors' requests under way."""
        by_name = {one.endpoint: one for one in self._view.times}
        lost_ms = sum(by_name[one.victim].requests * one.met * one.added_ms for one in pairs)
        whole_ms = sum(by_name[name].total_ms for name in {one.victim for one in pairs})
        return min(1.0, lost_ms / whole_ms) if whole_ms else 0.0

    def _share(self, names: Iterable[str]) -> float:
        return sum(self._view.share_of(name) for name in names)

    def _of_blocking(self, name: str, held: tuple[str, ...]) -> Weighed:
        pairs = [self._aggressors[name][victim] for victim in held]
        each = ", ".join(f"{one.victim} {ms(one.victim_ms)} + {ms(one.added_ms)} ms" for one in pairs[:3])
        finding = Finding(
            kind="blocks",
            endpoint=name,
            others=held,
            effect=self._lost(pairs),
            confidence=1 - min(min(one.p_value, one.all_p_value) for one in pairs),
            says=f"With each request of {name} under way everything else took about "
            f"{ms(float(np.median([one.added_ms for one in pairs])))} ms longer, the fastest endpoint too ({each}): "
            "it seems to block the server",
            next=_NEXT_BLOCKS.format(self._again),
        )
        return Weighed.by_share(finding, self._share(held))

    def _of_silencing(self, name: str, some: Sequence[Silence]) -> Weighed:
        others = sorted({other for one in some for other in one.under_way} - {name})
        finding = Finding(
            kind="blocks",
            endpoint=name,
            others=tuple(others),
            effect=min(1.0, sum(one.lasted_ns for one in some) / 1e9 / self._whole_s),
            confidence=1 - 0.5 ** len(some),
            says=f"{len(some)} times nothing was answered for {ms(_usual_ms(some))} ms, though {named(others)} "
            f"waited, until {name} was: it seems to block the server",
            next=_NEXT_BLOCKS.format(self._again),
        )
        return Weighed.by_share(finding, 1.0)

    def _of_lock(self, one: HeldUp, back: HeldUp) -> Weighed:
        finding = Finding(
            kind="lock",
            endpoint=one.aggressor,
            others=(one.victim,),
            effect=self._lost([one, back]),
            confidence=1 - min(one.p_value, back.p_value),
            says=f"{one.aggressor} and {one.victim} hold up each other: one of the first under way goes with "
            f"{ms(one.added_ms)} ms more of the second, one of the second with {ms(back.added_ms)} ms more of the "
            "first; other endpoints are not held up. They seem to share a lock, or a resource of one",
            next=f"the lock, row, file or connection that these endpoints share; {self._again} settles it",
        )
        return Weighed.by_share(finding, self._share([one.aggressor, one.victim]))

    def _of_stalls(self, some: Sequence[Silence]) -> Weighed:
        usual_s = period_s(np.array([one.at_ns / 1e9 for one in some]))
        first_s = ", ".join(f"{one.at_ns / 1e9:.1f}" for one in some[:3])
        often = f"about every {usual_s:.1f} s" if usual_s else f"{len(some)} × in {seconds(self._whole_s)}"
        finding = Finding(
            kind="stall",
            endpoint=None,
            effect=min(1.0, sum(one.lasted_ns for one in some) / 1e9 / self._whole_s),
            confidence=1 - 0.5 ** max(2, len(some)),
            says=f"The server stopped {often}: for {ms(_usual_ms(some))} ms nothing was answered, whatever was asked "
            f"(first at second {first_s})",
            next="what runs on a timer in the server, or stops it from outside: a garbage collection, a checkpoint of "
            f"the database, a scheduled task, a CPU quota; {self._again} shows whether the server computes meanwhile",
        )
        return Weighed.by_share(finding, 1.0)


def _reaches(one: HeldUp, share: float) -> bool:
    """Whether a victim takes longer by a good part of the aggressor's own time, and by no more than that can be."""
    enough = one.added_ms >= max(_LEAST_MS, share * one.aggressor_ms)
    return enough and 0 < one.low_ms <= _MOST_OF_ITS_TIME * one.aggressor_ms


def _usual_ms(some: Sequence[Silence]) -> float:
    return float(np.median([one.lasted_ns for one in some])) / 1e6
