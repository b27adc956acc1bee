"""The target's memory, sampled: where it is looked for, and what a run keeps of it."""

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import perflib
from perflib.spec import Endpoint, InputError, Target
from perflib.store.spool import MEMORY_ROW, memory_spool, read_spool
from perflib.watch.sampler import Sampler, find
from tests.processes import preforking, process, said
from tests.servers import closed_port

SERVER = """
import http.server, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def target_at(url: str, **more: object) -> Target:
    return Target.model_validate({"name": "t", "base_url": url, "endpoints": [Endpoint(path="/")]} | more)


def test_a_target_is_found_by_the_port_it_listens_on() -> None:
    with process(SERVER, 0) as server:
        port = int(said(server))
        found = find(target_at(f"http://127.0.0.1:{port}/api"), None)
    assert found.source is not None
    assert found.about.pid == server.pid
    assert str(port) in found.about.told


def test_how_many_processes_and_which_are_told_by_name() -> None:
    with preforking("--workers", "12") as server:
        while len(psutil.Process(server.pid).children()) < 12:
            time.sleep(0.05)
        found = find(target_at(server.url), None)
        assert found.about.pid == server.pid
        assert found.about.told.startswith(f"13 processes behind 127.0.0.1:{server.port}: ")
        assert f" {server.pid}, " in found.about.told
        assert found.about.told.endswith(" and 5 more")
        [worker, *_] = psutil.Process(server.pid).children()
        named = find(target_at(server.url), worker.pid)
    assert named.about.told.startswith(f"process {worker.pid} (")


def test_what_only_forwards_connections_is_not_the_target(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.symlink_to(sys.executable)
    server = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
    command = [ssh, "-c", server + "sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tunnel:
        found = find(target_at(f"http://127.0.0.1:{said(tunnel)}"), None)
    assert found.source is None
    assert f"process {tunnel.pid} (ssh) only forwards 127.0.0.1:" in found.about.told


@pytest.mark.parametrize(
    ("url", "pid", "why"),
    [
        (closed_port(), None, "cannot be seen from here"),
        ("http://192.0.2.1:80", None, "not on this machine"),
        ("http://127.0.0.1:1", 2**22 + 5, "there is no process 4194309"),
    ],
    ids=["closed", "elsewhere", "no process"],
)
def test_where_memory_cannot_be_had_the_reason_is_said(url: str, pid: int | None, why: str) -> None:
    found = find(target_at(url), pid)
    assert found.source is None
    assert found.about.kind == "none"
    assert why in found.about.told


def test_a_target_that_restarts_on_its_port_is_found_again(tmp_path: Path) -> None:
    with process(SERVER, 0) as first:
        port = int(said(first))
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
