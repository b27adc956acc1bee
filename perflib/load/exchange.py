"""The exchange: a request and its answer."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_ANSWER_BYTES = 16 * 2**20
"""Of one answer: each virtual user may hold one, and all of them are to fit into memory."""
_CACHE = re.compile(rb"age|(?:[\w-]+-)?cache(?:-status|-lookup)?", re.IGNORECASE)
"""Age, X-Cache, X-Proxy-Cache, CF-Cache-Status, Cache-Status (RFC 9211) and their like."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a server spells its headers: each by its name in lower case, and those that may tell of a cache."""

    of: Mapping[bytes, bytes]
    of_caches: tuple[bytes, ...]


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
    known: Callable[[], Iterable[str]] = tuple
    """What its user has of earlier ones, and no sample may show: saved values, a token, cookies."""
    row: int = -1
    """Of the data that it was asked with; -1: of none."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)
    _spelling: Spelling | None = None

    @property
    def content(self) -> bytes:
        """The body as sent, once it is complete."""
        if len(self.body) != 1:
            self.body[:] = [b"".join(self.body)]
        return self.body[0]

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, its name given in lower case."""
        key = self.spelling.of.get(name)
        return None if key is None else self.headers[key]

    @property
    def spelling(self) -> Spelling:
        if self._spelling is None or self.end_ns < 0:  # else the answer is complete
            self._spelling = _spelling(tuple(self.headers))
        return self._spelling


@lru_cache(256)
def _spelling(names: tuple[bytes, ...]) -> Spelling:
    """Found once, as a server always sends the same ones."""
    return Spelling({name.lower(): name for name in reversed(names)}, tuple(filter(_CACHE.fullmatch, names)))
