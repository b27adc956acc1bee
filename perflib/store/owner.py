"""The owner of a run: the processes that write it, and whether one of them still lives.

Each of them holds a shared lock (flock) on the run's owner file for its life. A kernel knows its own locks in whichever
container or PID namespace one asks, and whatever becomes of the wall clock. The file says besides which machine they
live on: of another machine's processes nothing can be known from here, so its run is left alone.
"""

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Self

import psutil

OWNER = "owner"

_BALLAST_BYTES = 16384
"""The owner file is so much longer than its text: on a disk that is full, cutting it makes room for the last words."""
_GROWS_WITHIN_S, _FRESH_S = 2.0, 60.0
_FORMER = re.compile(r"(\d+) ([\d.]+)\s*")
"""The text of earlier versions, which took no lock: a PID, and when it began by the wall clock."""


_HELD: set[int] = set()
"""The descriptors that hold this process's locks."""


class Fate(Enum):
    """What became of those who write a run."""

    HERE = "they live on this machine"
    ELSEWHERE = "they seem to live on another machine"
    GONE = "none of them lives"


@dataclass(frozen=True)
class Owner:
    """The process that began a run, as its owner file names it."""

    pid: int
    started: str
    """When it began, by a clock that nobody sets; of a process with the same number it tells it."""
    namespace: str
    """Of its PID: elsewhere the number means another process."""
    boot: str
    """Of its kernel, which all containers of a machine share; empty where that is not known."""
    host: str
    locked: bool
    """Whether the file system gave it the lock."""

    @classmethod
    def here(cls, locked: bool) -> Self:
        """This process."""
        pid, machine = os.getpid(), _text_of("/etc/machine-id")
        return cls(
            pid=pid,
            started=_started(pid),
            namespace=_link("/proc/self/ns/pid"),
            boot=_text_of("/proc/sys/kernel/random/boot_id"),
            host=" ".join(filter(None, (socket.gethostname(), machine))),
            locked=locked,
        )

    def lives(self) -> bool:
        """By its PID, asked where the number means the same."""
        return bool(self.started) and _started(self.pid) == self.started


def take(folder: Path) -> int:
    """Make this process the owner of a new run. Returns the descriptor that holds the lock. Raises OSError."""
    unfinished = folder / f".{OWNER}.part"
    held = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(held, json.dumps(asdict(Owner.here(_lock(held, fcntl.LOCK_SH)))).encode())
    with suppress(OSError):
        os.write(held, b"\n" * _BALLAST_BYTES)
    unfinished.rename(folder / OWNER)  # nobody ever sees it without its lock
    _HELD.add(held)
    return held


def join(folder: Path) -> None:
    """Hold the lock for the life of this process too: it writes the run's rows."""
    with suppress(FileNotFoundError):
        _lock(os.open(folder / OWNER, os.O_RDONLY), fcntl.LOCK_SH)


def let_go(held: int) -> None:
    """Own a run no longer."""
    if held in _HELD:
        _HELD.remove(held)
        os.close(held)


def make_room(folder: Path) -> None:
    """Give the bytes of the owner file's blanks back to a disk that is full."""
    path = folder / OWNER
    with suppress(FileNotFoundError):
        os.truncate(path, len(path.read_bytes().rstrip()))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A stretch in which no other process looks after this run: two that finish it at once would take its rows away."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def fate(folder: Path) -> Fate:
    """What became of those who write this run; GONE too where a run that is written has no owner file.

    Raises:
        OSError: where there is no such folder.
    """
    try:
        with _opened(folder / OWNER) as file:
            text, free = file.read(), _is_free(file)
    except FileNotFoundError:
        return Fate.HERE if _grows(folder) else Fate.GONE
    if former := _FORMER.fullmatch(text):
        return Fate.HERE if _lived_in_the_former_format(*former.groups()) or _grows(folder) else Fate.GONE
    if free is False:
        return Fate.HERE
    owner = _parsed(text)
    return _fate_of(owner, free, folder) if owner else Fate.HERE if _grows(folder) else Fate.GONE


def whereabouts(folder: Path) -> str:
    """The machine of the owner, in words."""
    with suppress(OSError):
        owner = _parsed((folder / OWNER).read_text(encoding="utf-8"))
        if owner is not None and owner.host != Owner.here(False).host:
            return f"on {owner.host.split()[0]}"
    return "in another container"


def _fate_of(owner: Owner, free: bool | None, folder: Path) -> Fate:
    """Of an owner whose lock is free, or (None) whose file system has no locks."""
    me = Owner.here(False)
    if owner.boot != me.boot or not owner.boot:
        if owner.host != me.host:
            return Fate.ELSEWHERE
        if owner.boot:  # this machine was started anew since; or it is another one of the same name
            return Fate.HERE if _grows(folder) else Fate.GONE
    if free and owner.locked:
        return Fate.GONE
    if owner.namespace != me.namespace:
        return Fate.ELSEWHERE
    return Fate.HERE if owner.lives() or _grows(folder) else Fate.GONE


def _grows(folder: Path) -> bool:
    """Whether somebody writes the spools: a worker does once per second."""
    before = _sizes(folder)
    for _ in range(int(_GROWS_WITHIN_S / 0.1) if before else 0):
        time.sleep(0.1)
        if _sizes(folder) != before:
            return True
    return False


def _sizes(folder: Path) -> dict[str, int]:
    """Of the spools that were written a moment ago; or are to be written yet, by this clock."""
    some = [path.stat() for path in folder.glob("*.spool")]
    fresh = any(time.time() - one.st_mtime < _FRESH_S for one in some)
    return {str(one.st_ino): one.st_size for one in some} if fresh else {}


def _lived_in_the_former_format(pid: str, created: str) -> bool:
    try:
        process = psutil.Process(int(pid))
        return process.create_time() == float(created) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False


def _parsed(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _started(pid: int) -> str:
    """When a living process began, in ticks since its machine did; empty where there is none."""
    try:
        if _link("/proc/self/ns/pid"):
            words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return "" if words[0] in "ZX" else words[19]
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except (OSError, psutil.Error):
        return ""


def _opened(path: Path) -> IO[str]:
    """For writing where that is allowed: a network file system locks no other file alone."""
    try:
        return path.open("r+", encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise
    except OSError:
        return path.open(encoding="utf-8", errors="replace")


def _is_free(file: IO[str]) -> bool | None:
    """Whether nobody holds the lock; None where the file system has none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _lock(handle: int, how: int) -> bool:
    """Take the lock; False where the file system has none."""
    try:
        fcntl.flock(handle, how)
    except OSError:
        return False
    return True


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _forked() -> None:
    """A child that a fork made holds no run of its parent's."""
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_forked)
