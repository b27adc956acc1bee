"""A reading of the target's processes, and where readings come from."""

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """The target's processes at one moment; NaN or -1: not known. `cpu_s` and `waited_s` only grow, from whatever they
    began at."""

    rss_bytes: int
    uss_bytes: int = -1
    pss_bytes: int = -1
    cpu_s: float = math.nan
    waited_s: float = math.nan
    """Of all threads together, ready to run without a core, and what a hypervisor took: see `Waits`, `StolenClock`."""
    open_files: int = -1
    threads: int = -1
    processes: int = -1
    ended: int = 0
    """Processes of it that ended since the first reading, while the target went on."""
    pid: int = -1
    started_s: float = 0.0


class Source(Protocol):
    """Where readings come from."""

    def read(self) -> Reading | None:
        """A reading; None where there is none at this moment."""

    def close(self) -> None:
        """Give back what the source holds open."""
