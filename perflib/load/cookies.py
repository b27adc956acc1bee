"""Cookies: what a target sets, and what of it goes back with a request (RFC 6265)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import unquote

from perflib.load.exchange import Exchange

LINES = b"\n"
"""Between several Set-Cookie headers of an answer, none of which can hold it."""


@dataclass(frozen=True)
class Cookie:
    """A cookie, and the path below which it is sent (RFC 6265)."""

    value: str
    path: str

    def goes_to(self, path: str) -> bool:
        """Whether it is sent with a request for this path (RFC 6265, 5.1.4)."""
        below = path.startswith(self.path) and (self.path.endswith("/") or path[len(self.path) :][:1] in ("", "/"))
        return path == self.path or below


@dataclass
class Jar:
    """The cookies of one user, by name."""

    cookies: dict[str, Cookie] = field(default_factory=dict)
    _lines: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> "Jar":
        """One that goes its own way from here on."""
        return Jar(dict(self.cookies))

    def update(self, other: "Jar") -> None:
        """Take all that another one holds."""
        self.cookies |= other.cookies
        self._lines.clear()

    def line(self, path: str) -> bytes:
        """The header that sends the cookies of a path; empty: there are none."""
        line = self._lines.get(path)
        if line is None:
            sent = "; ".join(f"{name}={cookie.value}" for name, cookie in self.cookies.items() if cookie.goes_to(path))
            line = self._lines[path] = f"Cookie: {sent}\r\n".encode("latin-1", "replace") if sent else b""
        return line

    def header_of(self, header: str, cookie: str) -> bytes:
        """A header with a cookie's value, as CSRF tokens are sent back; empty: there is no such cookie."""
        found = self.cookies.get(cookie)
        return f"{header}: {unquote(found.value)}\r\n".encode("latin-1", "replace") if found else b""

    def take(self, exchange: Exchange, path: str) -> None:
        """Keep what cookies an answer to this path sets, and forget those that it ends."""
        told = exchange.header(b"set-cookie")
        if told is None:
            return
        for line in told.decode("latin-1").split(LINES.decode()):
            name, cookie = _cookie(line, path)
            if cookie is None:
                self.cookies.pop(name, None)
            elif name:
                self.cookies[name] = cookie
        self._lines.clear()


def _cookie(line: str, path: str) -> tuple[str, Cookie | None]:
    """The name of a cookie and what it is; None: it has ended (RFC 6265, 5.2)."""
    pair, *attributes = line.split(";")
    name, _, value = (part.strip() for part in pair.partition("="))
    said = dict(_attributes(attributes))
    if _is_over(said):
        return name, None
    below = said.get("path", "")
    return name, Cookie(value, below if below.startswith("/") else path[: path.rfind("/")] or "/")


def _attributes(parts: list[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        name, _, value = part.partition("=")
        yield name.strip().lower(), value.strip()


def _is_over(said: dict[str, str]) -> bool:
    """Max-Age counts before Expires; a date that cannot be read counts as none."""
    age = said.get("max-age", "")
    if age.lstrip("-").isdigit():
        return int(age) <= 0
    try:
        return "expires" in said and parsedate_to_datetime(said["expires"]).timestamp() <= time()
    except ValueError:
        return False
