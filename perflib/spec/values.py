"""The base of every specification: frozen, closed to unknown keys, and clear about bad input."""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

_UNIT_S = {"ms": 0.001, "s": 1.0, "": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*")
_SHORT_LOOPBACK = re.compile(r"127(\.\d+){0,2}")
"""As inet_aton takes it."""

_MAY_BE_SECRET = frozenset({"headers", "params", "body", "token_env", "env", "base_url", "metrics_url", "url"})
_LONGEST_ECHO = 80


_NO_SUCH = dict.fromkeys(("tuple_type", "list_type"), 'no list; write it in brackets: ["a", "b"]') | dict.fromkeys(
    ("dict_type", "model_type"), "no table; write it in braces: { name = value }"
)
"""What to write, where pydantic names types of Python."""


class InputError(Exception):
    """Bad input of a user: one line that names the file, the key and the mend. Ends a command with status 2."""

    def __init__(self, line: str) -> None:
        super().__init__("".join(c if c.isprintable() else " " for c in line))


class Written(float):
    """A number that knows how it was written: a version 1.10 in a URL is not 1.1."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("_", "")


def parse_duration_s(value: object) -> object:
    """Turn "500ms", "60s", "2min", "1m30s" or "1h" into seconds; a number is taken as seconds already.

    >>> parse_duration_s("1m30s")
    90.0
    """
    if not isinstance(value, str | bool):
        return value
    found = list(_DURATION_PART.finditer(str(value)))
    whole = "".join(part[0] for part in found) == value and (len(found) == 1 or all(part[2] for part in found))
    length_s = sum(float(part[1]) * _UNIT_S.get(part[2], math.nan) for part in found)
    if not (found and whole and math.isfinite(length_s)):
        raise ValueError(f"{value!r} is not a duration; write 500ms, 60s, 1m30s or 1h")
    return length_s


def parse_share(value: object) -> object:
    """Turn "1%" or "0.01" into a share; one that is a fraction already is left. A whole 1 is refused: 1 %, or all?

    >>> parse_share("1%"), parse_share(0.01)
    (0.01, 0.01)
    """
    share = value
    with suppress(ValueError):
        if isinstance(value, str):
            share = float(value.rstrip("% ")) / (100 if value.endswith("%") else 1)
    if isinstance(share, float) and 0 <= share <= 1 and value != "1":
        return share
    if share == 0 and not isinstance(share, bool):
        return 0.0
    raise ValueError(f"{value!r} is no share; write 1%")


def as_utf8(value: object) -> object:
    r"""The bytes that a locale could not decode, as they stand in `sys.argv`, read as UTF-8; others become U+FFFD.

    >>> as_utf8("Gr\udcc3\udcb6\udcc3\udc9fe \udcff")
    'Größe �'
    """
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(as_utf8)]
"""Words of a user, which are stored as UTF-8."""
Duration = Annotated[float, BeforeValidator(parse_duration_s)]
"""Seconds; validation also takes "60s", "1m30s"."""
PositiveDuration = Annotated[Duration, Field(gt=0)]
NonNegativeDuration = Annotated[Duration, Field(ge=0)]
Share = Annotated[float, BeforeValidator(parse_share)]
"""0 to 1; validation also takes "1%"."""


def is_loopback(host: str) -> bool:
    """Whether a host, as a URL tells it, is this machine: a name of localhost (RFC 6761, 6.3) or an address of its own.

    >>> [is_loopback(host) for host in ("api.localhost.", "127.1", "::ffff:127.0.0.1", "0.0.0.0", "local.host")]
    [True, True, True, False, False]
    """
    name = host.rstrip(".").lower()
    if f".{name}".endswith(".localhost") or _SHORT_LOOPBACK.fullmatch(name):
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def must(fit: Callable[[str], object], otherwise: str) -> AfterValidator:
    """A validator of text, for `Annotated`: what does not fit is refused with what to write instead."""

    def check(text: str) -> str:
        if not fit(text):
            raise ValueError(otherwise)
        return text

    return AfterValidator(check)


class Spec(BaseModel):
    """A frozen value that refuses unknown keys and round-trips through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Any, where: str) -> Self:
        """Validate `data`, which came from `where` (a file, or "options").

        Raises:
            InputError: naming `where`, the first bad key, and what it should be.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError(f"{where}: {_first_problem(error)}") from None

    def replaced(self, **fields: object) -> Self:
        """A copy with other values in some fields, validated as a whole; see `dataclasses.replace`."""
        return self.model_validate(dict(iter(self)) | fields)  # one of `Expect`'s fields is called keys


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or mend its spelling"
    if problem["type"] == "missing":
        return f"{key}: missing; add it"
    reason = _NO_SUCH.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    return f"{key}: {reason}{_echo(problem)}" if key else reason


def _echo(problem: ErrorDetails) -> str:
    """What was given, unless it may hold a secret: a header's value, or the user and the query of a URL."""
    given = repr(problem["input"])
    secret = _MAY_BE_SECRET.intersection(problem["loc"]) or "@" in given or "?" in given
    if secret or isinstance(problem["input"], dict | list) or len(given) > _LONGEST_ECHO:
        return ""
    return f" (given: {given})"
