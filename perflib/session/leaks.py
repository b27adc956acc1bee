"""Where a leaking target allocates what it keeps."""

from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from perflib.judge.leak import memory_of
from perflib.load.engine import drive
from perflib.spec import Run
from perflib.spec.allocations import Allocations
from perflib.store.runs import RunFolder
from perflib.watch import allocations
from perflib.watch.process import largest_of


def leak_sites(run: Run, seconds: float = 10.0, *, attach: bool = False) -> Allocations:
    """Where a leaking Python target on this machine allocates what it keeps, under the run's load once more.

    memray is put into the target's process for `seconds`; it must be installed in the target's environment. Without
    `attach` that is done only to the sample dashboard.
    """
    pid = run.facts.memory.pid
    if memory_of(run).verdict != "LEAK" and not attach:
        return Allocations(why_not="the target was not found to leak; nothing was attached to it")
    if pid is None:
        return Allocations(why_not=f"the target's process is not known: {run.facts.memory.told}")
    if not psutil.pid_exists(pid):
        return Allocations(why_not=f"process {pid} has ended; start the target anew and measure it again")
    pid = largest_of(pid)
    if not (attach or run.facts.sample_target):
        offer = f"perflib.leak_sites(run, {seconds:g}, attach=True)"
        return Allocations(why_not=f"{offer} puts memray into process {pid} and drives the same load again")
    facts = run.facts.replaced(scenario=run.facts.scenario.lasting(seconds), setup=None)
    with TemporaryDirectory() as scratch, allocations.attached(pid, seconds) as told:
        with RunFolder.create(Path(scratch), facts) as folder:
            drive(facts, folder.path)
        return told()
