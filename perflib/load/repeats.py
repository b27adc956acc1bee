"""Repeats: whether the answers of an endpoint come from a cache, or are the same again. On the hot path."""

import re
from functools import lru_cache

from perflib.load.document import shown
from perflib.load.exchange import Exchange
from perflib.spec.run import Repeats

_HIT = re.compile(rb"(?<![\w=-])(?:\w+_)?(?:refresh)?(hit|stale|updating|revalidated)(?![\w-]|=\?0)", re.IGNORECASE)
"""As they say it, nginx's $upstream_cache_status among them."""

_FIRST, _THEN_EVERY = 100, 7
"""So many answers are looked at, and then one of so many: no even number, as servers take turns."""
_KEPT_BYTES = 2**20
"""Each endpoint may keep one body: no longer one is compared."""


class Counter:
    """Counts successes of one endpoint."""

    def __init__(self) -> None:
        self._seen = self._answers = self._cached = self._same = 0
        self._cache = ""
        self._body = b""

    def add(self, exchange: Exchange) -> None:
        self._seen += 1
        if self._seen > _FIRST and self._seen % _THEN_EVERY:
            return
        self._answers += 1
        content = exchange.content
        self._same += content == self._body
        self._body = content if len(content) <= _KEPT_BYTES else b""
        for name in exchange.spelling.of_caches:
            if _tells_hit(name, exchange.headers[name]):
                self._cached += 1
                self._cache = self._cache or _in_words(name, exchange.headers[name])
                break

    def of(self, endpoint: str) -> Repeats:
        """What was counted."""
        return Repeats(
            endpoint=endpoint,
            answers=self._answers,
            cached=self._cached,
            cache=self._cache,
            same=self._same,
            body_bytes=len(self._body),
        )


@lru_cache(1024)
def _tells_hit(name: bytes, value: bytes) -> bool:
    if name.lower() == b"age":
        return value.strip().isdigit() and int(value) > 0
    return _HIT.search(value) is not None


def _in_words(name: bytes, value: bytes) -> str:
    """The header and the word of its value that says so: no more of what a server sends is kept."""
    said = _HIT.search(value)
    return f"{shown(name.decode('latin-1'))}: {said[1].decode().upper() if said else 'above 0'}"
