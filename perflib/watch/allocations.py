"""Where a Python process on this machine allocates what it does not give back: memray, attached for a while."""

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from perflib.spec.allocations import Allocations, Frame, Site

if TYPE_CHECKING:
    import memray

_MOST_SITES = 200
_GRACE_S = 20.0
_PARTS_SHOWN = 3
_NEWER_PROCESSOR = "Couldn't write extended state status"
OLD_GDB = "gdb is older than this processor (AMX) and attaches to no process here; install gdb 14 or newer, or lldb"


@contextmanager
def attached(pid: int, seconds: float) -> Iterator[Callable[[], Allocations]]:
    """Track a process's allocations from now for `seconds`; within the context it is to be put under load.

    Yields a function that waits for the end, and returns what was allocated meanwhile and is still held, or why that
    is not known. Allocations that the process would have given back a moment later are among them.
    """
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "allocations.bin"
        problem = _attach(pid, seconds, file)
        yield lambda: Allocations(why_not=problem) if problem else _read(pid, seconds, file)


def _attach(pid: int, seconds: float, file: Path) -> str:
    """Begin to track; returns why that is not possible, or an empty text."""
    if importlib.util.find_spec("memray") is None:
        return "memray is not installed here"
    if sys.version_info < (3, 14) and not (shutil.which("gdb") or shutil.which("lldb")):
        return "memray attaches through gdb or lldb, and neither is installed; install one of them"
    how = ["--aggregate", "--trace-python-allocators", "--duration", f"{seconds:.0f}", "-o", str(file)]
    command = [sys.executable, "-P", "-W", "ignore", "-m", "memray", "attach", "--verbose", *how, str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return f"memray did not attach to process {pid} within a minute"
    if done.returncode == 0:
        return ""
    if _NEWER_PROCESSOR in done.stdout:
        return OLD_GDB
    why = (done.stderr or done.stdout).strip().splitlines() or ["no reason"]
    return f"memray could not attach to process {pid}: {why[-1]}"


def _read(pid: int, seconds: float, file: Path) -> Allocations:
    import memray

    until_s = time.monotonic() + seconds + _GRACE_S
    while time.monotonic() < until_s:
        try:
            with memray.FileReader(file) as reader:
                held = sorted(reader.get_leaked_allocation_records(merge_threads=True), key=lambda one: -one.size)
                sites = tuple(_site(one) for one in held[:_MOST_SITES])
                return Allocations(pid, seconds, sum(one.size for one in held), sites)
        except OSError:  # not written yet, or not to its end
            time.sleep(0.5)
    return Allocations(why_not=f"process {pid} left no record of its allocations; did it end?")


def _site(record: "memray.AllocationRecord") -> Site:
    stack = tuple(Frame(function, _short(file), line) for function, file, line in record.stack_trace())
    return Site(record.size, record.n_allocations, stack)


def _short(file: str) -> str:
    """The last parts of a path: a report names no machine's folders."""
    return "/".join(Path(file).parts[-_PARTS_SHOWN:])
