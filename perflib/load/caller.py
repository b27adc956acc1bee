"""The caller: a virtual user, as far as its requests differ from another one's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from perflib.load.cookies import Jar


@dataclass(frozen=True)
class Turn:
    """Who draws rows: the `first`, then every `step`-th of all draws are its own."""

    first: int
    step: int


@dataclass
class Identity:
    """A token; all users have it in common where one login is enough for a run."""

    token: str = ""
    line: bytes = b""
    """The header that sends it."""
    is_proven: bool = False
    """Whether an answer other than 401 came since."""
    is_renewed: bool = False
    """Whether another login is under way."""


@dataclass
class Caller:
    """A virtual user, or a connection of an open load."""

    number: int
    turn: Turn
    drawing: dict[tuple[int, int], Iterator[int]]
    """What is drawn from, by data and item: shared by all whose turn is the same."""
    rows: list[int]
    """Of each data, the row that it asks with now."""
    drawn: dict[int, list[tuple[int, Iterator[int]]]] = field(default_factory=dict)
    """By item: the data that it draws from, by number."""
    pinned: set[int] = field(default_factory=set)
    """The data whose row is the user's own from its login on."""
    saved: dict[str, Any] = field(default_factory=dict)
    """What answers gave, by name."""
    identity: Identity = field(default_factory=Identity)
    jar: Jar = field(default_factory=Jar)

    def secrets(self) -> Iterator[str]:
        """What no sample of an answer to this user may show."""
        yield from map(str, self.saved.values())
        yield self.identity.token
        yield from (cookie.value for cookie in self.jar.cookies.values())


Fill = Callable[[Caller], bytes]
"""What stands in the place of a pattern."""
Coding = Callable[[Any], bytes]
"""How a value is written where its pattern stands."""
