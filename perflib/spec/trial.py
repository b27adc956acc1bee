"""Trying operations: which values they are asked with, and what is written of what they answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from perflib.spec.discovered import NEEDS_A_VALUE, NOT_TRIED, VARIES, Entry, names
from perflib.spec.endpoint import as_text
from perflib.spec.expect import MEDIA_RANGE, WITHOUT_CONTENT
from perflib.spec.harvest import Harvest
from perflib.spec.openapi import Described, Filled, Place
from perflib.spec.openapi_document import PLACE, Node

MOST_TRIES = 3
_OF_A_WRONG_VALUE = (400, 404, 410, 422)
_MOST_KEYS = 8


@dataclass(frozen=True)
class Seen:
    """What a try came to."""

    status: int = 0
    kind: str = ""
    """Its media type, without parameters."""
    body: Any = None
    """What its JSON says."""
    why: str = ""
    """Why there is no whole answer; empty: there is."""
    detail: str = ""


Ask = Callable[[Node], Seen | None]
"""Sends the request of an ``[[endpoint]]``; None: no more may be sent."""


@dataclass
class Trial:
    """Asks operations one after the other; ids in the answers of some are values for others."""

    ask: Ask
    _harvest: Harvest = field(default_factory=Harvest)

    def entries(self, operations: Sequence[Described]) -> dict[str, Entry]:
        """By name; lists first, whose answers tell what to ask the others for."""
        ordered = sorted(operations, key=lambda one: len(PLACE.findall(one.path)))
        return {one.name: self._entry(one) for one in ordered}

    def _entry(self, one: Described) -> Entry:
        fillings = list(self._fillings(one))
        needed = one.needed(fillings[0].values)
        if needed:
            return one.entry(one.table(fillings[0].values), NEEDS_A_VALUE, names(needed))
        tries: list[Seen] = []
        filling = fillings[0]
        for filling in fillings:
            first = self.ask(one.table(filling.values))
            if first is None:
                return one.entry(one.table(filling.values), NOT_TRIED, "no more requests may be sent")
            tries.append(first)
            if first.why or first.status not in _OF_A_WRONG_VALUE:
                break
        return self._judged(one, filling, self._again(one, filling, tries))

    def _again(self, one: Described, filling: "_Filling", tries: list[Seen]) -> list[Seen]:
        """What is asked as often as may be, unless its answer is sure."""
        same = tries[-1:]
        for _ in range(MOST_TRIES - len(tries)):
            if same[-1].why or 400 <= same[-1].status < 500 or same[-1].status != same[0].status:
                break
            seen = self.ask(one.table(filling.values))
            if seen is not None:
                same.append(seen)
        return same

    def _judged(self, one: Described, filling: "_Filling", tries: Sequence[Seen]) -> Entry:
        last, table = tries[-1], one.table(filling.values)
        statuses = list(dict.fromkeys(seen.status for seen in tries))
        if last.why:
            return one.entry(table, last.why, last.detail)
        if len(statuses) > 1:
            return one.entry(table, VARIES, ", then ".join(map(str, statuses)))
        if filling.values and last.status in _OF_A_WRONG_VALUE:
            return one.entry(one.table({}), NEEDS_A_VALUE, f"{filling.in_words} answered {last.status}")
        if not _is_success(one, last.status):
            return one.entry(table, f"answered {last.status}")
        self._harvest.learn(one.path, filling.values, last.body)
        expect, notes = expected(one, tries)
        return one.entry(table | {"expect": expect}, notes=(*filling.notes, *notes))

    def _fillings(self, one: Described) -> "Iterator[_Filling]":
        """The values to try, the surest first."""
        above = self._harvest.above(one.path)
        choices = {place.key: self._choices(one, place, above) for place in one.places}
        most = max(map(len, choices.values()), default=1)
        for number in range(min(max(most, 1), MOST_TRIES)):
            picked = {key: some[min(number, len(some) - 1)] for key, some in choices.items() if some}
            yield _Filling(
                {key: value for key, (value, _) in picked.items()}, {key: how for key, (_, how) in picked.items()}
            )

    def _choices(self, one: Described, place: Place, above: Filled) -> list[tuple[Any, str]]:
        """Values, each with where it is from."""
        stated = [(value, "") for value in place.stated]
        if place.closed and stated:
            return stated
        found = [above[place.key]] if place.key in above else self._harvest.choices(one.path, place.name)
        guess = [] if place.guess is None else [(place.guess, "guessed")]
        return [*((value, "from an answer of the target") for value in found), *stated, *guess]


@dataclass(frozen=True)
class _Filling:
    values: Filled
    sources: dict[tuple[str, str], str]

    @property
    def in_words(self) -> str:
        return ", ".join(f"{name} = {_text(value)}" for (_, name), value in self.values.items())

    @property
    def notes(self) -> tuple[str, ...]:
        """Which values are not the document's."""
        return tuple(f"{how}: {key[1]} = {_text(self.values[key])}" for key, how in self.sources.items() if how)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, list | dict) else as_text(value)


def _is_success(one: Described, status: int) -> bool:
    """A redirect is one where the document says so."""
    return 200 <= status < 300 or (300 <= status < 400 and str(status) in one.answers)


def expected(one: Described, tries: Sequence[Seen]) -> tuple[Node, tuple[str, ...]]:
    """What was seen in all tries and is documented, and where the two differ."""
    status = tries[0].status
    expect: Node = {"status": status}
    documented = one.documented(status)
    kinds = [kind for kind in dict.fromkeys(seen.kind for seen in tries) if MEDIA_RANGE.fullmatch(kind)]
    if len(kinds) == 1 == len({seen.kind for seen in tries}):
        expect["content_type"] = kinds[0]
    if documented is None:
        return expect, (f"the document says nothing of an answer {status}",)
    known = documented.keys or documented.known
    bodies = [seen.body if isinstance(seen.body, dict) else {} for seen in tries]
    keys = [key for key in known if "." not in key and "/" not in key and all(key in body for body in bodies)]
    if keys and status not in WITHOUT_CONTENT:
        expect["keys"] = keys[:_MOST_KEYS]
    said = " or ".join(documented.kinds)
    differs = kinds and said and not any(fnmatchcase(kinds[0].lower(), kind.lower()) for kind in documented.kinds)
    return expect, (f"answers {kinds[0]}, where the document says {said}",) if differs else ()
