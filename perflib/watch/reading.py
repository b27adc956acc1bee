"""A reading of the target's processes, and where readings come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """The target's processes at one moment; NaN or -1: not told. `cpu_s` counts from their start."""

    rss_bytes: int
    uss_bytes: int
    pss_bytes: int
    cpu_s: float
    open_files: int
    threads: int
    processes: int
    pid: int
    started_s: float


class Source(Protocol):
    """Where readings come from."""

    def read(self) -> Reading | None:
        """A reading; None where there is none at this moment."""

    def close(self) -> None:
        """Give back what the source holds open."""
