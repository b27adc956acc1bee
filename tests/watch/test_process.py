"""The target as real processes of this machine: what counts as it, what it takes, and what becomes of it."""

import os
import signal
import time
from collections.abc import Callable
from urllib.request import urlopen

import psutil
import pytest

from perflib.watch.listeners import behind
from perflib.watch.process import ProcessTree, tops_of
from perflib.watch.reading import Reading
from tests.processes import Preforking, preforking, process, said

HOLDING = """
import sys, time
kept = bytearray(int(sys.argv[1]))
kept[::4096] = b"x" * len(kept[::4096])
files = [open("/dev/null") for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.read()
"""
FORKING = """
import os, sys, time
kept = bytearray(40_000_000)
kept[::4096] = b"x" * len(kept[::4096])
if os.fork():
    print("ready", flush=True)
sys.stdin.read()
"""
BUSY_CHILDREN = """
import os, sys, time
print("ready", flush=True)
for _ in range(4):
    if not os.fork():
        while time.process_time() < 0.25: pass
        os._exit(0)
    if sys.argv[1] == "waits":
        os.wait()
    else:
        time.sleep(0.5)
print("done", flush=True)
sys.stdin.read()
"""
LISTENING = """
import socket, sys
one = socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=True)
print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""


def tree_of(server: Preforking) -> ProcessTree:
    return ProcessTree(behind("127.0.0.1", server.port).pids, lambda: behind("127.0.0.1", server.port).pids)


def once(true: Callable[[Reading], bool], tree: ProcessTree) -> Reading:
    """The reading of which it is true at last."""
    until_s = time.monotonic() + 30
    while (reading := tree.read()) is None or not true(reading):
        assert time.monotonic() < until_s, f"still {reading}"
        time.sleep(0.05)
    return reading


def once_listening(server: Preforking) -> None:
    until_s = time.monotonic() + 30
    while len(behind("127.0.0.1", server.port).pids) < 4:
        assert time.monotonic() < until_s
        time.sleep(0.05)


def ask(server: Preforking, times: int) -> None:
    for _ in range(times):
        urlopen(server.url, timeout=10).close()


def test_what_a_process_takes_is_seen_in_its_resident_and_its_own_memory() -> None:
    with process(HOLDING, 0, 0) as small, process(HOLDING, 50_000_000, 40) as large:
        assert said(small) == said(large) == "ready"
        little, much = ProcessTree([small.pid]).read(), ProcessTree([large.pid]).read()
    assert little is not None
    assert much is not None
    assert 45e6 < much.rss_bytes - little.rss_bytes < 55e6
    assert 45e6 < much.uss_bytes - little.uss_bytes < 55e6
    assert much.open_files - little.open_files == 40
    assert much.threads == 1
    assert (much.pid, much.processes) == (large.pid, 1)


def test_a_child_is_counted_with_its_parent_and_what_they_share_counts_once_in_their_pss() -> None:
    with process(FORKING) as father:
        assert said(father) == "ready"
        reading = once(lambda reading: reading.processes == 2, ProcessTree([father.pid]))
        assert reading.rss_bytes > 80e6
        assert 40e6 < reading.pss_bytes < 70e6


@pytest.mark.parametrize("options", [[], ["--each-listens"]])
def test_the_master_and_all_its_workers_are_the_target_however_the_workers_listen(options: list[str]) -> None:
    with preforking("--workers", "4", *options) as server:
        once_listening(server)
        reading = once(lambda reading: reading.processes == 5, tree_of(server))
        assert reading.pid == server.pid
        assert reading.rss_bytes > 5 * 5e6


def test_servers_that_listen_each_by_itself_are_summed_without_the_shell_that_started_them() -> None:
    with process(LISTENING, 0) as one:
        port = int(said(one))
        with process(LISTENING, port) as two:
            said(two)
            found = behind("127.0.0.1", port).pids
            assert found == {one.pid, two.pid}
            assert {top.pid for top in tops_of(found)} == {one.pid, two.pid}, "their parent is this test"
            reading = ProcessTree(found).read()
    assert reading is not None
    assert reading.processes == 2


def test_a_server_that_joins_the_others_later_is_counted_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perflib.watch.process._LOOK_EVERY_S", 0.1)
    with process(LISTENING, 0) as one:
        port = int(said(one))
        tree = ProcessTree([one.pid], lambda: behind("127.0.0.1", port).pids)
        with process(LISTENING, port) as two:
            said(two)
            reading = once(lambda reading: reading.processes == 2, tree)
            assert (reading.pid, reading.ended) == (one.pid, 0)
            one.kill()
            one.wait()
            assert once(lambda reading: reading.processes == 1, tree).pid == one.pid, "the target went on"


def test_this_process_is_not_the_target_because_it_holds_the_socket_of_a_child() -> None:
    with preforking() as server:
        assert [top.pid for top in tops_of({server.pid, os.getpid()})] == [server.pid]
    assert [top.pid for top in tops_of({os.getpid()})] == [os.getpid()], "a server in a thread is"


def test_workers_that_are_replaced_under_a_living_master_are_counted_and_are_no_restart() -> None:
    with preforking("--recycle", "20") as server:
        tree = tree_of(server)
        begin = once(lambda reading: reading.processes == 4, tree)
        for _ in range(3):
            before = once(lambda reading: reading.processes == 4, tree).ended
            ask_until_one_ends(server, tree, before)
        end = once(lambda reading: reading.processes == 4, tree)
    assert end.ended - begin.ended >= 3
    assert (end.pid, end.started_s) == (begin.pid, begin.started_s)


def ask_until_one_ends(server: Preforking, tree: ProcessTree, before: int) -> None:
    until_s = time.monotonic() + 30
    while (reading := tree.read()) is None or reading.ended == before:
        assert time.monotonic() < until_s
        try:
            ask(server, 5)
        except OSError:  # the worker that ends hangs up
            continue


def test_a_master_that_is_replaced_is_another_target() -> None:
    with preforking() as first:
        tree = tree_of(first)
        begin = once(lambda reading: reading.processes == 4, tree)
        os.killpg(first.pid, signal.SIGKILL)
        with preforking(port=first.port) as second:
            end = once(lambda reading: reading.pid == second.pid and reading.processes == 4, tree)
    assert end.started_s > begin.started_s
    assert end.ended == begin.ended


@pytest.mark.parametrize("how", ["waits", "does not wait"])
def test_the_cpu_time_of_children_that_have_ended_is_neither_lost_nor_counted_twice(how: str) -> None:
    with process(BUSY_CHILDREN, how) as father:
        tree, told = ProcessTree([father.pid]), list[float]()
        said(father)
        once(lambda reading: not told.append(reading.cpu_s) and busy_children_done(father.pid, how), tree)
        last = tree.read()
        assert last is not None
        assert told == sorted(told)
        times = psutil.Process(father.pid).cpu_times()
    if how == "waits":
        spent_s = times.user + times.system + times.children_user + times.children_system
        assert last.cpu_s == pytest.approx(spent_s, abs=0.2)
    assert last.cpu_s > 0.9


def busy_children_done(pid: int, how: str) -> bool:
    """Whether the four children have ended, waited for or not."""
    children = psutil.Process(pid).children()
    if how == "waits":
        times = psutil.Process(pid).cpu_times()
        return times.children_user + times.children_system >= 0.95 and not children
    return len(children) == 4 and all(child.status() == psutil.STATUS_ZOMBIE for child in children)


def test_watching_fifty_processes_takes_a_small_share_of_a_core() -> None:
    with preforking("--workers", "50", "--leak", "0") as server:
        tree = tree_of(server)
        once(lambda reading: reading.processes == 51, tree)
        begun_s, begun_cpu_s, readings = time.monotonic(), time.thread_time(), list[Reading | None]()
        for _ in range(6):
            time.sleep(1)
            readings.append(tree.read())
        share = (time.thread_time() - begun_cpu_s) / (time.monotonic() - begun_s)
        readings += [tree.read(), tree.read()]  # a fast machine affords the dear part once per second
    known = [reading.uss_bytes >= 0 for reading in readings if reading is not None]
    assert share < 0.05
    assert 1 <= sum(known) < len(known), "the dear part is read now and then"
