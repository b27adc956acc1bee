"""Who listens where an address points: the sockets that the kernel gives its connections to, and all who hold them."""

import os
import pwd
import socket
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import psutil

Address = IPv4Address | IPv6Address

MEND = "name its process with --pid, or give metrics_url in the target file"
_LISTENS = "0A"
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_UNIX, _ACCEPTS = Path("/proc/self/net/unix"), "00010000"
_ANY = (IPv4Address("0.0.0.0"), IPv6Address("::ffff:0.0.0.0"), IPv6Address("::"))
_LOOPBACK: dict[Address, Address] = {_ANY[0]: IPv4Address("127.0.0.1"), _ANY[2]: IPv6Address("::1")}
"""Where a connection to no address in particular goes."""


@dataclass(frozen=True)
class Listener:
    """A listening socket; -1: not told. Linux tells its inode and its user, other systems who holds it."""

    address: Address
    inode: int = -1
    user: int = -1
    pid: int = -1


@dataclass(frozen=True)
class Behind:
    """The processes that hold the sockets which an address leads to; none, and why."""

    pids: frozenset[int] = frozenset()
    why_not: str = ""


def behind(host: str, port: int) -> Behind:
    """All processes that answer at this host and port, where that is clear."""
    addresses = addresses_of(host)
    mine = [address for address in addresses if is_this_machine(address)]
    if not mine:
        what = "the target is not on this machine" if addresses else f"the host {host} has no address"
        return Behind(why_not=f"{what}; give metrics_url in the target file (Prometheus text)")
    if len(mine) < len(addresses):
        return Behind(why_not=f"{host} is this machine and another one; write the address in base_url")
    every = list(_of_linux(port) if _TABLES[0].exists() else _by_process(port))
    chosen = {_at(address, port): some for address in mine if (some := _chosen(every, address))}
    if not chosen:
        return Behind(why_not=f"what listens on {_at(mine[0], port)} cannot be seen from here; {MEND}")
    found = {place: _held(some, place) for place, some in chosen.items()}
    if unseen := next((one for one in found.values() if one.why_not), None):
        return unseen
    if len({one.pids for one in found.values()}) > 1:
        told = " and ".join(f"{place} (process {min(one.pids)})" for place, one in found.items())
        return Behind(why_not=f"{host} leads to different processes, {told}; write the address in base_url")
    return next(iter(found.values()))


def behind_socket(path: Path) -> Behind:
    """All processes that listen on this Unix socket."""
    path = path.resolve()
    listening = {inode: bound for inode, bound in _unix_listeners() if Path(bound).name == path.name}
    holders = holders_of(listening)
    held = {frozenset(pids): pid for inode, pids in holders.items() for pid in pids if _is(path, listening[inode], pid)}
    if len(held) == 1:
        return Behind(next(iter(held)))
    if held:
        told = " and ".join(f"process {pid}" for pid in held.values())
        return Behind(why_not=f"{told} listen on sockets of this path; end the one that was there before, or {MEND}")
    return Behind(why_not=f"what listens on {path} cannot be seen from here; {MEND}")


def _unix_listeners() -> Iterator[tuple[int, str]]:
    """Inode and path, as it was bound, of each listening Unix socket, by proc_pid_net(5)."""
    with suppress(OSError), _UNIX.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            _, _, _, flags, _, _, inode, *bound = line.split(maxsplit=7)
            if flags == _ACCEPTS and bound:
                yield int(inode), bound[0].rstrip("\n")


def _is(path: Path, bound: str, pid: int) -> bool:
    """Whether a process that bound a socket there means this one: it may have named it from its own folder."""
    try:
        return path.samefile(Path(f"/proc/{pid}/cwd", bound))
    except OSError:
        return False


def addresses_of(host: str) -> list[Address]:
    """The addresses that a name leads to, in the order of the resolver; none where it leads nowhere."""
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    plain = (_plain(str(entry[4][0])) for entry in entries)
    return list(dict.fromkeys(_LOOPBACK.get(address, address) for address in plain))


def is_this_machine(address: Address) -> bool:
    """Whether an address is loopback, or that of an interface."""
    families = (socket.AF_INET, socket.AF_INET6)
    mine = (one for every in psutil.net_if_addrs().values() for one in every if one.family in families)
    return address.is_loopback or any(address == _plain(one.address) for one in mine)


def _plain(text: str) -> Address:
    """An address without its scope; of one of IPv4 that is written as one of IPv6, that of IPv4."""
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _at(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _chosen(listeners: Sequence[Listener], address: Address) -> list[Listener]:
    """Those that a connection to this address may reach: the kernel prefers a socket that is bound to it to one bound
    to any address, and IPv4 to both (`compute_score` in net/ipv4/inet_hashtables.c)."""
    if isinstance(address, IPv4Address):
        places: tuple[Address, ...] = (address, IPv6Address(f"::ffff:{address}"), *_ANY)
    else:
        places = (address, _ANY[2])
    bound = ([one for one in listeners if one.address == place] for place in places)
    return next(filter(None, bound), [])


def _of_linux(port: int) -> Iterator[Listener]:
    """All listening sockets of this port, by the tables of proc_pid_net(5)."""
    for table in _TABLES:
        with suppress(OSError), table.open() as lines:
            for line in lines:
                _, local, _, state, *_, user, _, inode = line.split()[:10]
                where, _, number = local.partition(":")
                if state == _LISTENS and int(number, 16) == port:
                    yield Listener(_of_kernel(where), int(inode), int(user))


def _of_kernel(digits: str) -> Address:
    """An address as the kernel writes it: words of 32 bits in this machine's order."""
    words = (int(digits[at : at + 8], 16) for at in range(0, len(digits), 8))
    return ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words))


def _by_process(port: int) -> Iterator[Listener]:
    """The same where there is no /proc, process by process: whoever is not root is refused the others' on macOS."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            for one in process.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port:
                    yield Listener(ip_address(one.laddr.ip.partition("%")[0]), pid=process.pid)


def _held(listeners: Sequence[Listener], place: str) -> Behind:
    """Who holds these sockets; one that nobody is seen to hold makes the whole unclear."""
    told = frozenset(one.pid for one in listeners if one.pid >= 0)
    if told:
        return Behind(told)
    holders = holders_of(one.inode for one in listeners)
    unseen = next((one for one in listeners if not holders[one.inode]), None)
    if unseen is not None:
        return Behind(why_not=f"what listens on {place} cannot be seen from here: it {_hidden(unseen.user)}; {MEND}")
    return Behind(frozenset[int]().union(*holders.values()))


def holders_of(inodes: Iterable[int]) -> dict[int, set[int]]:
    """The processes that hold each of these sockets, as far as they may be read."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    found: defaultdict[int, set[int]] = defaultdict(set)
    for pid in psutil.pids():
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as files:
            for file in files:
                with suppress(OSError):
                    if inode := links.get(str(Path(file.path).readlink())):
                        found[inode].add(pid)
    return found


def _hidden(user: int) -> str:
    """Why a socket's process is not seen."""
    if os.geteuid() in (0, user):
        return "runs in a container, or outside of this one"
    with suppress(KeyError):
        return f"belongs to the user {pwd.getpwuid(user).pw_name}"
    return f"belongs to the user {user}"
