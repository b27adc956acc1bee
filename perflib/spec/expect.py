"""The expectation: what an answer must be to count as a success."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from perflib.spec.pointer import steps_of
from perflib.spec.secret import TOKEN
from perflib.spec.values import Spec

WITHOUT_CONTENT = frozenset({204, 205, 304})
"""Statuses whose answers have no body (RFC 9110, 15)."""
MEDIA_RANGE = re.compile(rf"\s*{TOKEN.pattern}/{TOKEN.pattern}\s*(;.*)?")
Scalar = str | bool | int | float
_SUCCESSES = frozenset(range(200, 300))
_MOST_BYTES = 16 * 2**20
"""No longer answer is read."""


def _check_statuses(value: object) -> object:
    some = value if isinstance(value, list | tuple) else (value,)
    if not some or not all(map(_is_status, some)):
        raise ValueError('no status of an answer; write a number such as 200, a class such as "2xx", or a list of both')
    return tuple(some) if isinstance(value, list) else value


def _is_status(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch("[2-5]xx", value) is not None
    return isinstance(value, int) and 200 <= value <= 599


def _check_forbidden(value: object) -> object:
    """A table within the table is a dotted path: TOML reads ``{ data.state = "stale" }`` so."""
    found: dict[object, object] = {}
    for key, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, dict):
            inner = _check_forbidden(one)
            found |= {f"{key}.{path}": each for path, each in inner.items()} if isinstance(inner, dict) else {}
        elif isinstance(one, Scalar):
            found[key] = one
        else:
            raise ValueError(f"{key}: no value that can be forbidden; write text, a number or true, or use absent")
    return found if isinstance(value, dict) else value


Statuses = Annotated[int | str | tuple[int | str, ...], BeforeValidator(_check_statuses)]
"""Those of successes: a number, a class such as "2xx", or several of both."""
Bytes = Annotated[int, Field(ge=0, le=_MOST_BYTES)]


def _each_status(one: int | str) -> Sequence[int]:
    return (one,) if isinstance(one, int) else range(first := 100 * int(one[0]), first + 100)


class Expect(Spec):
    """What an answer must be to count as a success. Without it: any 2xx, any content.

    A place in a JSON body is a top-level name, a dotted path ("data.items", "rows.0.id") or a JSON pointer (RFC 6901);
    a top-level key that has the very name of a path comes first.
    """

    status: Statuses | None = None
    """None: as the target's `allowed_status` says."""
    content_type: str | tuple[str, ...] | None = None
    """A media type or range, such as ``text/*``, or several; parameters and case do not matter."""
    keys: tuple[str, ...] = ()
    """Places where the JSON body must have a value, null too."""
    absent: tuple[str, ...] = ()
    """Places where it must have none, null, or an empty list or object, such as GraphQL's ``errors``."""
    forbid: Annotated[dict[str, Scalar], BeforeValidator(_check_forbidden)] = Field(default_factory=dict)
    """Values, by their place, that make a 200 a failure, such as ``{"status": "error"}``."""
    contains: Annotated[str, Field(min_length=1)] | None = None
    """A text that the body must hold, as it is written, in whatever charset it is."""
    min_bytes: Bytes | None = None
    max_bytes: Bytes | None = None
    """Of the body, without its content coding."""

    @property
    def content_types(self) -> tuple[str, ...]:
        """The media ranges, one of which an answer must have; none: any will do."""
        said = self.content_type or ()
        return (said,) if isinstance(said, str) else said

    @property
    def of_body(self) -> tuple[str, ...]:
        """The names of what it asks of a body."""
        names = ("keys", "absent", "forbid", "contains", "min_bytes", "max_bytes")
        return tuple(name for name in names if getattr(self, name) not in ((), {}, None))

    @property
    def statuses(self) -> frozenset[int]:
        """Those of successes."""
        return frozenset(status for one in self._said for status in _each_status(one))

    @property
    def judged_statuses(self) -> frozenset[int]:
        """Those whose content is judged: 2xx where some are allowed, but for one without a body that is named.

        Of one that its class alone allows a body is expected.
        """
        judged = (self.statuses & _SUCCESSES or self.statuses) - WITHOUT_CONTENT.intersection(self._said)
        return judged or self.statuses

    @property
    def _said(self) -> tuple[int | str, ...]:
        status = self.status or "2xx"
        return status if isinstance(status, tuple) else (status,)

    @property
    def flaw(self) -> str:
        """Why no answer fits: key, reason, mend; or empty."""
        odd = next((one for one in self.content_types if not MEDIA_RANGE.fullmatch(one)), None)
        least, most = max(self.min_bytes or 0, len(self.contains or "")), self.max_bytes
        wanted = [steps_of(key) for key in self.keys]
        both = next((one for one in self.absent for key in wanted if key[: len(steps_of(one))] == steps_of(one)), None)
        if odd is not None:
            return f"expect.content_type: {odd!r} is no media type; write one such as application/json, or a list"
        if most is not None and least > most:
            return f"expect.max_bytes: {most:,}, but min_bytes or contains ask for {least:,} or more; raise it"
        if both is not None:
            return f"expect.absent: keys ask for {both!r} too; remove it from one of them"
        return ""
