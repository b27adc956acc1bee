"""Slots: connections, and what is under way on each."""

from collections.abc import Callable, Sequence
from typing import Protocol

from perflib.load.caller import Caller
from perflib.load.exchange import Exchange
from perflib.load.login import Sessions
from perflib.load.recorder import Recorder
from perflib.load.request import Recipe, WireRequest
from perflib.load.wire import Address, Connection

Asked = WireRequest | Recipe
"""What an endpoint is asked: always the same bytes, or others each time."""
Draw = Callable[[Caller, int], bool]
"""Takes the rows with which a caller asks for an endpoint or a page; False where there are none left."""


class Owner(Protocol):
    """Who drives slots."""

    def answered(self, slot: "Slot", exchange: Exchange) -> None:
        """A request is over, and recorded: its slot is free."""

    def broke(self, problem: Exception) -> None:
        """The instrument failed: a full disk, say. Nothing more comes from this slot."""


class Slot:
    """Sends one request at a time, and has what became of it recorded before its owner hears of it."""

    def __init__(
        self,
        owner: Owner,
        caller: Caller,
        connection: Connection,
        requests: Sequence[Asked],
        recorder: Recorder,
        sessions: Sessions | None,
    ) -> None:
        self._connection, self._owner, self.caller = connection, owner, caller
        self._requests, self._recorder, self._sessions = requests, recorder, sessions
        self._index = self._page = self._row = -1
        self._intended_ns: int | None = None

    def ask(self, index: int, page: int = -1, intended_ns: int | None = None) -> None:
        """Send the request of an endpoint, perhaps as a part of a page. `intended_ns` None: it is due now."""
        self._index, self._page, self._intended_ns = index, page, intended_ns
        request = self._requests[index]
        if isinstance(request, Recipe):
            self._row = self.caller.rows[request.data[0]] if request.data else -1
            request = request.written(self.caller)
        else:
            self._row = -1
        self._connection.send(request, self._answered)

    def _answered(self, exchange: Exchange) -> None:
        try:
            exchange.row, exchange.known = self._row, self.caller.secrets
            self._recorder.answered(exchange, self._index, self._page, self.caller.number, self._intended_ns)
            if exchange.saved is not None:
                self.caller.saved |= exchange.saved
            if self._sessions is not None:
                self._sessions.answered(self.caller, exchange, self._index)
            exchange.body.clear()  # or each of thousands of connections holds its last answer
            self._owner.answered(self, exchange)
        except Exception as problem:  # what a callback raises, an event loop would only print
            self._owner.broke(problem)

    def close(self) -> None:
        self._connection.close()


class Slots:
    """Opens the slots of a run, and can end what is under way on all of them."""

    def __init__(
        self,
        address: Address,
        timeout_s: float,
        requests: Sequence[Asked],
        recorder: Recorder,
        draw: Draw,
        sessions: Sessions | None = None,
    ) -> None:
        self._address, self._timeout_s, self.draw, self._sessions = address, timeout_s, draw, sessions
        self._requests, self.recorder = requests, recorder
        self._connections: list[Connection] = []

    def open(self, owner: Owner, caller: Caller) -> Slot:
        """A slot of its own for a virtual user; it connects when it is first asked."""
        self._connections.append(Connection(self._address, self._timeout_s))
        return Slot(owner, caller, self._connections[-1], self._requests, self.recorder, self._sessions)

    def expire(self, now_ns: int) -> None:
        """Give up what took too long."""
        for connection in self._connections.copy():
            connection.expire(now_ns)

    def abandon(self) -> None:
        """Give up all that is under way, because the run is over."""
        for connection in self._connections.copy():
            connection.abandon()

    def close(self) -> None:
        """Hang up everywhere; what is under way is forgotten."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
