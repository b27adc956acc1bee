"""Connecting: from a host's addresses to an open connection, and why there is none."""

import asyncio
import errno
import os
import re
import socket
import ssl
from asyncio.staggered import staggered_race
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns

from perflib.load.kernel_clock import established_ns, stamp_arrivals
from perflib.spec.undriven import HTTP_2

_STAGGER_S = 0.25
"""Between the attempts at two addresses (RFC 8305, 5)."""

_FULL_S = 0.001
"""Between two attempts at a Unix socket whose server accepts too slowly."""

_NO_FILES = "raise `ulimit -n`, or use fewer users or connections"
_NO_PORTS = "no local port or address is free; use fewer connections, or widen net.ipv4.ip_local_port_range"
_NO_MEMORY = "this machine has no memory for another connection; use fewer users or connections"
OWN_LIMITS = {
    errno.EMFILE: f"this process may open no more files; {_NO_FILES}",
    errno.ENFILE: f"this machine may open no more files; {_NO_FILES}",
    errno.EADDRNOTAVAIL: _NO_PORTS,
    errno.EADDRINUSE: _NO_PORTS,
    errno.EAGAIN: _NO_MEMORY,
    errno.ENOBUFS: _NO_MEMORY,
    errno.ENOMEM: _NO_MEMORY,
}
"""What the operating system refuses to the load generator itself: none of it is the target's failure."""

_OF_ONE_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EHOSTUNREACH)
CLIENT_CERTIFICATE = "the server asks for a client certificate; name it in tls.client_cert of the target file"
_UNKNOWN_CA = "; name its CA in tls.ca_file of the target file, or SSL_CERT_FILE"
_OTHER_NAME = "; name what it is issued to in tls.server_name of the target file"
_CERTIFICATE_MENDS = dict.fromkeys((18, 19, 20, 21), _UNKNOWN_CA) | dict.fromkeys((62, 64), _OTHER_NAME)
"""By OpenSSL's codes: X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT and those of an issuer that is not trusted; those of a
certificate of another host, or another address."""
_SAID = re.compile(r"^\[.*?\]|\(_ssl\.c:\d+\)$")
"""What Python adds to OpenSSL's words; its own names of them lack some."""
_ALERT = re.compile(r"(?:sslv3|tlsv1|tlsv13) alert (.+)")
_REFUSED = "the server refuses the client certificate ({}); mend tls.client_cert of the target file"
_OF_A_CERTIFICATE = (
    "bad certificate",
    "unsupported certificate",
    "certificate revoked",
    "certificate expired",
    "certificate unknown",
    "unknown ca",
    "access denied",
)
_ALERTS = {
    "certificate required": CLIENT_CERTIFICATE,
    "handshake failure": "the server ends the handshake: it asks for a client certificate (name it in tls.client_cert "
    "of the target file), or shares no version or cipher with this machine",
    "no application protocol": f"the server speaks {HTTP_2}",
    **{said: _REFUSED.format(said) for said in _OF_A_CERTIFICATE},
}
"""What a server means by its alert (RFC 8446, 6.2); others are said as they are."""
_WITHOUT_TLS = "the server answers without TLS; write http://"
_PLAIN_TEXT = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


@dataclass(frozen=True)
class Fault:
    """Why a connection failed or ended: one of `perflib.spec.ERROR_KINDS`, and the reason in words."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Dialled:
    """A connection, the address that accepted it, and when, by `perf_counter_ns`."""

    host: str
    socket: socket.socket
    established_ns: int


def interleaved(hosts: Sequence[str]) -> tuple[str, ...]:
    """Addresses in the resolver's order, the families by turns (RFC 8305, 4).

    >>> interleaved(["::1", "::2", "127.0.0.1"])
    ('::1', '127.0.0.1', '::2')
    """
    first = [host for host in hosts if (":" in host) == (":" in hosts[0])]
    other = [host for host in hosts if host not in first]
    pairs = zip(first, other, strict=False)
    shorter = min(len(first), len(other))
    return *(host for pair in pairs for host in pair), *first[shorter:], *other[shorter:]


async def dial(hosts: Sequence[str], port: int) -> Dialled:
    """Connect to the first address that accepts, each tried a little after the one before (RFC 8305).

    Raises:
        OSError: the most telling one, where none accepts.
    """
    opened: list[Dialled] = []

    async def attempt(host: str) -> None:
        opened.append(await _dialled(host, port))

    if len(hosts) == 1:
        await attempt(hosts[0])
        return opened[0]
    try:
        _, winner, problems = await staggered_race([partial(attempt, host) for host in hosts], _STAGGER_S)
    except BaseException:
        _hang_up(opened)
        raise
    _hang_up(opened[1:])  # they came as the first did
    if winner is None:
        raise max((problem for problem in problems if isinstance(problem, OSError)), key=_how_telling)
    return opened[0]


def _hang_up(some: Sequence[Dialled]) -> None:
    for one in some:
        one.socket.close()


async def _dialled(host: str, port: int) -> Dialled:
    connecting = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamp_arrivals(connecting)
        begun_ns = perf_counter_ns()
        await asyncio.get_running_loop().sock_connect(connecting, (host, port))
        return Dialled(host, connecting, established_ns(connecting, begun_ns, perf_counter_ns()))
    except BaseException:
        connecting.close()
        raise


async def dial_socket(path: str) -> Dialled:
    """Connect to a Unix socket. Raises OSError."""
    connecting = socket.socket(socket.AF_UNIX)
    try:
        connecting.setblocking(False)
        while not _is_taken(connecting, path):
            await asyncio.sleep(_FULL_S)
        return Dialled("", connecting, perf_counter_ns())
    except BaseException:
        connecting.close()
        raise


def _is_taken(connecting: socket.socket, path: str) -> bool:
    """False while the server has accepted too little: no poll tells when that changes."""
    try:
        connecting.connect(path)
    except BlockingIOError:
        return False
    return True


def _how_telling(problem: OSError) -> int:
    """A family that this machine lacks says least, a limit of its own most."""
    return 0 if problem.errno in _OF_ONE_ADDRESS else 2 if problem.errno in OWN_LIMITS else 1


def fault_of(error: OSError, kind: str) -> Fault:
    """What a failure of the operating system or of TLS means; `kind` where it is not this machine's own limit."""
    if isinstance(error, ssl.SSLEOFError) or not error.errno:
        return Fault(kind, "closed during the TLS handshake")
    if isinstance(error, ssl.SSLError):
        return Fault(kind, _tls_reason(error))
    if error.errno in OWN_LIMITS:
        return Fault("generator", OWN_LIMITS[error.errno])
    return Fault(kind, os.strerror(error.errno).lower())


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        mend = _CERTIFICATE_MENDS.get(error.verify_code, "")
        return f"certificate verify failed: {error.verify_message.rstrip('.')}{mend}"
    if error.reason in _PLAIN_TEXT:
        return _WITHOUT_TLS
    said = _SAID.sub("", str(error)).strip() or "failed"
    alert = _ALERT.fullmatch(said)
    if alert is None:
        return f"TLS: {said}"
    return _ALERTS.get(alert[1]) or f"TLS: the server says: {alert[1]}"
