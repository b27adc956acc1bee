"""Two live systems by turns: real commands, started and restarted, and what goes wrong with them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import perflib
from perflib.cli.app import main
from perflib.judge.compare import by_endpoint
from perflib.session import by_turns
from perflib.spec import InputError
from tests.servers import Do, Turn, answer, answering

SERVER = """
import asyncio, sys
delay_s = float(sys.argv[2])
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            await asyncio.sleep(delay_s)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    path = tmp_path / "target.toml"
    path.write_text('[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n[[endpoint]]\npath = "/"\n')
    return str(path)


@pytest.fixture
def server(tmp_path: Path) -> str:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return f"{sys.executable} {path} {{port}}"


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_slower_command_is_found_and_nothing_is_left_running(target: str, server: str, tmp_path: Path) -> None:
    before = children()
    said: list[str] = []
    comparison = perflib.compare(
        f"{server} 0.003",
        f"{server} 0.020",
        perflib.Options(target=target, users=2),
        detect=0.5,
        pairs=1,
        block_s=0.3,
        say=said.append,
    )
    assert comparison.state == "finished"
    assert by_endpoint(perflib.verdicts(comparison)) == {"GET /": "REGRESSION"}
    assert comparison.plan.looks[0].restarts <= len(comparison.restarts) <= comparison.plan.restarts
    assert sum(line.startswith("restart ") for line in said) == len(comparison.restarts)
    [path] = tmp_path.glob("comparisons/*/comparison.json")
    assert json.loads(path.read_text())["state"] == "finished"
    assert children() == before


def test_a_command_that_does_not_start_is_told_in_one_line(target: str) -> None:
    bad = f"{sys.executable} -c 'raise SystemExit(\"no such app\")' {{port}}"
    with pytest.raises(InputError, match="ended with status 1 before it listened: no such app"):
        perflib.compare(bad, bad, perflib.Options(target=target))
    with pytest.raises(InputError, match="cannot be started"):
        perflib.compare("no-such-command-here {port}", bad, perflib.Options(target=target))


@pytest.mark.parametrize("scenario", ["baseline", "spike"])
def test_a_load_that_is_not_steady_is_refused(target: str, scenario: str) -> None:
    with pytest.raises(InputError, match="not steady"):
        perflib.compare("x {port}", "y {port}", perflib.Options(target=target), scenario=scenario)


def test_a_url_and_a_command_are_no_pair(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "http://127.0.0.1:1", "serve {port}", "--target", target]) == 2
    assert "two of a kind" in capsys.readouterr().err


def test_two_urls_are_compared_on_the_command_line(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda _: (0.003, answer())) as fast, answering(lambda _: (0.03, answer())) as slow:
        words = ["compare", fast.url, slow.url, "--target", target, "--users", "2", "--detect", "50%"]
        status = main([*words, "--pairs", "1", "--block", "300ms", "--format", "json"])
    said = json.loads(capsys.readouterr().out)
    assert status == said["exit"] == 1
    assert said["endpoints"] == {"GET /": "REGRESSION"}
    assert any("blocks, not restarts" in note for note in said["notes"])


@pytest.mark.parametrize("turn", [(30.0,), (Do.CLOSE,)], ids=["never answers", "hangs up"])
def test_a_side_that_answers_nothing_is_told_at_once_and_is_a_regression_only_of_b(
    target: str, capsys: pytest.CaptureFixture[str], turn: Turn
) -> None:
    with answering(lambda _: (0.003, answer())) as fine, answering(lambda _: turn) as silent:
        words = ("--target", target, "--users", "2", "--timeout", "1s")
        begun_s = time.monotonic()
        assert main(["compare", fine.url, silent.url, *words]) == 1
        said = capsys.readouterr().out
        assert main(["compare", silent.url, fine.url, *words, "--format", "json"]) == 3
        other = json.loads(capsys.readouterr().out)
        assert main(["compare", silent.url, silent.url, *words]) == 3
    assert time.monotonic() - begun_s < 60
    assert re.match(r"B answered none of [\d,]+ requests; A answered [\d,]+ of [\d,]+ requests\.\n", said)
    assert re.search(r"GET /\n *p50 +[\d.]+ +failed.* REGRESSION", said)
    assert re.fullmatch(
        r"A answered none of [\d,]+ requests; B answered [\d,]+ of [\d,]+ requests\.", other["sentence"]
    )
    assert other["endpoints"] == {"GET /": "INCONCLUSIVE"}
    assert capsys.readouterr().out.startswith("A answered none of ")


