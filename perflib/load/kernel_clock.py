"""The kernel's clock: when an answer reached this machine, however late this process reads it.

Linux stamps what a TCP socket receives, and each read tells the stamp of the last packet that it took
(`SO_TIMESTAMPNS`, Documentation/networking/timestamping.rst). Stamps are of CLOCK_REALTIME, which somebody may set;
requests are timed by CLOCK_MONOTONIC, which nobody can. Whatever slews one slews the other: between two steps their
difference is constant.
"""

import os
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns, time_ns

Ancillary = Sequence[tuple[int, int, bytes]]

_SO_TIMESTAMPNS = 35
"""SO_TIMESTAMPNS_OLD and SCM_TIMESTAMPNS of asm-generic/socket.h; Python has no name for it."""
_TIMESPEC = struct.Struct("qq")
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0
"""What a stamp takes beside the data."""
_TCP_INFO = struct.Struct("68x I 28x I")
"""Of linux/tcp.h: tcpi_rtt in µs, tcpi_total_retrans."""
_STEP_NS = 20_000
"""Two readings of the clocks, one right after the other, differ by less."""
_TRIES = 5
_KEPT = 20


@dataclass(frozen=True)
class Step:
    """The system clock was set, forward or back."""

    at_ns: int
    """When it was found, by `perf_counter_ns`."""
    by_ns: int


def stamp_arrivals(sock: socket.socket) -> None:
    """Have the kernel stamp what this socket receives, where it can; `PERFLIB_CLOCK=read` leaves it out."""
    if _is_stamping():
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def established_ns(sock: socket.socket, begun_ns: int, now_ns: int) -> int:
    """When a connection that was begun and seen to be open at these times was open: by the round trip of its SYN.

    Where the kernel does not tell that, or had to send the SYN again: when it was seen.
    """
    if not _is_stamping():
        return now_ns
    with suppress(OSError, struct.error):
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        round_trip_us, sent_again = _TCP_INFO.unpack(told)
        arrived_ns: int = begun_ns + 1_000 * round_trip_us
        if round_trip_us and not sent_again:
            return min(arrived_ns, now_ns)
    return now_ns


def _is_stamping() -> bool:
    return sys.platform == "linux" and os.environ.get("PERFLIB_CLOCK") != "read"


class KernelClock:
    """Turns the kernel's stamps into times of `perf_counter_ns`, and finds the steps of the system clock."""

    def __init__(self) -> None:
        self._offset_ns = _offset_ns()
        self._since_ns = perf_counter_ns()
        self.steps: tuple[Step, ...] = ()
        """Of the system clock, the first ones."""

    def arrived_ns(self, ancillary: Ancillary, now_ns: int) -> int:
        """When the last packet of what was read at `now_ns` had arrived; -1: the kernel does not say.

        What may have arrived before a step of the system clock is not known either.
        """
        if not ancillary:
            return -1
        if not -_STEP_NS < time_ns() - now_ns - self._offset_ns < _STEP_NS:
            self.look()
        seconds, rest_ns = _TIMESPEC.unpack(ancillary[0][2])
        arrived_ns: int = seconds * 1_000_000_000 + rest_ns - self._offset_ns
        return arrived_ns if self._since_ns <= arrived_ns <= now_ns else -1

    def look(self) -> None:
        """Find out whether the system clock was set since the last look."""
        offset_ns = _offset_ns()
        by_ns = offset_ns - self._offset_ns
        self._offset_ns = offset_ns
        if abs(by_ns) >= _STEP_NS:
            self._since_ns = perf_counter_ns()
            self.steps = (*self.steps, Step(self._since_ns, by_ns))[:_KEPT]


def _offset_ns() -> int:
    """From `perf_counter_ns` to the time of day: of some readings of both, those that lie closest together."""
    best_ns, offset_ns = 1 << 62, 0
    for _ in range(_TRIES):
        before_ns = perf_counter_ns()
        wall_ns = time_ns()
        after_ns = perf_counter_ns()
        if after_ns - before_ns < best_ns:
            best_ns, offset_ns = after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2
    return offset_ns
