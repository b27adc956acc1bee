"""The stream: the bytes of one TCP connection, perhaps in TLS, each piece with the time when it arrived."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Protocol

from perflib.load.kernel_clock import ANCILLARY_BYTES, Ancillary, KernelClock

_READ_BYTES = 65_536
_READS_AT_ONCE = 16
"""Of one answer, before others get their turn."""
_BUSY = (BlockingIOError, InterruptedError)


class Receiver(Protocol):
    """Who reads a stream."""

    def received(self, data: bytes, now_ns: int, arrived_ns: int) -> bool:
        """A piece, read at `now_ns`; `arrived_ns` -1: the kernel does not say when it arrived.

        Returns:
            Whether more of the same answer is awaited.
        """

    def ended(self, problem: OSError | None) -> None:
        """No more will come: the server ended it, or this went wrong."""


class Stream:
    """Reads and writes an open connection in the running event loop; TLS from `shake_hands` on.

    A reader of its own in place of the loop's transports, which do not tell the kernel's stamps.
    """

    def __init__(self, sock: socket.socket, clock: KernelClock) -> None:
        self._socket = sock
        self._receive, self._arrived_ns = sock.recvmsg, clock.arrived_ns
        self._ancillary_bytes = 0 if sock.family == socket.AF_UNIX else ANCILLARY_BYTES
        """A Unix socket's peer may send open files there, and no stamp comes."""
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = memoryview(b"")
        self._receiver: Receiver
        self._closed = False

    async def shake_hands(self, tls: ssl.SSLContext, server_name: str | None) -> int:
        """Go on in TLS; before `read_into`. Raises OSError.

        Returns:
            How long what the server sent had been here before it was read, ns.
        """
        secured = self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        late_ns = 0
        try:
            while not _is_secured(secured):
                await self._loop.sock_sendall(self._socket, self._outgoing.read())
                late_ns += await self._read_handshake()
            await self._loop.sock_sendall(self._socket, self._outgoing.read())
            return late_ns
        except BaseException as problem:
            with suppress(OSError):  # the server's log then says why
                self._socket.send(self._outgoing.read())
            self.close()
            raise (ConnectionResetError() if isinstance(problem, ConnectionError) else problem) from None

    async def _read_handshake(self) -> int:
        """Of what the server sent: how long it had been here before."""
        readable = asyncio.Event()
        self._loop.add_reader(self._socket, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(self._socket)
        try:
            data, ancillary, _, _ = self._receive(_READ_BYTES, self._ancillary_bytes)
        except _BUSY:
            return 0
        now_ns = perf_counter_ns()
        if not data:
            raise ConnectionResetError
        self._incoming.write(data)
        arrived_ns = self._arrived_ns(ancillary, now_ns)
        return now_ns - arrived_ns if arrived_ns >= 0 else 0

    def read_into(self, receiver: Receiver) -> None:
        """Hand all that comes to a receiver."""
        self._receiver, self._received = receiver, receiver.received
        self._loop.add_reader(self._socket, self._readable)

    def send(self, data: bytes) -> int:
        """Send it, what the kernel does not take at once as soon as it does. A failure comes as the stream's end.

        Returns:
            How long the kernel took to take it, ns.
        """
        if self._tls is not None:
            data = self._encrypted(self._tls, data)
        begun_ns = perf_counter_ns()
        self._write(data)
        return perf_counter_ns() - begun_ns

    def close(self) -> None:
        """End the connection."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)
            self._stop_writing()
            self._socket.close()

    def _encrypted(self, tls: ssl.SSLObject, data: bytes) -> bytes:
        try:
            tls.write(data)
        except ssl.SSLError as problem:
            self._loop.call_soon(self._refused, problem)
        return self._outgoing.read()

    def _write(self, data: bytes | memoryview) -> None:
        if self._unsent:
            self._unsent = memoryview(bytes(self._unsent) + data)
            return
        try:
            sent = self._socket.send(data)
        except _BUSY:
            sent = 0
        except OSError as problem:
            self._loop.call_soon(self._refused, problem)
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        unsent = self._unsent
        self._stop_writing()
        self._write(unsent)

    def _stop_writing(self) -> None:
        if self._unsent:
            self._unsent = memoryview(b"")
            self._loop.remove_writer(self._socket)

    def _refused(self, problem: OSError) -> None:
        """The kernel takes nothing more; what the server answered before that is still there."""
        if not self._closed:
            self._readable()
        if not self._closed:
            self._receiver.ended(problem)

    def _readable(self) -> None:
        """Read on while an answer lacks more: after an error a loop may not call again."""
        receive = self._receive
        for _ in range(_READS_AT_ONCE):
            if self._closed:
                return
            try:
                data, ancillary, _, _ = receive(_READ_BYTES, self._ancillary_bytes)
            except _BUSY:
                return
            except OSError as problem:
                self._receiver.ended(problem)
                return
            now_ns = perf_counter_ns()
            if self._tls is not None:
                awaits = self._take_secured(self._tls, data, now_ns, ancillary)
            elif data:
                awaits = self._received(data, now_ns, self._arrived_ns(ancillary, now_ns))
            else:
                self._receiver.ended(None)
                return
            if not awaits:
                return
        self._loop.call_soon(self._readable)

    def _take_secured(self, tls: ssl.SSLObject, data: bytes, now_ns: int, ancillary: Ancillary) -> bool:
        decrypted = _decrypt(tls, self._incoming, data)
        if self._outgoing.pending:
            self._write(self._outgoing.read())
        awaits = True
        if decrypted.data:
            awaits = self._received(decrypted.data, now_ns, self._arrived_ns(ancillary, now_ns))
        if decrypted.is_last and not self._closed:
            self._receiver.ended(decrypted.problem)
        return awaits


@dataclass(frozen=True)
class _Decrypted:
    data: bytes
    is_last: bool
    problem: OSError | None = None


def _decrypt(tls: ssl.SSLObject, incoming: ssl.MemoryBIO, data: bytes) -> _Decrypted:
    """All that can be read once this came; empty: the connection has ended, perhaps without TLS's own word of it."""
    pieces: list[bytes] = []
    incoming.write(data)
    try:
        while piece := tls.read(_READ_BYTES):
            pieces.append(piece)
    except ssl.SSLWantReadError:
        return _Decrypted(b"".join(pieces), is_last=not data)
    except ssl.SSLError as problem:
        return _Decrypted(b"".join(pieces), is_last=True, problem=problem)
    return _Decrypted(b"".join(pieces), is_last=True)


def _is_secured(tls: ssl.SSLObject) -> bool:
    """Go on with the handshake; True where it is done."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