@pytest.mark.parametrize(("rarest_per_s", "block_s"), [(100.0, 5.0), (5.0, 24.0), (0.1, 30.0), (0.0, 30.0)])
def test_a_block_is_as_long_as_the_rarest_endpoint_needs_within_bounds(rarest_per_s: float, block_s: float) -> None:
    assert by_turns._long_enough(rarest_per_s) == block_s


def test_a_block_too_short_for_a_p95_is_told_with_its_mend() -> None:
    assert by_turns._without_p95({"GET /a": 95.0, "GET /b": 5.0}, 12.0) == ""
    told = by_turns._without_p95({"GET /a": 95.0, "GET /b": 5.0}, 5.0)
    assert told.startswith("in a block of 5 s a p95 needs 59 requests, but GET /b about 25 come: p50 judges alone")
    assert told.endswith("--block 24s has enough")


def test_weights_decide_how_long_a_block_is_and_a_given_one_is_told_to_be_too_short(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_turns, "_FIRST_WARMUP_S", 1.0)
    Path(target).write_text(
        '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n'
        '[[endpoint]]\npath = "/often"\nweight = 19\n[[endpoint]]\npath = "/rarely"\n',
        encoding="utf-8",
    )
    said: list[str] = []
    with answering(lambda _: (0.02, answer())) as server:
        options = perflib.Options(target=target, users=2)
        by_turns.compare(server.url, server.url, options, detect=0.9, pairs=1, block_s=0.3, say=said.append)
    [told] = [line for line in said if "needs 59" in line]
    assert "GET /rarely about" in told
    assert "p50 judges alone there" in told


def test_an_interrupt_keeps_what_was_measured(target: str, server: str, tmp_path: Path) -> None:
    words = ["compare", f"{server} 0.005", f"{server} 0.005", "--target", target, "--pairs", "1", "--block", "400ms"]
    command = [sys.executable, "-m", "perflib", *words, "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}) as started:
        assert started.stdout is not None
        while not any(json.loads(p.read_text())["restarts"] for p in tmp_path.glob("comparisons/*/comparison.json")):
            time.sleep(0.1)
        started.send_signal(signal.SIGINT)
        said = json.loads(started.stdout.read())
    assert started.returncode == said["exit"] == 130
    [path] = tmp_path.glob("comparisons/*/comparison.json")
    kept = json.loads(path.read_text())
    assert kept["state"] == "interrupted"
    assert len(kept["restarts"]) >= 1


def worker_of(command: subprocess.Popen[str]) -> psutil.Process:
    [worker] = [one for one in psutil.Process(command.pid).children() if "perflib.load.worker" in one.cmdline()]
    return worker


def test_a_disturbed_block_is_measured_again_and_a_worker_that_dies_ends_the_comparison_with_the_reason(
    target: str,
) -> None:
    with answering(lambda _: (0.003, answer())) as server:
        words = ["compare", server.url, server.url, "--target", target, "--users", "2", "--block", "20s"]
        command = [sys.executable, "-m", "perflib", *words, "--format", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
            while len(server.requests) < 500:
                time.sleep(0.1)
            worker_of(started).suspend()
            time.sleep(1)
            worker_of(started).resume()
            assert started.stdout is not None
            assert started.stderr is not None
            again = next(line for line in started.stderr if "measured again" in line)
            asked = len(server.requests)
            while len(server.requests) == asked:
                time.sleep(0.1)
            worker_of(started).kill()
            said = json.loads(started.stdout.read())
    assert "stood still for" in again
    assert started.returncode == said["exit"] == 3
    assert any("load generator: worker 1 of 1 ended with signal 9 at" in note for note in said["notes"])


def test_stored_runs_are_compared_by_their_ids(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda _: (0.005, answer())) as server:
        options = perflib.Options(target=target, url=server.url, duration=0.6, warmup=0)
        ids = [perflib.run("light_load", options, report=lambda _: None).facts.run_id for _ in range(2)]
    assert main(["compare", *ids]) == 3
    assert "one run per side is not enough" in capsys.readouterr().out
