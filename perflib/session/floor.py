"""The instrument floor: what this machine measures of a server that does nothing."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from perflib.load.engine import PYTHON, drive
from perflib.session.machine import this_machine
from perflib.spec import Closed, Facts, InputError, Scenario, Target
from perflib.stats.percentile import percentile
from perflib.store.faults import ChildFault, all_of, did_not_start
from perflib.store.runs import RunFolder


@dataclass(frozen=True)
class Floor:
    """The instrument floor: what this machine measures of a server that does nothing. Milliseconds."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    requests: int = 0


@cache
def floor() -> Floor:
    """The floor that is kept with a run, measured once per process; empty where it cannot be measured."""
    try:
        return calibrate()
    except (InputError, ChildFault):
        return Floor()


def calibrate(duration_s: float = 0.5) -> Floor:
    """Measure the built-in null server with one user: no figure below this floor means anything."""
    target = {"name": "null server", "endpoints": [{"path": "/"}]}
    pipe, command = subprocess.PIPE, [*PYTHON, "-m", "perflib.load.null_server"]
    with (
        TemporaryDirectory() as scratch,
        TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, encoding="utf-8", errors="replace") as server,
    ):
        assert server.stdout is not None
        url = next((line.strip() for line in server.stdout if line.startswith("http://")), "")
        if not url:
            raise did_not_start("null server", all_of(said))
        facts = Facts(
            run_id="calibration",
            scenario=Scenario(
                name="calibration", title="", workload=Closed(users=1), duration_s=duration_s, warmup_s=0.1
            ),
            profile="quick",
            target=Target.parse(target | {"base_url": url}, "null server"),
            seed=1,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=this_machine(),
        )
        with RunFolder.create(Path(scratch), facts) as folder:
            outcome = drive(facts, folder.path)
            if outcome.stopped:
                raise KeyboardInterrupt
            if outcome.state != "finished":
                raise InputError(f"calibrate: {outcome.cut or outcome.broken}; try again")
            return _floor_of(folder)


def _floor_of(folder: RunFolder) -> Floor:
    rows = folder.load().requests
    took_ms = ((rows["end_ns"] - rows["start_ns"]) / 1e6)[rows["error"].isna() & ~rows["warmup"]].to_numpy()
    return Floor(percentile(took_ms, 0.50), percentile(took_ms, 0.99), len(took_ms))
