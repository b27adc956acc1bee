"""The spool: rows of a run as they happen, fixed-width and append-only.

A row costs the generator one `struct.pack_into`; a flush is one write. A process that dies loses what it had not
flushed and leaves at most one torn row, which the reader leaves out. Arrow's stream format was weighed against this:
it needs a conversion by columns inside the measured loop, and a torn batch loses the whole batch.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from perflib.spec import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

REQUEST_ROW: Final = np.dtype(
    [
        ("intended_ns", "<i8"),
        ("start_ns", "<i8"),
        ("first_byte_ns", "<i8"),
        ("end_ns", "<i8"),
        ("bytes", "<i8"),
        ("connect_ns", "<i8"),
        ("user", "<i4"),
        ("item", "<i2"),
        ("page", "<i2"),
        ("status", "<i2"),
        ("error", "<i1"),
        ("flags", "<u1"),
    ]
)
"""`item` and `page` index the target's endpoints, then its pages; `error` indexes ERROR_KINDS; -1: none."""

GENERATOR_ROW: Final = np.dtype(
    [
        ("t_ns", "<i8"),
        ("cpu_share", "<f8"),
        ("loop_lag_max_ms", "<f8"),
        ("schedule_lag_max_ms", "<f8"),
        ("requests", "<i8"),
    ]
)
"""The generator's own health, one row a second; `requests` counts from the run's start."""

MEMORY_ROW: Final = np.dtype(
    [
        ("t_ns", "<i8"),
        ("rss_bytes", "<i8"),
        ("uss_bytes", "<i8"),
        ("pss_bytes", "<i8"),
        ("cpu_share", "<f8"),
        ("open_files", "<i8"),
        ("threads", "<i8"),
        ("processes", "<i8"),
        ("pid", "<i8"),
        ("started_s", "<f8"),
    ]
)
"""The target's process tree, one row a second, -1 or NaN for what was not told; `started_s` since the epoch."""

WARMUP, COLD, RETRIED = 1, 2, 4
"""Bits of `flags`."""

_BUFFERED_ROWS = 4096


class Spool:
    """Writes rows of one dtype to a file, a few thousand at a time.

    A write of a few thousand rows takes some 50 µs: small ones often disturb the load less than a large one a second.
    """

    def __init__(self, path: Path, dtype: np.dtype[np.void] = REQUEST_ROW) -> None:
        codes = "".join(dtype[name].char for name in dtype.names or ())
        self._row = struct.Struct("<" + codes.replace("l", "q"))
        self._path = path
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
            InputError: where it takes no more.
        """
        try:
            self._write_all()
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot be written ({error.strerror}); make room; what was recorded is kept"
            ) from None

    def _write_all(self) -> None:
        written = 0
        try:
            while written < self._used:
                written += self._file.write(self._view[written : self._used])
        finally:
            self._buffer[: self._used - written] = self._buffer[written : self._used]
            self._used -= written

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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


def read_spool(path: Path, dtype: np.dtype[np.void] = REQUEST_ROW) -> NDArray[np.void]:
    """All whole rows of a spool, a torn last one left out. Shape (rows,)."""
    rows = path.stat().st_size // dtype.itemsize if path.exists() else 0
    if rows == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r", shape=(rows,))
