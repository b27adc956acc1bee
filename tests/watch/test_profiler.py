"""py-spy in real processes: which function is named, and what is said where it cannot look."""

import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from perflib.figures.code import own, stacks_of
from perflib.spec.diagnosis import CodeShare
from perflib.watch import profiler
from perflib.watch.profiler import profiling, who, why_not
from tests.processes import process, said

SERVER = """
import multiprocessing, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def burns():
    end_s = time.thread_time() + 0.01
    while time.thread_time() < end_s:
        sum(range(1000))

def sleeps():
    time.sleep(0.01)

class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        burns() if self.path == "/burns" else sleeps()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    print(server.server_port, flush=True)
    if "--in-child" in sys.argv:
        child = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        child.start()
    else:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()

main()
"""

may_attach = pytest.mark.skipif(
    not os.environ.get("CI") and os.geteuid() != 0,
    reason="py-spy attaches to a process that is not its child as root alone, unless the kernel lets it",
)


@contextmanager
def server(folder: Path, *how: str) -> Iterator[tuple[int, str]]:
    """A server of the target's own code: its process, and its address."""
    (folder / "served.py").write_text(SERVER, encoding="utf-8")
    command = [sys.executable, str(folder / "served.py"), *how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started.pid, f"http://127.0.0.1:{said(started)}"
        finally:
            for one in [*psutil.Process(started.pid).children(), started]:
                one.kill()


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Four users meanwhile."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            with urllib.request.urlopen(url) as answer:
                answer.read()

    users = [threading.Thread(target=ask) for _ in range(4)]
    for user in users:
        user.start()
    try:
        yield
    finally:
        ended.set()
        for user in users:
            user.join()


def profilers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if one.name() == "py-spy"]


def named(pid: int, url: str) -> tuple[CodeShare, ...]:
    with profiling(pid, 1.5) as profile, asking(url):
        collapsed = profile.stacks()
    assert (profile.why_not, profilers()) == ("", [])
    return own(stacks_of(collapsed, "GET /"))


@may_attach
@pytest.mark.parametrize("how", [(), ("--in-child",)])
@pytest.mark.parametrize("function", ["burns", "sleeps"])
def test_the_function_in_which_the_time_goes_is_the_first(tmp_path: Path, function: str, how: tuple[str, ...]) -> None:
    with server(tmp_path, *how) as (pid, url):
        first = named(pid, f"{url}/{function}")[0]
    assert (first.function, Path(first.file).name) == (function, "served.py")
    assert first.share > 0.5


@may_attach
def test_a_target_that_ends_meanwhile_leaves_what_was_seen_and_nothing_hangs(tmp_path: Path) -> None:
    begun_s = time.monotonic()
    with server(tmp_path) as (pid, _), profiling(pid, 60) as profile:
        time.sleep(0.3)
        psutil.Process(pid).kill()
        assert "served.py" in profile.stacks()
    assert profile.why_not == ""
    assert time.monotonic() - begun_s < 30


@may_attach
def test_no_profiler_is_left_where_nobody_asks_for_the_profile(tmp_path: Path) -> None:
    with server(tmp_path) as (pid, _):
        with profiling(pid, 60):
            assert len(profilers()) == 1
        assert profilers() == []


@pytest.mark.skipif(sys.platform == "darwin" and os.geteuid() != 0, reason="macOS refuses before py-spy looks")
@pytest.mark.parametrize("program", ["sleep", "node"])
def test_a_process_that_is_not_python_is_told_as_such(program: str) -> None:
    if (command := shutil.which(program)) is None:
        pytest.skip(f"no {program}")
    words = {"sleep": ["60"], "node": ["-e", "setTimeout(() => {}, 60000)"]}[program]
    with subprocess.Popen([command, *words]) as other:
        try:
            with profiling(other.pid, 1) as profile:
                assert profile.stacks() == ""
        finally:
            other.kill()
    assert profile.why_not == f"process {other.pid} ({program}) is no CPython process: no function is named"
    assert profilers() == []


def test_a_process_that_has_ended_is_told_as_such() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    told = f"process {gone.pid} has ended: no function is named"
    assert why_not(gone.pid, attach=True, unasked=False) == told
    with profiling(gone.pid, 1) as profile:
        assert (profile.stacks(), profile.why_not) == ("", told)


def test_without_py_spy_the_line_has_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiler, "py_spy", lambda: None)
    with process("input()") as target:
        told = why_not(target.pid, attach=True, unasked=False)
        with profiling(target.pid, 1) as profile:
            assert (profile.stacks(), profile.why_not) == ("", told)
    assert told == "py-spy is not installed: no function is named; pip install 'perflib[why]'"


def test_nothing_is_attached_unasked_nor_against_a_word() -> None:
    with process("input()") as target:
        pid = target.pid
        assert "--attach" in why_not(pid, attach=None, unasked=False)
        assert who(pid) not in why_not(pid, attach=None, unasked=False)
        assert "--no-attach" in why_not(pid, attach=False, unasked=True)
        assert why_not(pid, attach=None, unasked=True) == ""
        assert why_not(pid, attach=True, unasked=False) == ""


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid()], ids=["itself", "parent"])
def test_perflib_and_who_started_it_are_never_looked_into(pid: int) -> None:
    assert (
        why_not(pid, attach=True, unasked=True) == f"process {pid} is perflib, or has started it: no function is named"
    )


@pytest.mark.parametrize(
    ("scope", "mends"),
    [("1", "`sudo sysctl kernel.yama.ptrace_scope=0`, or run as root"), (None, "`docker run --cap-add SYS_PTRACE`")],
)
def test_a_refusal_says_who_refuses_and_how_to_be_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str | None, mends: str
) -> None:
    if scope:
        (tmp_path / "scope").write_text(f"{scope}\n", encoding="ascii")
    (tmp_path / "py-spy").write_text("#!/bin/sh\necho 'Permission Denied: Try running again as root' >&2\nexit 1\n")
    (tmp_path / "py-spy").chmod(0o755)
    monkeypatch.setattr(profiler, "py_spy", lambda: tmp_path / "py-spy")
    monkeypatch.setattr(profiler, "_SCOPE", tmp_path / "scope")
    monkeypatch.setattr(sys, "platform", "linux")
    with process("input()") as target, profiling(target.pid, 1) as profile:
        assert profile.stacks() == ""
        assert str(target.pid) in profile.why_not
    assert profile.why_not.endswith(mends)
    assert "\n" not in profile.why_not


def test_a_profiler_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "py-spy").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "py-spy").chmod(0o755)
    monkeypatch.setattr(profiler, "py_spy", lambda: tmp_path / "py-spy")
    monkeypatch.setattr(profiler, "_BEGIN_S", 0.2)
    with process("input()") as target, profiling(target.pid, 1) as profile:
        assert profile.stacks() == ""
    assert "it gave no reason" in profile.why_not
    assert [one for one in psutil.Process().children(recursive=True) if one.name() == "sleep"] == []


def test_a_process_is_shown_with_its_command_on_one_line() -> None:
    with process("print(1, flush=True)\ninput()", "x" * 500) as target:
        said(target)  # its command line is known a moment after it was started
        told = who(target.pid)
    assert told.startswith(f"process {target.pid} (")
    assert "-c print(1, flush=True) input() xxx" in told
    assert told.endswith("…)")
    assert "\n" not in told
