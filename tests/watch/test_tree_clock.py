"""The clock of a process tree: what it computed, and what it waited for."""

import time
from time import perf_counter_ns

import pytest

from perflib.watch.process import ProcessTree
from perflib.watch.tree_clock import TreeClock
from tests.processes import process, said

TURNS = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    if os.fork():
        continue
    time.sleep(1)
    until = time.process_time() + 0.5
    while time.process_time() < until: pass
    time.sleep(60)
print("ready", flush=True)
sys.stdin.read()
os.killpg(0, 9)
"""


@pytest.mark.parametrize("children", [1, 2])
def test_the_cpu_time_of_all_processes_is_counted_and_those_that_compute(children: int) -> None:
    with process(TURNS.replace("import os", "import os; os.setsid(); import os", 1), children) as started:
        said(started)
        with TreeClock(ProcessTree([started.pid])) as clock:
            clock.begin(perf_counter_ns())
            time.sleep(1 + 1.2 * children)
        ticks = clock.ticks
    assert ticks.between(ticks.t_ns[0], ticks.t_ns[-1]).cpu_s == pytest.approx(0.5 * children, rel=0.1)
    assert ticks.processes == children
    assert ticks.between(ticks.t_ns[0], ticks.t_ns[0] + 0.5e9).cpu_s < 0.05


def test_without_a_tree_nothing_is_known() -> None:
    with TreeClock(None) as clock:
        clock.begin(perf_counter_ns())
    assert not len(clock.ticks.t_ns)
