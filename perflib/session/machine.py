"""This machine: what of it matters to a figure."""

import math
import os
import platform
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil

from perflib.spec import Environment, InputError, Target

_PACKAGES = ("perflib", "httptools", "uvloop", "httpx", "numpy", "pandas", "pyarrow")
_PATIENCE_S = 5.0
_CGROUP = Path("/sys/fs/cgroup")


def this_machine() -> Environment:
    """The machine and the versions that matter to a figure."""
    return Environment(
        os=platform.system(),
        arch=platform.machine(),
        cpu=_cpu_model(),
        cores=usable_cores(),
        ram_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        versions={name: version(name) for name in _PACKAGES if name != "uvloop" or sys.platform != "win32"},
    )


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """The cores that this process may use: by its affinity, and by its cgroup's quota, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """Cores by the CPU quota of the cgroup, of version 2 or 1; infinite where there is none."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        return math.inf if quota in ("max", "-1") else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


@cache
def _cpu_model() -> str:
    """The processor's name; of ARM on Linux, which has none, its maker's and its part's numbers."""
    if sys.platform == "darwin":
        return _said_by("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or "unknown"
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines)}
    arm = [f"{word} {told[f'CPU {word}']}" for word in ("implementer", "part", "variant") if f"CPU {word}" in told]
    return told.get("model name") or ", ".join(arm) or platform.processor() or "unknown"


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out there; None where there is none, or no git."""
    said = _said_by("git", "-C", str(folder), "rev-parse", "HEAD")
    return said if re.fullmatch("[0-9a-f]{40,64}", said) else None


def revision_of(target: Target) -> str:
    """The revision as the target file tells it before a run; empty where it does not, or only answers tell it.

    Raises:
        InputError: where the folder that it names is none of git.
    """
    asked = target.revision
    if asked is None or asked.git is None:
        return asked.text or os.environ.get(asked.env or "", "") if asked else ""
    folder = target.folder / asked.git
    if commit := git_commit(folder):
        return commit
    raise InputError(f"target.revision.git: {folder}: no commit of git there; name a folder of the API's repository")


def _said_by(*command: str) -> str:
    """What a command prints; nothing where it is not installed, fails or hangs."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
