"""Evidence: what failed, how often of late, and what the first failed answers of each kind looked like.

It stands on the generator's hot path: a success costs nothing, and a failure a counter once its samples are kept.
"""

import codecs
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.cookies import LINES
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange
from perflib.spec import Target
from perflib.spec.run import MOST_SAMPLES, failure_in_words
from perflib.spec.secret import Strike, spellings
from perflib.store.spool import append_sample

BODY_BYTES = 512
_MOST_KINDS = 500
"""Of endpoint, kind and status, of which samples are kept: a target may answer each time with another status."""
_SHORTEST_SECRET = 6
_NOTHING_TO_SHOW = ("dropped", "in_flight")
_MOST_HEADERS, _NAME_BYTES, _VALUE_BYTES, _REASON_BYTES = 50, 100, 512, 300
_NEVER_KEPT = re.compile("cookie|authoriz|authenticat", re.IGNORECASE)
_COOKIE = re.compile(r"[^=;]*=([^;]{4,})")
_UNUSUAL = re.compile(r"[^\t\n\r -~]")


@dataclass(slots=True)
class _Seen:
    """Failures of one endpoint, kind and status."""

    reason: str
    samples_left: int
    recent: int = 0
    """Since the last second that had a success."""


class Evidence:
    """Counts failures, and keeps samples of them in the file `samples`; None: none are kept."""

    def __init__(
        self, target: Target, samples: Path | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._names = [item.name for item in target.items]
        self._samples = samples if target.samples else None
        self._strike = Strike(environment.get(name, "") for name in target.secrets)
        self._learnt: dict[str, None] = {}
        self._seen: dict[tuple[int, str | None, int], _Seen] = {}

    def add(self, exchange: Exchange, index: int, at_ns: int) -> None:
        """A request to the endpoint `index` failed, `at_ns` from the run's start."""
        key = index, exchange.error, exchange.status
        seen = self._seen.get(key)
        if seen is None:
            is_kept = self._samples and len(self._seen) < _MOST_KINDS and exchange.error not in _NOTHING_TO_SHOW
            some = MOST_SAMPLES if is_kept else 0
            seen = self._seen[key] = _Seen(self._text(exchange.reason.encode("utf-8", "replace"), _REASON_BYTES), some)
        seen.recent += 1
        if seen.samples_left:
            seen.samples_left -= 1
            self._keep(exchange, index, at_ns)

    def hide(self, secret: str) -> None:
        """Strike what was learnt meanwhile, a token say, out of all samples from now on.

        A pattern of hundreds of tokens, as `Strike` makes one, would take a second to compile on the generator's path.
        """
        if len(secret) >= _SHORTEST_SECRET:
            self._learnt |= dict.fromkeys(spellings(secret))

    def told(self, value: bytes) -> str:
        """The value of a header as it may be kept: bounded, and without a secret."""
        return self._text(value, _VALUE_BYTES).strip()

    def forget_recent(self) -> None:
        """A second had a success, or no answer at all."""
        for seen in self._seen.values():
            seen.recent = 0

    def commonest(self) -> str:
        """The commonest failure of late in words. Raises ValueError where nothing ever failed."""
        (index, kind, status), most = max(self._seen.items(), key=lambda one: one[1].recent)
        reason = f" ({most.reason})" if most.reason else ""
        return f"most of them {failure_in_words(kind or '', status)} from {self._names[index]}{reason}"

    def _keep(self, exchange: Exchange, index: int, at_ns: int) -> None:
        assert self._samples is not None
        cookies = self._secrets_of(exchange)
        encoding = (exchange.header(b"content-encoding") or b"identity").lower()
        body = _readable(exchange.body, encoding, 2 * (BODY_BYTES + self._strike.longest))
        sample = {
            "endpoint": self._names[index],
            "kind": exchange.error,
            "status": exchange.status,
            "t_ns": at_ns,
            "reason": self._text(exchange.reason.encode("utf-8", "replace"), _REASON_BYTES, cookies),
            "content_type": self._text(exchange.header(b"content-type") or b"", _NAME_BYTES, cookies),
            "headers": self._headers(exchange.headers, cookies),
            "body": self._text(body, BODY_BYTES, cookies),
        }
        append_sample(self._samples, sample)

    def _secrets_of(self, exchange: Exchange) -> tuple[str, ...]:
        """What an answer's cookies hold, what its user had before, and all tokens of logins, as they are written."""
        lines = (exchange.header(b"set-cookie") or b"").decode("latin-1").split(LINES.decode())
        set_now = (cookie[1].strip() for cookie in map(_COOKIE.match, lines) if cookie)
        had = (value for value in exchange.known() if len(value) >= _SHORTEST_SECRET)
        return (*set_now, *self._learnt, *(way for value in had for way in spellings(value)))

    def _headers(self, headers: Mapping[bytes, bytes], cookies: Sequence[str]) -> dict[str, str]:
        """The headers as they were sent, bounded, but for those that hold cookies or credentials."""
        kept: dict[str, str] = {}
        for name, value in list(headers.items())[:_MOST_HEADERS]:
            told = self._text(name, _NAME_BYTES, cookies)
            if not _NEVER_KEPT.search(told):
                kept[told] = self._text(value, _VALUE_BYTES, cookies)
        return kept

    def _text(self, data: bytes, size: int, cookies: Sequence[str] = ()) -> str:
        """At most `size` bytes of text without a secret, cut at a character, harmless wherever it is shown.

        NULs are left out, which makes UTF-16 readable, and its secrets too.
        """
        plain = data[: size + self._strike.longest]
        if b"\0" in plain:
            plain = data[: 2 * (size + self._strike.longest)].replace(b"\0", b"")
        length = len(_decoded(plain[:size]))
        text = self._strike(_harmless(_decoded(plain)), length, cookies)
        return text.encode()[:size].decode(errors="ignore")


def _decoded(data: bytes) -> str:
    """As UTF-8; an unfinished character at the end is left out."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)


def _harmless(text: str) -> str:
    """As many characters, none of which moves a cursor, colours a terminal or turns the reading direction."""
    return _UNUSUAL.sub(lambda found: _shown(found[0]), text)


def _shown(char: str) -> str:
    return char if char.isprintable() else " " if char.isspace() else "\ufffd"


def _readable(body: Sequence[bytes], encoding: bytes, size: int) -> bytes:
    """The first bytes of a body without its content encoding; none where that is damaged, or not known here."""
    codings = codings_of(encoding)
    if not codings:
        return _first(body, size)
    with suppress(DamagedError, UncheckedError):
        return decoded(b"".join(body), codings, MAX_ANSWER_BYTES)[:size]
    return b""


def _first(pieces: Sequence[bytes], size: int) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece[: size - len(found)]
        if len(found) >= size:
            break
    return bytes(found)
