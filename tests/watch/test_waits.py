"""The wait of threads for a core: what threads that end had waited is kept, and what is not told is not known."""

import math
import os
import shutil
import sys
import time
from pathlib import Path

import psutil
import pytest

from perflib.watch.cpu import Spent
from perflib.watch.waits import Waits
from tests.processes import process, said


def tell(proc: Path, pid: int, **threads: tuple[int, int]) -> None:
    """What /proc says of the threads of a process: how long each ran and waited; of no others."""
    shutil.rmtree(proc / str(pid), ignore_errors=True)
    for thread, (ran_ns, waited_ns) in threads.items():
        folder = proc / str(pid) / "task" / thread.removeprefix("t")
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(f"{ran_ns} {waited_ns} 3\n", encoding="ascii")


def test_the_waits_of_all_threads_count_from_the_first_look_on(tmp_path: Path) -> None:
    waits = Waits(tmp_path)
    tell(tmp_path, 7, t7=(10, 5_000_000_000), t8=(10, 1_000_000_000))
    assert waits.look([7]) == 0
    tell(tmp_path, 7, t7=(10, 5_500_000_000), t8=(10, 1_000_000_000))
    assert waits.look([7]) == pytest.approx(0.5)


def test_what_a_thread_waited_until_the_last_look_at_it_outlives_it(tmp_path: Path) -> None:
    waits = Waits(tmp_path)
    tell(tmp_path, 7, t7=(10, 0))
    waits.look([7])
    tell(tmp_path, 7, t7=(10, 100_000_000), t8=(10, 2_000_000_000))
    assert waits.look([7]) == pytest.approx(2.1)
    tell(tmp_path, 7, t7=(10, 300_000_000))
    assert waits.look([7]) == pytest.approx(2.3)
    tell(tmp_path, 7, t7=(10, 300_000_000), t8=(10, 400_000_000))
    assert waits.look([7]) == pytest.approx(2.7), "another thread has got its number"
    assert waits.look([]) == pytest.approx(2.7), "the process has ended"


def test_where_the_system_tells_no_waits_they_are_not_known(tmp_path: Path) -> None:
    assert math.isnan(Waits(tmp_path).look([7]))
    tell(tmp_path, 7, t7=(0, 0))
    assert math.isnan(Waits(tmp_path).look([7]))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells it")
def test_two_that_share_a_core_wait_as_long_as_they_run() -> None:
    core = min(os.sched_getaffinity(0))
    busy = f"import os; os.sched_setaffinity(0, {{{core}}}); print(1, flush=True)\nwhile True: pass"
    with process(busy) as one, process(busy) as other:
        said(one)
        said(other)
        waits = Waits()
        waits.look([one.pid, other.pid])
        before_s = sum(Spent.of(psutil.Process(each.pid)).own_s for each in (one, other))
        time.sleep(1)
        waited_s = waits.look([one.pid, other.pid])
        ran_s = sum(Spent.of(psutil.Process(each.pid)).own_s for each in (one, other)) - before_s
    assert waited_s > 0.8 * ran_s
