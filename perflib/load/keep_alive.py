"""Keep-alive: how long the server keeps its connections, learnt from those that it ended unannounced."""

import math
from collections import Counter

_AT_LEAST_NS = 250_000_000
"""A connection that ends sooner after an answer was not ended for idling, but after so many answers."""
_ABOUT = 0.8


class KeepAlive:
    """What the connections of a run have lived through.

    Only a request that may not be repeated asks: it must not meet a connection that the server ends at that moment.
    """

    def __init__(self) -> None:
        self._idle_ns = math.inf
        self._answers = math.inf
        self._ended_after: Counter[int] = Counter()

    def ended(self, idle_ns: int, answers: int) -> None:
        """The server ended a connection that had been idle so long, after so many answers."""
        if idle_ns >= _AT_LEAST_NS:
            self._idle_ns = min(self._idle_ns, idle_ns)
            return
        self._ended_after[answers] += 1
        if self._ended_after[answers] > 1:  # once is chance: a restart, say
            self._answers = min(self._answers, answers)

    def may_end(self, idle_ns: int, answers: int) -> bool:
        """Whether the server is about to end such a connection, as far as is known."""
        return answers >= self._answers or idle_ns >= _ABOUT * self._idle_ns
