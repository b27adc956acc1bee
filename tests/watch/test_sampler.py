"""The target's memory, sampled from real processes: its own tree, a restarted one, and what a server exports."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest

import perflib
from perflib.spec import Endpoint, InputError, Target
from perflib.store.spool import MEMORY_ROW, memory_spool, read_spool
from perflib.watch.process import ProcessTree, listener_on
from perflib.watch.prometheus import PrometheusText
from perflib.watch.sampler import Sampler, find
from tests.servers import answer, answering, closed_port

HOLDING = """
import sys, time
kept = bytearray(int(sys.argv[1]))
kept[::4096] = b"x" * len(kept[::4096])
files = [open("/dev/null") for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.read()
"""
FATHER = """
import subprocess, sys
son = subprocess.Popen([sys.executable, "-c", sys.argv[1], "30000000", "0"], stdin=sys.stdin, stdout=subprocess.PIPE)
son.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
"""
SERVER = """
import http.server, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def process(source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said its first line; ended by the end of its stdin, or killed."""
    command = [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def ready(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def target_at(url: str, **more: object) -> Target:
    return Target.model_validate({"name": "t", "base_url": url, "endpoints": [Endpoint(path="/")]} | more)


def test_what_a_process_takes_is_seen_in_its_resident_and_its_own_memory() -> None:
    with process(HOLDING, 0, 0) as small, process(HOLDING, 50_000_000, 40) as large:
        assert ready(small) == ready(large) == "ready"
        little, much = ProcessTree(small.pid).read(), ProcessTree(large.pid).read()
    assert little is not None
    assert much is not None
    assert 45e6 < much.rss_bytes - little.rss_bytes < 55e6
    assert 45e6 < much.uss_bytes - little.uss_bytes < 55e6
    assert much.open_files - little.open_files == 40
    assert much.threads == 1
    assert (much.pid, much.processes) == (large.pid, 1)


def test_the_children_of_a_process_are_counted_with_it() -> None:
    with process(FATHER, textwrap.dedent(HOLDING)) as father:
        assert ready(father) == "ready"
        reading = ProcessTree(father.pid).read()
        children = psutil.Process(father.pid).children()
        assert reading is not None
        assert reading.processes == 2
        assert reading.rss_bytes > 30e6
        for child in children:
            child.kill()


def test_a_target_is_found_by_the_port_it_listens_on() -> None:
    with process(SERVER, 0) as server:
        port = int(ready(server))
        assert listener_on(port) == server.pid
        found = find(target_at(f"http://127.0.0.1:{port}/api"), None)
    assert found.source is not None
    assert found.about.pid == server.pid
    assert str(port) in found.about.told


@pytest.mark.parametrize(
    ("url", "pid", "why"),
    [
        (closed_port(), None, "cannot be seen from here"),
        ("http://192.0.2.1:80", None, "not on this machine"),
        ("http://127.0.0.1:1", 2**22 + 5, "there is no process 4194309"),
    ],
)
def test_where_memory_cannot_be_had_the_reason_is_said(url: str, pid: int | None, why: str) -> None:
    found = find(target_at(url), pid)
    assert found.source is None
    assert found.about.kind == "none"
    assert why in found.about.told


def test_a_target_that_restarts_on_its_port_is_found_again(tmp_path: Path) -> None:
    with process(SERVER, 0) as first:
        port = int(ready(first))
        found = find(target_at(f"http://127.0.0.1:{port}"), None)
        with Sampler(found.source, tmp_path) as sampler:
            sampler.begin(time.perf_counter_ns())
            until_seen(tmp_path, {first.pid})
            first.kill()
            first.wait()
            with process(SERVER, port) as second:
                until_seen(tmp_path, {first.pid, second.pid})
    rows = pd.DataFrame(read_spool(memory_spool(tmp_path), MEMORY_ROW))
    assert rows["pid"].nunique() == rows["started_s"].nunique() == 2
    assert (rows["t_ns"].diff().dropna() > 0).all()


def until_seen(folder: Path, pids: set[int]) -> None:
    for _ in range(300):
        rows = read_spool(memory_spool(folder), MEMORY_ROW)
        if pids <= set(rows["pid"].tolist()):
            return
        time.sleep(0.1)
    raise AssertionError(f"{pids} not sampled within 30 s")


METRICS = b"""# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes{worker="1"} 1.5e+08
process_resident_memory_bytes{worker="2"} 0.5e+08
process_open_fds 12
process_start_time_seconds 1.7e+09
"""


def test_a_server_may_export_its_own_memory() -> None:
    with answering(answer(METRICS, "Content-Type: text/plain")) as server:
        found = find(target_at("http://192.0.2.1", metrics_url=f"{server.url}/metrics"), None)
        assert isinstance(found.source, PrometheusText)
        reading = found.source.read()
    assert reading is not None
    assert (reading.rss_bytes, reading.open_files, reading.threads) == (200_000_000, 12, -1)
    assert found.source.read() is None, "the server is gone"
    found.source.close()


def test_a_server_that_exports_something_else_is_not_sampled() -> None:
    with answering(answer(b"up 1\n")) as server:
        found = find(target_at(server.url, metrics_url=server.url), None)
    assert found.source is None
    assert "process_resident_memory_bytes" in found.about.told


@pytest.mark.parametrize("host", ["999.1.1.1", "xn--0.b", "[::1%251]:1"])
def test_metrics_of_a_host_that_cannot_be_asked_are_not_sampled(host: str) -> None:
    found = find(target_at("http://127.0.0.1:1", metrics_url=f"http://{host}/metrics"), None)
    assert found.source is None
    assert "mend metrics_url in the target file" in found.about.told


def test_metrics_with_a_password_are_refused() -> None:
    with pytest.raises(InputError, match="metrics_url"):
        Target.parse(
            {"name": "t", "base_url": "http://h", "metrics_url": "http://u:p@h/", "endpoint": [{"path": "/"}]}, "a file"
        )


def test_a_run_keeps_the_memory_of_its_target_by_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    run = perflib.run("light_load", perflib.Options(duration=3.0, warmup=0.2), report=lambda _: None)
    stored = pd.read_parquet(tmp_path / "runs" / run.facts.run_id / "memory.parquet")
    assert {"t_ns", "rss_bytes", "uss_bytes", "cpu_share", "open_files", "threads"} <= set(stored.columns)
    assert 3 <= len(stored) <= 5
    assert stored["rss_bytes"].between(20e6, 500e6).all()
    assert (stored["cpu_share"].iloc[1:] > 0.05).all()
    assert run.memory is not None
    assert run.memory.equals(stored)
    assert not list((tmp_path / "runs" / run.facts.run_id).glob("*.spool"))
