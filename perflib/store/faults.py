"""Faults of the processes that perflib starts, and what a machine that is short of memory says."""

import re
from pathlib import Path
from typing import IO

from perflib.spec import InputError

_SHORT = re.compile(
    r"\bMemoryError\b|annot allocate memory|Memory allocation still failed|failed to map segment"
    r"|malloc of size \d+ failed|where memory runs out|can't start new thread|Resource temporarily unavailable"
)
"""What a machine that is short of memory, or of processes, has a Python say at its end."""

_NOTHING = "it said nothing"


class ChildFault(Exception):  # noqa: N818 - the fault is a process's, and this tells of it
    """A process that perflib starts ended before its time, by a fault of perflib's own or of its installation."""


def telling_line(text: str) -> str:
    """The line of a process's last words that says most; empty where it said nothing.

    >>> telling_line("Fatal Python error: Aborted\\n\\nCurrent thread 0x7f31 (most recent call first):")
    'Fatal Python error: Aborted'
    """
    lines = text.strip().splitlines() or [""]
    return next((line for line in lines if line.startswith("Fatal Python error")), lines[-1]).strip()


def all_of(said: IO[str]) -> str:
    """What a process has said into this file."""
    said.seek(0)
    return said.read()


def last_line(said: IO[str]) -> str:
    """The telling one of what a process has said into this file."""
    return telling_line(all_of(said)) or _NOTHING


def is_short(error: BaseException | str) -> bool:
    """Whether this tells of a machine without memory, or without another process or thread."""
    return isinstance(error, MemoryError) or _SHORT.search(str(error)) is not None


def did_not_start(what: str, said: str, why: str = "") -> Exception:
    """What to raise where a process of perflib's own ended before its time: InputError or ChildFault."""
    why = why or telling_line(said) or _NOTHING
    if is_short(f"{what}: {why}"):
        return InputError(f"{what}: this machine lacks memory or processes ({why}); end other programs")
    fault = ChildFault(f"{what}: {why}")
    fault.add_note(said)
    return fault


def unreadable(path: Path, why: object, removed: str = "its folder") -> Exception:
    """What to raise where a stored file cannot be read: a sound one, on a machine short of memory, is not to remove."""
    if isinstance(why, MemoryError):
        return why
    return InputError(f"{path}: cannot be read ({why}); restore the file or remove {removed}")
