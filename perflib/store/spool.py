"""The spool: rows of a run as they happen, fixed-width and append-only.

A row costs the generator one `struct.pack_into`; a flush is one write. A process that dies loses what it had not
flushed and leaves at most one torn row, which the reader leaves out. Arrow's stream format was weighed against this:
it needs a conversion by columns inside the measured loop, and a torn batch loses the whole batch.
"""

import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from perflib.spec import InputError


def typed(*columns: str) -> list[tuple[str, str]]:
    """Columns with their types.

    >>> typed("<i8: start_ns end_ns", "<i2: status")
    [('start_ns', '<i8'), ('end_ns', '<i8'), ('status', '<i2')]
    """
    return [(name, kind) for kind, names in (column.split(": ") for column in columns) for name in names.split()]


REQUEST_ROW: Final = np.dtype(
    typed(
        "<i8: intended_ns start_ns first_byte_ns end_ns bytes connect_ns tls_ns read_late_ns send_ns",
        "<i4: user row",
        "<i2: item page status",
        "<i1: error",
        "<u1: flags",
    )
)
"""`item` and `page` index the target's items, `error` ERROR_KINDS; `row` is that of the data; -1: none, not known."""

GENERATOR_ROW: Final = np.dtype(
    typed("<i8: t_ns", "<f8: cpu_share loop_lag_max_ms schedule_lag_max_ms", "<i8: requests")
)
"""The generator's own health, one row per second; `requests` counts from the run's start."""

MEMORY_ROW: Final = np.dtype(
    typed(
        "<i8: t_ns rss_bytes uss_bytes pss_bytes",
        "<f8: cpu_share",
        "<i8: open_files threads processes ended pid",
        "<f8: started_s",
        "<i8: ran_ns waited_ns",
    )
)
"""The target's processes, one row per second, -1 or NaN for what is not known; `started_s` since the epoch.

`ended` counts those of them that have ended so far while the target went on. `ran_ns` and `waited_ns` only grow: the
time that they had a core, and that their threads stood ready to run without one.
"""

WARMUP, COLD, RETRIED, COUNTED = 1, 2, 4, 8
"""Bits of `flags`; COUNTED: begun in warm-up, and counted all the same, as it failed after it."""

_BUFFERED_ROWS = 4096


class DiskError(InputError):
    """A disk takes no more rows."""


class Spool:
    """Writes rows of one dtype to a file, a few thousand at a time.

    A write of a few thousand rows takes some 50 µs: small ones often disturb the load less than a large one per second.
    """

    def __init__(self, path: Path, dtype: np.dtype[np.void] = REQUEST_ROW) -> None:
        codes = "".join(dtype[name].char for name in dtype.names or ())
        self._row = struct.Struct("<" + codes.replace("l", "q"))
        self._path, self._dtype = path, dtype
        self._file = path.open("ab", buffering=0)
        self._buffer = bytearray(self._row.size * _BUFFERED_ROWS)
        self._view = memoryview(self._buffer)
        self._used = 0

    def append(self, *row: float) -> None:
        """Add a row, its values in the dtype's order."""
        self._row.pack_into(self._buffer, self._used, *row)
        self._used += self._row.size
        if self._used == len(self._buffer):
            self.flush()

    def flush(self) -> None:
        """Hand all rows to the operating system: they outlive this process. What a full disk refuses stays here.

        Raises:
            DiskError: where it takes no more.
        """
        try:
            self._write_all()
        except OSError as error:
            raise DiskError(
                f"{self._path}: cannot be written ({error.strerror}); make room; what was recorded is kept"
            ) from None

    def rows(self) -> NDArray[np.void]:
        """All that was flushed. Shape (rows,)."""
        return read_spool(self._path, self._dtype)

    def _write_all(self) -> None:
        written = 0
        try:
            while written < self._used:
                written += self._file.write(self._view[written : self._used])
        finally:
            self._buffer[: self._used - written] = self._buffer[written : self._used]
            self._used -= written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self.flush()


def requests_spool(folder: Path, worker: int = 0) -> Path:
    """Where a worker of a run writes its requests."""
    return folder / f"requests.{worker}.spool"


def generator_spool(folder: Path, worker: int = 0) -> Path:
    """Where a worker of a run writes its own health."""
    return folder / f"generator.{worker}.spool"


def memory_spool(folder: Path) -> Path:
    """Where the sampler of a run writes the target's memory."""
    return folder / "memory.spool"


def failures_spool(folder: Path, worker: int = 0) -> Path:
    """Where a worker of a run writes samples of failed answers; missing where it has none."""
    return folder / f"failures.{worker}.spool"


def append_sample(path: Path, sample: Mapping[str, object]) -> None:
    """Add a sample of a failed answer, one line of JSON that outlives this process.

    One that the disk takes no more of is given up: the rows matter more.
    """
    with suppress(OSError), path.open("ab", buffering=0) as file:
        file.write(json.dumps(sample).encode() + b"\n")


def read_spool(path: Path, dtype: np.dtype[np.void] = REQUEST_ROW) -> NDArray[np.void]:
    """All whole rows of a spool, a torn last one left out. Shape (rows,)."""
    rows = path.stat().st_size // dtype.itemsize if path.exists() else 0
    return np.memmap(path, dtype, mode="r", shape=(rows,)) if rows else np.empty(0, dtype)


def memory_so_far(folder: Path) -> NDArray[np.void]:
    """The samples of the target's memory until now, `MEMORY_ROW`; none where it is not sampled. Shape (samples,).

    Its `rss_bytes` have what several processes share once, as soon as the kernel has told that (PSS).
    """
    try:
        rows = read_spool(memory_spool(folder), MEMORY_ROW)
    except FileNotFoundError:  # sealed just now
        return np.empty(0, MEMORY_ROW)
    told = rows[(rows["processes"] > 1) & (rows["pss_bytes"] >= 0)].copy()
    told["rss_bytes"] = told["pss_bytes"]
    return told if len(told) else rows
