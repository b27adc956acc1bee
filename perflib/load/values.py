"""Values: which row of the data each request is asked with, and what else stands in the places of patterns.

Rows are picked by the seed alone: the same seed asks for the same rows in the same order, user by user.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perflib.load.arrivals import Share
from perflib.load.caller import Caller, Coding, Fill, Turn
from perflib.spec import InputError, Target
from perflib.spec.data import Data
from perflib.spec.pattern import Pattern
from perflib.store.rows import Columns, columns_of

_NUMBERS_A_SECOND = 1_000_000
"""The sequence of a run begins at its time: two runs take the same number only if they send more a second."""


class Values:
    """The values of a run: rows by data, a sequence, a clock.

    Raises:
        InputError: where a file of the target cannot be read.
    """

    def __init__(self, target: Target, seed: int, share: Share, environment: Mapping[str, str]) -> None:
        self._data = list(target.data.values())
        self._numbers = {name: number for number, name in enumerate(target.data)}
        self._columns = [columns_of(name, one, target.folder, environment) for name, one in target.data.items()]
        self._seed = seed
        self._drawing: dict[Turn, dict[tuple[int, int], Iterator[int]]] = {}
        self._sequence = count(int(datetime.now(UTC).timestamp()) * _NUMBERS_A_SECOND + share.index, share.of)
        self.exhausted = ""
        """The data that has no row left, once there is one."""

    def caller(self, number: int, turn: Turn) -> Caller:
        """A virtual user, or a connection of an open load."""
        return Caller(number, turn, self._drawing.setdefault(turn, {}), [-1] * len(self._data))

    def data_in(self, patterns: Sequence[Pattern]) -> tuple[int, ...]:
        """Which data patterns name, each once, in their order."""
        return tuple(dict.fromkeys(self._numbers[one.source] for one in patterns if one.source in self._numbers))

    def draw(self, caller: Caller, data: Sequence[int], item: int) -> bool:
        """Take the next rows for a request of `item`; False where unique ones have run out."""
        drawn = caller.drawn.get(item)
        if drawn is None:
            free = (number for number in data if number not in caller.pinned)
            drawn = caller.drawn[item] = [(number, self._drawn_from(caller, number, item)) for number in free]
        for number, rows in drawn:
            caller.rows[number] = row = next(rows, -1)
            if row < 0:
                self.exhausted = next(name for name, own in self._numbers.items() if own == number)
                return False
        return True

    def _drawn_from(self, caller: Caller, number: int, item: int) -> Iterator[int]:
        key = (number, -1 if self._data[number].unique else item)
        if key not in caller.drawing:
            caller.drawing[key] = self._picks(number, key[1], caller.turn)
        return caller.drawing[key]

    def _picks(self, number: int, item: int, turn: Turn) -> Iterator[int]:
        return picks(self._data[number], _length(self._columns[number]), f"{self._seed}/{number}/{item}", turn)

    def fill(self, pattern: Pattern, coding: Coding, where: str) -> Fill:
        """What stands in a pattern's place, written by `coding`. Raises InputError for a column that is missing."""
        number = self._numbers.get(pattern.source)
        if number is not None:
            return self._fill_of_column(number, pattern, coding, where)
        between = pattern.between
        if between is not None:
            return _random_fill(between[0], between[1], coding, self._seed)
        name, sequence, chance = pattern.text, self._sequence, random.Random()
        before, _, after = coding("u").partition(b"u")  # what stands around a text that needs no escape
        made: dict[str, Callable[[Caller], Any]] = {
            "sequence": lambda _: next(sequence),
            "user": lambda caller: caller.number,
            "now": lambda _: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if name == "uuid":
            return lambda _: before + _uuid(chance) + after
        value = made.get(name) or (lambda caller: caller.saved.get(name, ""))
        return lambda caller: coding(value(caller))

    def _fill_of_column(self, number: int, pattern: Pattern, coding: Coding, where: str) -> Fill:
        columns = self._columns[number]
        if pattern.column not in columns:
            known = ", ".join(f"{{{pattern.source}.{column}}}" for column in columns)
            raise InputError(f"{where}: {{{pattern.text}}} names no column; there are {known}")
        written = [coding(value) for value in columns[pattern.column]]
        return lambda caller: written[caller.rows[number]]


def _uuid(chance: random.Random) -> bytes:
    """A random UUID (RFC 9562, 5.4); the module uuid takes four times as long."""
    digits = b"%032x" % chance.getrandbits(128)
    variant = b"89ab"[digits[16] % 4]
    parts = digits[:8], digits[8:12], digits[13:16], variant, digits[17:20], digits[20:]
    return b"%b-%b-4%b-%c%b-%b" % parts


def _random_fill(least: int, most: int, coding: Coding, seed: int) -> Fill:
    by_turn: dict[Turn, random.Random] = {}

    def fill(caller: Caller) -> bytes:
        drawn = by_turn.get(caller.turn)
        if drawn is None:
            drawn = by_turn[caller.turn] = random.Random(f"{seed}/{least}-{most}/{caller.turn.first}")
        return coding(drawn.randint(least, most))

    return fill


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def picks(data: Data, rows: int, seed: str, turn: Turn) -> Iterator[int]:
    """The rows that one of those who draw takes, one after the other; unique ones come to an end.

    >>> list(picks(Data(range=(1, 5), pick="in_order", unique=True), 5, "", Turn(1, 2)))
    [1, 3]
    """
    if data.pick in ("random", "zipf"):
        yield from _by_chance(rows, random.Random(f"{seed}/{turn.first}"), zipf=data.pick == "zipf")
    offset = turn.first
    for cycle in count() if not data.unique else (0,):
        own = slice(offset, None, turn.step)
        yield from range(rows)[own] if data.pick == "in_order" else _shuffled(rows, f"{seed}/{cycle}")[own].tolist()
        offset += len(range(offset, rows, turn.step)) * turn.step - rows


def _by_chance(rows: int, drawn: random.Random, *, zipf: bool) -> Iterator[int]:
    if not zipf:
        while True:
            yield drawn.randrange(rows)
    upto = _harmonic(rows)
    while True:
        yield min(bisect_right(upto, drawn.random() * upto[-1]), rows - 1)


@lru_cache(8)
def _harmonic(rows: int) -> tuple[float, ...]:
    return tuple(accumulate(1 / rank for rank in range(1, rows + 1)))


@lru_cache(4)
def _shuffled(rows: int, seed: str) -> NDArray[np.int64]:
    """All rows in an order by chance, which users that are about as far share."""
    return np.random.default_rng(list(seed.encode())).permutation(rows)
