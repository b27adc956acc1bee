"""What was discovered of a server: operations that can be asked, and the others, each with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from perflib.spec.openapi_document import Node

CHANGES_DATA = "changes data"
MAY_CHANGE_DATA = "may change data"
NEEDS_A_VALUE = "needs a value"
NEVER_ENDS = "never ends"
CANNOT_BE_ASKED = "cannot be asked"
ELSEWHERE = "is served by another host"
NOT_TRIED = "was not tried"
VARIES = "answers in turn with different statuses"


@dataclass(frozen=True)
class Entry:
    """An operation as a target file has it."""

    name: str
    table: Node
    """Its ``[[endpoint]]``; empty: there is none to be written."""
    why: str = ""
    """Why it is left out, in words that many can share; empty: it is taken."""
    detail: str = ""
    """Of this one alone: what is lacking, what it answered."""
    notes: tuple[str, ...] = ()
    """What to know of it, taken or not."""


@dataclass(frozen=True)
class Discovered:
    """A target to be written."""

    where: str
    """The document's URL or file."""
    head: Node
    """Its ``[target]``."""
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    """What to know of the whole."""

    @property
    def taken(self) -> tuple[Entry, ...]:
        return tuple(one for one in self.entries if not one.why)

    @property
    def in_words(self) -> str:
        """How many operations were taken, and why the others were not."""
        left_out = Counter(one.why for one in self.entries if one.why)
        reasons = [f"{count:,} {why if count == 1 else plural(why)}" for why, count in left_out.most_common()]
        listed = f"; left out: {', '.join(reasons)}" if reasons else ""
        return "; ".join([f"{len(self.taken):,} of {len(self.entries):,} taken{listed}", *self.notes])


def plural(why: str) -> str:
    """A reason of one as that of many.

    >>> plural("changes data"), plural("is not described"), plural("answered 500")
    ('change data', 'are not described', 'answered 500')
    """
    verb, _, rest = why.partition(" ")
    return f"{ {'is': 'are', 'was': 'were'}.get(verb, verb.removesuffix('s')) } {rest}"


def names(some: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(some))
