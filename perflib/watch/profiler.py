"""Where a CPython process of this machine, with all that it has started, spends its time: py-spy, attached for a while.

py-spy reads the memory of the process from outside and does not pause it; a stack that it reads half is left out.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

_BEGIN_S, _GRACE_S, _LOOK_S = 10.0, 10.0, 0.02
_SHOWN = 120
_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")


def why_not(pid: int, attach: bool | None, unasked: bool) -> str:
    """Why py-spy is not to be attached to a process, or an empty text.

    `attach` None: nobody has said. `unasked`: it may be attached then, as to the sample dashboard, or to a process that
    was named by its number.
    """
    if attach is False:
        return "no process is looked into (--no-attach): no function is named"
    if attach is None and not unasked:
        return f"process {pid} is not looked into unasked: with --attach, py-spy names its functions"
    return _problem(pid)


def who(pid: int) -> str:
    """A process by its number and its command line, to be shown before it is looked into; too long a one is cut."""
    command = ""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        command = " ".join(" ".join(process.cmdline()).split()) or process.name()
    shown = command if len(command) <= _SHOWN else command[:_SHOWN] + "…"
    return f"process {pid} ({shown})" if shown else f"process {pid}"


class Profile:
    """What py-spy sees from now on, for so long at most."""

    def __init__(self, pid: int, duration_s: float, rate_per_s: int, folder: Path) -> None:
        self._pid, self._folder = pid, folder
        self._py_spy: subprocess.Popen[bytes] | None = None
        self.why_not = _problem(pid)
        """Why there is no profile, in one line; empty where there is one."""
        if not self.why_not:
            most_s = math.ceil(duration_s + _GRACE_S)  # should this process be killed
            self._py_spy = self._started("--subprocesses", "--rate", str(rate_per_s), "--duration", str(most_s))
            self.why_not = "" if self._has_begun(self._py_spy) else self._refusal()
        self._until_s = time.monotonic() + duration_s

    def stacks(self) -> str:
        """Wait for the end; the collapsed stacks, ``outer (file:line);inner (file:line) SAMPLES`` a line.

        Empty where there is no profile, which `why_not` then explains.
        """
        if self._py_spy is None or self.why_not:
            return ""
        with suppress(subprocess.TimeoutExpired):
            self._py_spy.wait(max(0.0, self._until_s - time.monotonic()))
        self._py_spy.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._py_spy.wait(_GRACE_S)
        with suppress(OSError):
            return (self._folder / "stacks").read_text(encoding="utf-8", errors="replace")
        self.why_not = f"py-spy left no profile of process {self._pid}: {self._said()}"
        return ""

    def close(self) -> None:
        """End py-spy, if it has not ended."""
        if self._py_spy is not None:
            self._py_spy.kill()
            self._py_spy.wait()

    def _started(self, *how: str) -> subprocess.Popen[bytes]:
        fixed = ("record", "--nonblocking", "--idle", "--threads", "--full-filenames", "--format", "raw")
        where = ("--pid", str(self._pid), "--output", str(self._folder / "stacks"))
        with (self._folder / "said").open("wb") as said:
            command = [str(py_spy()), *fixed, *where, *how]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def _has_begun(self, py_spy: subprocess.Popen[bytes]) -> bool:
        until_s = time.monotonic() + _BEGIN_S
        while py_spy.poll() is None and time.monotonic() < until_s:
            if "Sampling process" in self._said():
                return True
            time.sleep(_LOOK_S)
        return False

    def _refusal(self) -> str:
        """Why it did not begin: with --subprocesses py-spy does not say, so it is asked for the process alone."""
        self.close()
        self._py_spy = self._started("--duration", "1")
        with suppress(subprocess.TimeoutExpired):
            self._py_spy.wait(_BEGIN_S)
        return _in_words(self._pid, self._said())

    def _said(self) -> str:
        return (self._folder / "said").read_text(encoding="utf-8", errors="replace").strip().partition("\n")[0]


@contextmanager
def profiling(pid: int, duration_s: float, rate_per_s: int = 100) -> Iterator[Profile]:
    """Look into a process and all that it has started, from now on; returns within seconds whatever happens.

    Within the context the process is to be put under load. py-spy has ended after it.
    """
    with TemporaryDirectory() as folder:
        profile = Profile(pid, duration_s, rate_per_s, Path(folder))
        try:
            yield profile
        finally:
            profile.close()


def py_spy() -> Path | None:
    """The py-spy of this Python's environment, else that of the PATH."""
    own = Path(sysconfig.get_path("scripts"), "py-spy")
    found = str(own) if own.exists() else shutil.which("py-spy")
    return Path(found) if found else None


def _problem(pid: int) -> str:
    if py_spy() is None:
        return "py-spy is not installed: no function is named; pip install 'perflib[why]'"
    if not _runs(pid):
        return f"process {pid} has ended: no function is named"
    if pid in {os.getpid(), *(one.pid for one in psutil.Process().parents())}:
        return f"process {pid} is perflib, or has started it: no function is named"
    return ""


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _in_words(pid: int, said: str) -> str:
    if not _runs(pid):
        return f"process {pid} has ended: no function is named"
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if any(word in said.lower() for word in ("permission", "permitted", "root", "executable name")):
            return _refused(process)
        if "python" in said.lower() and not process.name().lower().startswith("python"):
            return f"process {pid} ({process.name()}) is no CPython process: no function is named"
    return f"py-spy could not look into process {pid}: {said.removeprefix('Error: ') or 'it gave no reason'}"


def _refused(process: psutil.Process) -> str:
    """By whom, and how it would be allowed."""
    if sys.platform == "darwin":
        return f"macOS lets only root look into process {process.pid}: run perflib by sudo"
    scope = _SCOPE.read_text(encoding="ascii").strip() if _SCOPE.exists() else "0"
    if os.geteuid() not in {0, process.uids().real}:
        return f"process {process.pid} belongs to {process.username()}: run perflib as that user, or as root"
    if scope != "0":
        return (
            f"the kernel lets only a parent look into process {process.pid} (kernel.yama.ptrace_scope is {scope}): "
            "`sudo sysctl kernel.yama.ptrace_scope=0`, or run as root"
        )
    return f"this container may not look into process {process.pid}: start it with `docker run --cap-add SYS_PTRACE`"
