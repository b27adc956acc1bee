"""Whose memory a run samples: real servers of several processes, beside others, and metrics of several workers."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import perflib
from tests.processes import preforking
from tests.servers import answer, answering

TARGET = """
[target]
name = "t"
base_url = "{url}"
{more}
[[endpoint]]
path = "/"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    return tmp_path


def target_in(folder: Path, url: str, more: str = "") -> str:
    file = folder / "t.toml"
    file.write_text(TARGET.format(url=url, more=more), encoding="utf-8")
    return str(file)


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is Linux's")
def test_the_leak_of_busy_workers_is_seen_beside_a_sound_neighbour_on_the_same_port(folder: Path) -> None:
    leaking = ("--workers", "2", "--leak", "20000")
    with preforking(*leaking, host="127.0.0.2") as server, preforking("--workers", "1", port=server.port) as neighbour:
        target = target_in(folder, f"http://127.0.0.2:{server.port}")
        run = perflib.run("light_load", target=target, users=2, duration="3s", think_time="5ms")
        assert run.facts.memory.pid == server.pid != neighbour.pid
    assert run.memory is not None
    assert set(run.memory["processes"]) == {3}
    kept = 20000 * len(run.requests)
    assert run.memory["rss_bytes"].iloc[-1] - run.memory["rss_bytes"].iloc[0] > 0.5 * kept
    assert (run.memory["cpu_share"] >= 0).all()
    assert run.memory["cpu_share"].iloc[1:].mean() > 0.02, "the busy ones are among them"
    assert perflib.memory_of(run).as_json()["processes"] == 3


def test_workers_that_are_recycled_under_load_are_told_in_json_and_in_words(folder: Path) -> None:
    with preforking("--workers", "2", "--recycle", "40") as server:
        command = ["run", "light_load", "--target", target_in(folder, server.url, "keep_going = true"), "--users", "2"]
        load = ["--think-time", "10ms", "--duration", "4s", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "perflib", *command, *load], capture_output=True, text=True, check=False
        )
    told = json.loads(done.stdout)
    memory = told["memory"]
    assert memory["restarts_s"] == []
    assert memory["recycled"] >= 2
    assert memory["processes"] == 3
    run = perflib.load_run(told["run_id"])
    sentence = perflib.tables.memory_sentence(run, perflib.memory_of(run))
    assert f"{memory['recycled']} workers recycled" in sentence
    assert "Sampled: 3 processes behind 127.0.0.1:" in sentence


def test_metrics_of_two_workers_in_turn_are_no_restart(folder: Path) -> None:
    each = itertools.cycle([(80e6, 1000.0), (95e6, 1003.5)])

    def told(path: str) -> bytes:
        if path != "/metrics":
            return answer()
        rss, started = next(each)
        text = f"process_resident_memory_bytes {rss}\nprocess_start_time_seconds {started}\n"
        return answer(text.encode(), "Content-Type: text/plain")

    with answering(told) as server:
        target = target_in(folder, server.url, f'metrics_url = "{server.url}/metrics"')
        run = perflib.run("light_load", target=target, users=2, duration="4s", think_time="10ms")
    found = perflib.memory_of(run)
    assert found.restarts_s == ()
    assert found.as_json()["processes"] == 2
    assert "Several processes answer metrics_url, 2 so far" in perflib.tables.memory_sentence(run, found)


def test_metrics_that_turn_odd_during_a_run_cost_the_run_nothing(folder: Path) -> None:
    odd = itertools.cycle(
        [
            answer(b"process_resident_memory_bytes 5e7\n", "Content-Type: text/plain"),
            answer(b"process_resident_memory_bytes NaN\n"),
            answer(b"process_resident_memory_bytes +Inf\nprocess_open_fds -1\n"),
            answer(b"", status="500 Internal Server Error"),
        ]
    )
    with answering(lambda path: next(odd) if path == "/metrics" else answer()) as server:
        target = target_in(folder, server.url, f'metrics_url = "{server.url}/metrics"')
        run = perflib.run("light_load", target=target, users=2, duration="5s", think_time="10ms")
    assert run.facts.valid
    assert run.memory is not None
    assert set(run.memory["rss_bytes"]) == {50_000_000}
    assert set(run.memory["open_files"]) == {-1}
