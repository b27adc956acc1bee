"""Kills runs at seeded random moments and counts what is lost. `python -m tests.long.death --trials 200`."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil

from tests.servers import answer, answering

KINDS = ("generator", "orchestrator", "both")
LONG_KINDS = (*KINDS, "kernel")
ENDS = {"generator": "broken", "orchestrator": "interrupted", "both": "interrupted", "kernel": "interrupted"}
"""The state of the run that is left: a load generator's death is told, of an owner's nobody is left to tell."""
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
    """What became of a killed run."""

    kind: str
    killed_after_s: float
    state: str
    served: int
    """Requests answered until the kill."""
    recorded: int
    seconds_lost: float
    """From the first answer that is not recorded to the kill."""
    alive: int
    """Processes of the run that are left 10 s later."""
    files: frozenset[str]


def trial(kind: str, seed: int) -> Trial:
    """Start a run, kill it at a moment drawn from `seed`, read it in a fresh process."""
    answered_s: list[float] = []

    def answered(_: str) -> tuple[float, bytes]:
        answered_s.append(time.monotonic())
        return _ANSWER_AFTER_S, answer()

    with tempfile.TemporaryDirectory() as folder, answering(answered) as server:
        Path(folder, "pyproject.toml").touch()
        Path(folder, "t.toml").write_text(_TARGET)
        environment = {name: value for name, value in os.environ.items() if name != "PERFLIB_DATA"}
        run = subprocess.Popen(
            _command(kind, Path(folder), server.url),
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not answered_s:
            assert run.poll() is None, "the run did not begin"
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(0.0, 2.6))
        family = _kill(kind, psutil.Process(run.pid))
        killed_s = time.monotonic()
        run.wait(30)
        alive = psutil.wait_procs(family, timeout=10)[1]
        read = [sys.executable, "-c", _READ, str(Path(folder, "data/runs"))]
        said = subprocess.run(read, capture_output=True, text=True, check=True).stdout
        state, recorded, _ = json.loads(said)
        files = frozenset(path.name for path in Path(folder).glob("data/runs/*/*"))
    before_s = [at_s for at_s in answered_s if at_s + _ANSWER_AFTER_S <= killed_s]
    lost_s = killed_s - before_s[recorded] if recorded < len(before_s) else 0.0
    return Trial(kind, killed_s - answered_s[0], state, len(before_s), recorded, lost_s, len(alive), files)


def _command(kind: str, folder: Path, url: str) -> list[str]:
    """What starts the run: the command line, or a notebook's cell."""
    if kind != "kernel":
        return [sys.executable, "-m", "perflib", *_RUN, "--url", url]
    cell = nbformat.v4.new_code_cell(_CELL.replace("URL", url))
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "n.ipynb")
    return [sys.executable, "-m", "papermill", "n.ipynb", "done.ipynb", "--kernel", "python3"]


def _kill(kind: str, run: psutil.Process) -> list[psutil.Process]:
    """Kill -9 what `kind` says; the run's whole family, as it was."""
    children = run.children(recursive=True)
    workers = [child for child in children if "perflib.load.worker" in child.cmdline()]
    kernels = [child for child in children if "ipykernel_launcher" in child.cmdline()]
    doomed = {"generator": workers, "orchestrator": [run], "both": [run, *workers], "kernel": kernels}[kind]
    assert doomed, f"no {kind} to kill"
    for one in doomed:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    return children


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1800, help="begin no further trial after so long")
    arguments = parser.parse_args()
    done: dict[str, list[Trial]] = defaultdict(list)
    until_s = time.monotonic() + arguments.seconds
    try:
        for number in range(arguments.trials):
            if time.monotonic() > until_s:
                break
            kind = LONG_KINDS[number % len(LONG_KINDS)]
            done[kind].append(trial(kind, arguments.seed + number))
    finally:
        sys.stdout.write(_table(done))


def _table(done: dict[str, list[Trial]]) -> str:
    lines = [f"{'killed':14}{'trials':>7}{'so marked':>12}{'served':>8}{'lost':>7}{'most s lost':>12}{'alive':>6}\n"]
    for kind, some in done.items():
        marked = sum(one.state == ENDS[kind] for one in some)
        lost = sum(max(0, one.served - one.recorded) for one in some)
        most_s, alive = max(one.seconds_lost for one in some), sum(one.alive for one in some)
        served = sum(one.served for one in some)
        lines.append(f"{kind:14}{len(some):7}{marked:12}{served:8}{lost:7}{most_s:12.2f}{alive:6}\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
