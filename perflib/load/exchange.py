"""The exchange: a request and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_ANSWER_BYTES = 16 * 2**20
"""Of one answer: each virtual user may hold one, and all of them are to fit into memory."""


@dataclass(slots=True)
class Exchange:
    """A request and its answer. Times are `perf_counter_ns`; -1: never happened."""

    start_ns: int
    first_byte_ns: int = -1
    end_ns: int = -1
    connect_ns: int = 0
    """Of opening a connection, TLS included; 0: one was used again."""
    tls_ns: int = 0
    """Of it, the TLS handshake."""
    read_late_ns: int = -1
    """How long the last byte had been on this machine before it was read; -1: the kernel did not say."""
    send_ns: int = 0
    """Of handing the request to the kernel."""
    status: int = 0
    error: str | None = None
    reason: str = ""
    """What was odd, in a few words, where the kind of error and the status do not say it."""
    retried: bool = False
    cold: bool = False
    received: int = 0
    saved: Mapping[str, Any] | None = None
    """What a step of a journey keeps of the answer."""
    row: int = -1
    """Of the data that it was asked with; -1: of none."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, its name given in lower case."""
        key = _spelling(name, tuple(self.headers))
        return None if key is None else self.headers[key]


@lru_cache(256)
def _spelling(name: bytes, keys: tuple[bytes, ...]) -> bytes | None:
    """How a server spells a header, or that it sends none: looked for once, as it always sends the same ones."""
    return next((key for key in keys if key.lower() == name), None)
