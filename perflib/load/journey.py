"""A journey on its way: its steps one after the other over one connection, with pauses between them."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from perflib.load.exchange import Exchange
from perflib.load.slot import Slot

RestUntil = Callable[[int, Callable[[], None]], None]
"""Calls what it is given at a moment, or at once where that has passed."""


@dataclass(frozen=True)
class Pauses:
    """How long those between steps are, drawn evenly from one time to another."""

    from_ns: int
    to_ns: int
    seed: str


@dataclass(frozen=True)
class Wholes:
    """What consists of endpoints, each by its index; `pauses` of the journeys."""

    pages: Mapping[int, Sequence[int]]
    journeys: Mapping[int, Sequence[int]]
    pauses: Mapping[int, Pauses]
    drawn: dict[tuple[int, int], random.Random] = field(default_factory=dict)

    def walk(self, index: int, slot: Slot, rest_until: RestUntil) -> "JourneyWalk":
        """A user's way through a journey, not begun yet."""
        pauses, key = self.pauses[index], (index, slot.caller.number)
        chance = self.drawn.get(key)
        if chance is None:
            chance = self.drawn[key] = random.Random(f"{pauses.seed}/{key}")
        return JourneyWalk(
            index, self.journeys[index], slot, lambda: chance.randint(pauses.from_ns, pauses.to_ns), rest_until
        )


class JourneyWalk:
    """One user's way through a journey. It ends with its last step, or the first that fails.

    Args:
        index: of the journey.
        pause_ns: how long the next pause is.
    """

    def __init__(
        self,
        index: int,
        steps: Sequence[int],
        slot: Slot,
        pause_ns: Callable[[], int],
        rest_until: RestUntil,
    ) -> None:
        self.index, self._slot, self._steps = index, slot, iter(steps)
        self._pause_ns, self._rest_until = pause_ns, rest_until
        self._parts: list[Exchange] = []
        self._took_ns = 0
        self._due_ns: int | None = None
        """When the step under way was to be sent; None: at once."""
        self.under_way = True

    def begin(self, due_ns: int | None = None) -> None:
        """Send the first step; `due_ns` None: it is due now."""
        self._due_ns = due_ns
        self._ask(next(self._steps))

    def answered(self, slot: Slot, exchange: Exchange) -> None:
        """A step is over: pause, and go on."""
        self._parts.append(exchange)
        begun_ns = exchange.start_ns if self._due_ns is None else self._due_ns
        self._due_ns = None
        self._took_ns += exchange.end_ns - begun_ns if exchange.end_ns >= 0 else 0
        step = next(self._steps, None) if exchange.error is None else None
        if step is None:
            self.under_way = False
        elif pause_ns := self._pause_ns():
            self._rest_until(exchange.end_ns + pause_ns, lambda: self._ask(step))
        else:
            self._ask(step)

    def whole(self) -> Exchange:
        """The journey as one exchange, as long as its steps together: pauses are left out, it begins so much later."""
        parts, last = self._parts, self._parts[-1]
        return Exchange(
            start_ns=parts[0].start_ns if last.end_ns < 0 else last.end_ns - self._took_ns,
            end_ns=last.end_ns,
            connect_ns=sum(part.connect_ns for part in parts),
            tls_ns=sum(part.tls_ns for part in parts),
            read_late_ns=last.read_late_ns,
            send_ns=max(part.send_ns for part in parts),
            status=last.status,
            error=last.error,
            cold=any(part.cold for part in parts),
            received=sum(part.received for part in parts),
        )

    def _ask(self, step: int) -> None:
        self._slot.ask(step, page=self.index, intended_ns=self._due_ns)
