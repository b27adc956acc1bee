"""Disturbs runs at seeded random moments and counts what is lost. `python -m tests.long.death --trials 200`.

Some are killed, and some go on: their load generator stops for a second, their disk fills up (root alone can have a
small one), somebody sets the clock (its readings in their processes; the kernel's stamps stay), another PID namespace
looks at the run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import psutil

from tests.servers import answer, answering

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("generator", "orchestrator", "both")
ENDS = {
    "generator": "broken",
    "orchestrator": "interrupted",
    "both": "interrupted",
    "kernel": "interrupted",
    "stopped": "finished",
    "clock": "finished",
    "looked at": "finished",
    "disk": "broken",
}
"""The state of the run that is left: a load generator's death is told, of an owner's nobody is left to tell."""
_KILLED = ("generator", "orchestrator", "both", "kernel")
_CLOCK = """\
import time
real_ns = time.time_ns
def time_ns():
    with open(PATH) as file:
        return real_ns() + int(file.read() or 0)
time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
"""
_TARGET = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n[[endpoint]]\npath = "/a"\n'
_RUN = ("run", "light_load", "--target", "t.toml", "--duration", "3s", "--warmup", "0", "--users", "3", "--json")
_CELL = """\
import perflib
perflib.run("light_load", perflib.Options(target="t.toml", url="URL", duration=3, warmup=0, users=3))
"""
_READ = """\
import json, sys
from pathlib import Path
from perflib.store.runs import load_run
from perflib.figures.summary import summarize
[facts] = Path(sys.argv[1]).glob("*/run.json")
run = load_run(Path(sys.argv[1]), facts.parent.name)
print(json.dumps([run.facts.state, len(run.requests), summarize(run).endpoints[0].requests]))
"""
_ANSWER_AFTER_S = 0.005


@dataclass(frozen=True)
class Trial:
    """What became of a run."""

    kind: str
    state: str
    served: int
    """Requests answered until it was killed, or ended."""
    recorded: int
    seconds_lost: float
    """From the first answer that is not recorded until then."""
    alive: int
    """Processes of the run that are left 10 s later."""
    files: frozenset[str]


def possible() -> list[str]:
    """The kinds that this machine can have."""
    root = sys.platform == "linux" and os.geteuid() == 0
    return [kind for kind in ENDS if root or kind not in ("disk", "looked at")]


def trial(kind: str, seed: int) -> Trial:
    """Start a run, disturb it at a moment drawn from `seed`, read it in a fresh process."""
    answered_s: list[float] = []

    def answered(_: str) -> tuple[float, bytes]:
        answered_s.append(time.monotonic())
        return _ANSWER_AFTER_S, answer()

    with tempfile.TemporaryDirectory() as name, answering(answered) as server, _small_disk(kind, Path(name)):
        folder = Path(name)
        (folder / "pyproject.toml").touch()
        (folder / "t.toml").write_text(_TARGET)
        command = _command(kind, folder, server.url)
        quiet = subprocess.DEVNULL
        run = subprocess.Popen(command, cwd=folder, env=_environment(kind, folder), stdout=quiet, stderr=quiet)
        while not answered_s:
            assert run.poll() is None, "the run did not begin"
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(0.0, 2.6))
        family = _disturb(kind, psutil.Process(run.pid), folder)
        over_s = time.monotonic()
        run.wait(60)
        alive = psutil.wait_procs(family, timeout=10)[1]
        (folder / "data/filler").unlink(missing_ok=True)  # as the line of a full disk says: make room
        read = [sys.executable, "-c", _READ, str(folder / "data/runs")]
        state, recorded, _ = json.loads(subprocess.run(read, stdout=subprocess.PIPE, text=True, check=True).stdout)
        files = frozenset(path.name for path in folder.glob("data/runs/*/*"))
    if ENDS[kind] == "finished":
        over_s = answered_s[-1] + _ANSWER_AFTER_S
    before_s = [at_s for at_s in answered_s if at_s + _ANSWER_AFTER_S <= over_s]
    lost_s = over_s - before_s[recorded] if recorded < len(before_s) else 0.0
    return Trial(kind, state, len(before_s), recorded, lost_s, len(alive), files)


@contextmanager
def _small_disk(kind: str, folder: Path) -> Iterator[None]:
    """Where the disk is to fill up, data/ has one of its own."""
    data = folder / "data"
    if kind != "disk":
        yield
        return
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(data)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


def _environment(kind: str, folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"}
    if kind != "clock":
        return own
    (folder / "clock").write_text("0")
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(_CLOCK.replace("PATH", repr(str(folder / "clock"))))
    return own | {"PYTHONPATH": str(folder / "site")}


def _command(kind: str, folder: Path, url: str) -> list[str]:
    """What starts the run: the command line, or a notebook's cell."""
    if kind != "kernel":
        return [sys.executable, "-m", "perflib", *_RUN, "--url", url]
    cell = nbformat.v4.new_code_cell(_CELL.replace("URL", url))
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "n.ipynb")
    return [sys.executable, "-m", "papermill", "n.ipynb", "done.ipynb", "--kernel", "python3"]


def _disturb(kind: str, run: psutil.Process, folder: Path) -> list[psutil.Process]:
    """Do to a run what `kind` says; the run's whole family, as it was."""
    children = run.children(recursive=True)
    workers = [child for child in children if "perflib.load.worker" in child.cmdline()]
    kernels = [child for child in children if "ipykernel_launcher" in child.cmdline()]
    if kind in _KILLED:
        doomed = {"generator": workers, "orchestrator": [run], "both": [run, *workers], "kernel": kernels}[kind]
        assert doomed, f"no {kind} to kill"
        for one in doomed:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    elif kind == "stopped":
        for how, for_s in (("suspend", 1.0), ("resume", 0.0)):
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    getattr(worker, how)()
            time.sleep(for_s)
    elif kind == "clock":
        (folder / "clock").write_text(str(-3600 * 10**9))
    elif kind == "looked at":
        look = [sys.executable, "-m", "perflib", "history"]
        subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", *look], cwd=folder, check=True, capture_output=True
        )
    elif kind == "disk":
        with suppress(OSError), (folder / "data/filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
    return children


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1800, help="begin no further trial after so long")
    arguments = parser.parse_args()
    done: dict[str, list[Trial]] = defaultdict(list)
    kinds = possible()
    until_s = time.monotonic() + arguments.seconds
    try:
        for number in range(arguments.trials):
            if time.monotonic() > until_s:
                break
            kind = kinds[number % len(kinds)]
            died = trial(kind, arguments.seed + number)
            done[kind].append(died)
    finally:
        sys.stdout.write(_table(done))


def _table(done: dict[str, list[Trial]]) -> str:
    lines = [f"{'disturbed':14}{'trials':>7}{'so marked':>12}{'served':>8}{'lost':>7}{'most s lost':>12}{'alive':>6}\n"]
    for kind, some in done.items():
        marked = sum(one.state == ENDS[kind] for one in some)
        lost = sum(max(0, one.served - one.recorded) for one in some)
        most_s, alive = max(one.seconds_lost for one in some), sum(one.alive for one in some)
        served = sum(one.served for one in some)
        lines.append(f"{kind:14}{len(some):7}{marked:12}{served:8}{lost:7}{most_s:12.2f}{alive:6}\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
