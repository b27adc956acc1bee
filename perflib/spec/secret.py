"""Secrets: named by an environment variable, never a value."""

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated
from urllib.parse import quote

from perflib.spec.values import InputError, Spec, must

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110, 5.6.2: the name of a header, a method."""
Variable = Annotated[
    str,
    must(
        re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch,
        "not the name of an environment variable; write PERF_API_TOKEN, never the secret itself",
    ),
]
Header = Annotated[
    str,
    must(TOKEN.fullmatch, "not the name of a header; write it as X-Api-Key"),
]


class Secret(Spec):
    """A value named by its environment variable, ``{ env = "API_KEY" }``: only a worker reads it, nothing stores it."""

    env: Variable

    def value_in(self, environment: Mapping[str, str]) -> str:
        """The value. Raises InputError, without it, where there is none or no request can hold it."""
        value = environment.get(self.env)
        if not value:
            raise InputError(f"the variable {self.env} is not set; export it first")
        if not (value.isascii() and value.isprintable()):
            raise InputError(f"the variable {self.env} holds what no header can: only printable ASCII fits; mend it")
        return value


class Strike:
    """Strikes secrets out of text: as they are, inside of Base64, and escaped for a URL, JSON, Python or HTML.

    >>> strike = Strike(["s3cr&t"])
    >>> strike("plain s3cr&t, url s3cr%26t, json s3cr\\\\u0026t, html s3cr&amp;t, base64 dXNlcjpzM2NyJnQ=")
    'plain ***, url ***, json ***, html ***, base64 dXNlcjp***Q='
    >>> strike("0123456789s3cr&t", 12)
    '0123456789***'
    """

    def __init__(self, values: Iterable[str]) -> None:
        known = sorted({value for value in values if value}, key=len, reverse=True)
        ways = [*map(_escaped, known), *(way for one in known for way in _in_base64(one))]
        self._pattern = re.compile("|".join(ways), re.IGNORECASE) if ways else None
        self.longest = max((_LONGEST_ESCAPE * len(value) for value in known), default=0)
        """No way to write one of the secrets takes more characters."""

    def __call__(self, text: str, length: int | None = None, also: Iterable[str] = ()) -> str:
        """The first `length` characters without a secret; one that begins there is known by what follows it.

        Args:
            also: more secrets, struck as they are.
        """
        for value in filter(None, also):
            text = text.replace(value, _STRUCK * len(value))
        if self._pattern is not None:
            text = self._pattern.sub(lambda found: _STRUCK * len(found[0]), text)
        return _RUN_OF_STRUCK.sub("***", text[:length])


def spellings(secret: str) -> Iterator[str]:
    """A token as it is, percent-encoded, as JSON and in Base64: the usual ways, for the many that a run learns."""
    yield from dict.fromkeys((secret, quote(secret, safe=""), json.dumps(secret)[1:-1]))
    for before in range(3):
        coded = base64.b64encode(b" " * before + secret.encode()).decode()
        yield coded[math.ceil(8 * before / 6) : 8 * (before + len(secret)) // 6]


_LONGEST_ESCAPE = 12
_STRUCK = "\ue000"
"""Stands in the place of each struck character until the text is cut: the rest does not move."""
_RUN_OF_STRUCK = re.compile(f"{_STRUCK}+")
_BACKSLASH = "\\"
_RUN_OF_BACKSLASHES = re.compile(r"\\+")
_ENTITIES = {'"': "quot", "&": "amp", "<": "lt", ">": "gt", "'": "apos"}


def _escaped(value: str) -> str:
    """A pattern of the ways to write a secret; the ways may be mixed, and be laid over each other.

    Each character takes the first way that fits, and never another one: the search stays linear. A secret that holds
    what looks like an escape is known by its usual spellings as a whole.
    """
    quoted = json.dumps(value)[1:-1]
    whole = dict.fromkeys((value, quoted, quoted.replace("/", r"\/"), json.dumps(quoted)[1:-1]))
    by_character = "".join(map(_escaped_character, _RUN_OF_BACKSLASHES.sub(r"\\", value)))
    return "|".join((by_character, *map(re.escape, whole)))


def _escaped_character(char: str) -> str:
    code = ord(char)
    ways = [f"%(?:25)*{code:02x}", rf"\\{{1,15}}(?:u00|x){code:02x}", f"&(?:amp;)*#(?:0*{code}|x0*{code:x});"]
    if char in _ENTITIES:
        ways.append(f"&(?:amp;)*{_ENTITIES[char]};")
    if char == " ":
        ways.append(r"\+")
    if char == _BACKSLASH:  # one that begins the next character's escape is not its own
        return rf"(?>(?:{'|'.join(ways)}|\\(?!(?:u00|x)[0-9a-f]{{2}}))+)"
    ways.append(char if char.isalnum() else rf"\\{{0,15}}{re.escape(char)}")
    return f"(?>{'|'.join(ways)})"


def _in_base64(value: str) -> Iterator[str]:
    """Patterns of the characters that a secret alone decides, at each of the three places where it may begin."""
    for before in range(3):
        coded = base64.b64encode(b" " * before + value.encode()).decode()
        own = coded[math.ceil(8 * before / 6) : 8 * (before + len(value)) // 6]
        if len(own) >= _SHORTEST_BASE64:
            yield "".join(_IN_BASE64.get(char, char) for char in own)


_SHORTEST_BASE64 = 3
_IN_BASE64 = {"+": r"(?:[+-]|%(?:25)*2b|\\+u002b)", "/": r"(?:\\*/|_|%(?:25)*2f|\\+u002f)"}
"""The alphabets of RFC 4648, sections 4 and 5, and how a URL and JSON escape the first."""
