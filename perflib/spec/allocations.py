"""Allocations: what a process allocated and did not give back."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """A place in the source."""

    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Site:
    """What one place allocated and still holds; `stack` is innermost first."""

    held_bytes: int
    allocations: int
    stack: tuple[Frame, ...]


@dataclass(frozen=True)
class Allocations:
    """What a process allocated within `seconds` and still held at their end, the largest site first.

    `why_not` says why nothing could be told; it is empty where something was.
    """

    pid: int | None = None
    seconds: float = 0.0
    held_bytes: int = 0
    sites: tuple[Site, ...] = ()
    why_not: str = ""
