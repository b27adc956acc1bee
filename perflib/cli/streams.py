"""Standard streams that end no command: a closed one leads nowhere, and what one cannot take is lost and remembered."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Stream(io.RawIOBase):
    """A standard stream by its number; `broken` is the first reason why something was not written."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.broken: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, some: Buffer) -> int:
        while self.broken is None:
            try:
                return os.write(self._number, some)
            except BlockingIOError:  # whoever started this process made the stream so
                select.select([], [self._number], [])
            except OSError as error:
                self.broken = error
        return memoryview(some).nbytes


def take_over() -> Stream:
    """Make stdout and stderr streams that never fail; a character that cannot be shown becomes "?". Returns stdout."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed; or a pipe to a worker would get its number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    out = Stream(1)
    sys.stdout = _text(out, sys.stdout, out.isatty())
    sys.stderr = _text(Stream(2), sys.stderr, True)
    return out


def _text(stream: Stream, like: TextIO | None, by_lines: bool) -> io.TextIOWrapper:
    encoding = "utf-8" if like is None else like.encoding
    return io.TextIOWrapper(io.BufferedWriter(stream), encoding, errors="replace", line_buffering=by_lines)
