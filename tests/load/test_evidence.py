"""What failed answers were is kept: bounded, without a secret, at no cost of those that succeed."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import perflib
from perflib.cli.app import main
from perflib.load.evidence import Evidence
from perflib.load.exchange import Exchange
from perflib.spec import InputError, Options, Target
from perflib.store.spool import failures_spool
from tests.servers import Answers, answer, answering
from tests.workbooks import entered

if TYPE_CHECKING:
    from pathlib import Path

    from perflib.spec import Run

SECRET = 'tok/5e"0f 9c\\3b=7a61&b'
TARGET = """\
[target]
name = "t"
base_url = "http://127.0.0.1:1"
auth = { basic = { user = "u", password = { env = "PLANTED" } } }
[[endpoint]]
path = "/a"
params = { key = { env = "PLANTED" } }
expect = { keys = ["data"] }
"""


@pytest.fixture(autouse=True)
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return entered(tmp_path, monkeypatch, TARGET, PLANTED=SECRET)


def run_of(answers: Answers, **options: Any) -> Run:
    """A short run at a server that gives these answers."""
    given = {"target": "t.toml", "duration": 0.3, "warmup": 0, "users": 2} | options
    with answering(answers) as server:
        return perflib.run("light_load", Options.parse(given | {"url": server.url}, "a test"), report=lambda _: None)


def stored(run: Run) -> bytes:
    """Every byte that a run left, its samples as plain text too."""
    folder = next(iter(run_folders()))
    plain = "\n".join(f"{one}" for one in run.failures.to_dict("records"))
    return plain.encode() + b"".join(path.read_bytes() for path in folder.iterdir())


def run_folders() -> list[Path]:
    from perflib.store.folders import Workbook

    return list(Workbook.find().runs.glob("*/"))


def test_a_failed_answer_is_kept_with_its_moment_status_headers_and_the_start_of_its_body() -> None:
    body = "index shard 3 unavailable " + "é" * 600
    run = run_of(
        answer(body.encode(), "Content-Type: text/plain; charset=utf-8", "X-Request-Id: r7", status="500 Oops")
    )
    first = run.failures.iloc[0]
    assert (first["endpoint"], first["kind"], first["status"]) == ("GET /a", "status", 500)
    assert 0 < first["t_ns"] < 10e9
    assert first["headers"]["X-Request-Id"] == "r7"
    assert first["content_type"] == "text/plain; charset=utf-8"
    assert body.startswith(first["body"])
    assert len(first["body"].encode()) == 512


def test_twenty_of_an_endpoint_kind_and_status_are_kept_in_all_and_of_the_others_nothing() -> None:
    numbers = count()
    kinds = [answer(status="500 Oops"), answer(status="404 Not Found"), answer(b"[]"), answer()]
    run = run_of(lambda _: kinds[next(numbers) % 4], duration=1, users=4, workers=2)
    assert (run.requests["error"] == "status").sum() > 100
    counts = run.failures.groupby(["endpoint", "kind", "status"], observed=True).size()
    assert counts.to_dict() == {
        ("GET /a", "status", 500): 20,
        ("GET /a", "status", 404): 20,
        ("GET /a", "content", 200): 20,
    }
    assert run.failures["t_ns"].is_monotonic_increasing


def test_a_run_without_a_failure_has_no_file_of_them_and_an_empty_table() -> None:
    run = run_of(answer())
    assert run.requests["error"].isna().all()
    assert run.failures.empty
    assert not list(run_folders()[0].glob("failures*"))
    assert perflib.load_run(run.facts.run_id).failures.empty


def test_a_quick_look_in_this_process_keeps_samples_too() -> None:
    with answering(answer(b"shard 3 is gone", status="500 Oops")) as server:
        run = perflib.run_in_process("light_load", target="t.toml", url=server.url, duration=0.3, warmup=0)
    assert set(run.failures["body"]) == {"shard 3 is gone"}


def test_a_failure_without_an_answer_is_kept_with_its_moment_alone() -> None:
    run = run_of(b"garbage\r\n\r\n")
    first = run.failures.iloc[0]
    assert (first["kind"], first["status"], first["headers"], first["body"]) == ("protocol", 0, {}, "")


# Nothing that is secret, and nothing that acts


def spellings() -> dict[str, bytes]:
    basic = base64.b64encode(f"u:{SECRET}".encode())
    plain = SECRET.encode()
    return {
        "plain": plain,
        "base64": base64.b64encode(plain),
        "basic": b"Basic " + basic,
        "percent": urllib.parse.quote(SECRET, safe="").encode(),
        "form": urllib.parse.quote_plus(SECRET).encode(),
        "json": json.dumps(SECRET).encode(),
        "utf-16": SECRET.encode("utf-16-le"),
        "through the cut": b"x" * 500 + plain + b"y" * 100,
        "many before the cut": plain * 40,
    }


def is_told(told: str) -> bool:
    """Whether a text holds a part of the secret that would be of use."""
    coded = [base64.b64encode(f"u:{SECRET}".encode()).decode(), base64.b64encode(SECRET.encode()).decode()]
    forms = [SECRET, urllib.parse.quote(SECRET, safe=""), json.dumps(SECRET)[1:-1], *coded]
    return any(form[at : at + 7] in told for form in forms for at in range(len(form) - 6))


@pytest.mark.parametrize("way", spellings())
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_secret_that_a_server_sends_back_is_struck_from_body_and_headers(way: str, encoding: str) -> None:
    body, header = spellings()[way], spellings()[way].replace(b"\0", b"").decode()
    sent = gzip.compress(body) if encoding == "gzip" else body
    run = run_of(answer(sent, f"X-Echo: {header}", f"Content-Encoding: {encoding}", status="500 Oops"))
    first = run.failures.iloc[0]
    assert "***" in first["body"]
    assert "***" in first["headers"]["X-Echo"]
    assert not is_told(str(run.failures.to_dict("records")))
    assert SECRET.encode() not in stored(run)


def test_cookies_and_credentials_are_not_kept_wherever_they_are_said_again() -> None:
    headers = [
        "Set-Cookie: sid=c00kie-of-the-session; Path=/",
        'WWW-Authenticate: Digest nonce="n0nce"',
        "authorization: Bearer f0reign",
        "Proxy-Authenticate: Basic realm=r3alm",
        "X-Session: c00kie-of-the-session",
    ]
    run = run_of(answer(b"your session is c00kie-of-the-session", *headers, status="401 No"))
    first = run.failures.iloc[0]
    assert first["body"] == "your session is ***"
    assert first["headers"].keys() == {"Content-Length", "Content-Type", "X-Session"}
    assert not [said for said in (b"c00kie", b"n0nce", b"f0reign", b"r3alm") if said in stored(run)]


def test_a_body_that_cannot_be_unpacked_is_not_kept_as_it_may_hide_a_secret() -> None:
    run = run_of(answer(b"\x8b\x02\x80" + SECRET.encode(), "Content-Encoding: br", status="500 Oops"))
    assert set(run.failures["body"]) == {""}


def test_what_a_hostile_server_sends_is_bounded_and_harmless() -> None:
    body = (
        b'\x1b[2J\x1b]0;title\x07\r\n=cmd|"/c calc"!A1 \xff\xfe\xc3 \xe2\x80\xae<script>alert(1)</script>'
        + b"\x9b" * 5000
    )
    names = [f"X-{number}: {'v' * 5000}" for number in range(90)]
    run = run_of(answer(body, *names, status="599 \x1b[31mOops"), users=1)
    first = run.failures.iloc[0]
    assert len(first["headers"]) <= 50
    assert max(len(value) for value in first["headers"].values()) <= 512
    assert len(first["body"].encode()) <= 512
    assert not [char for char in first["body"] if not (char.isprintable() or char in "\r\n\t")]
    for form in ("table", "markdown", "html", "csv"):
        told = perflib.tables.samples(run).write(form)
        assert "\x1b" not in told
        assert form == "csv" or form == "table" or "<script>" not in told


@pytest.mark.parametrize("way", ["option", "target file"])
def test_a_run_that_is_to_keep_no_samples_keeps_none(workbook: Path, way: str) -> None:
    if way == "target file":
        (workbook / "t.toml").write_text(TARGET.replace('name = "t"', 'name = "t"\nsamples = false'))
    run = run_of(answer(b"a foreign body", status="500 Oops"), no_samples=way == "option")
    assert (run.requests["error"] == "status").any()
    assert run.failures.empty
    assert b"a foreign body" not in stored(run)


# What it costs


def test_a_flood_of_failures_costs_a_counter_each_once_its_samples_are_kept(tmp_path: Path) -> None:
    target = Target.from_document({"target": {"name": "t", "base_url": "http://h"}, "endpoint": [{"path": "/a"}]}, "t")
    path = failures_spool(tmp_path)
    evidence = Evidence(target, path)
    failed = Exchange(0, status=500, error="status", headers={b"A": b"b"}, body=[b"x" * 10_000])
    for _ in range(20):
        evidence.add(failed, 0, 1)
    written, began_s = path.stat().st_size, time.process_time()
    for _ in range(100_000):
        evidence.add(failed, 0, 1)
    took_s, began_s = time.process_time() - began_s, time.process_time()
    counter: dict[tuple[int, str, int], int] = {}
    for _ in range(100_000):
        counter[0, "status", 500] = counter.get((0, "status", 500), 0) + 1
    assert path.stat().st_size == written > 0
    assert took_s < 15 * (time.process_time() - began_s)


def test_a_server_of_ever_new_statuses_fills_no_disk(tmp_path: Path) -> None:
    target = Target.from_document({"target": {"name": "t", "base_url": "http://h"}, "endpoint": [{"path": "/a"}]}, "t")
    evidence = Evidence(target, failures_spool(tmp_path))
    for status in range(100, 1000):
        evidence.add(Exchange(0, status=status, error="status", body=[b"x" * 1000]), 0, 1)
    assert failures_spool(tmp_path).read_bytes().count(b"\n") == 500


def test_samples_outlive_a_generator_that_is_killed(workbook: Path) -> None:
    command = [sys.executable, "-m", "perflib", "run", "light_load", "--target", "t.toml", "--keep-going"]
    with answering(answer(b"shard 3 is gone", status="500 Oops")) as server:
        run = subprocess.Popen([*command, "--url", server.url, "--duration", "60s"], stderr=subprocess.DEVNULL)
        try:
            until_s = time.monotonic() + 60
            while not any(path.stat().st_size for path in workbook.glob("data/runs/*/failures.*.spool")):
                assert time.monotonic() < until_s
                time.sleep(0.1)
            time.sleep(1.5)
        finally:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
    [folder] = workbook.glob("data/runs/*")
    until_s = time.monotonic() + 60
    while not (folder / "failures.parquet").exists():  # the worker, which holds the run, ends a moment later
        assert time.monotonic() < until_s
        left = perflib.load_run(folder.name)
    answered = left.failures[left.failures["kind"] == "status"]  # a worker may yet meet the server's end
    assert set(answered["body"]) == {"shard 3 is gone"}
    assert not list(folder.glob("*.spool"))


# --abort-on


def failing(every: int) -> Answers:
    numbers = count(1)
    return lambda _: (0.002, answer(status="503 Busy") if next(numbers) % every == 0 else answer())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_ends_once_more_requests_have_failed_than_it_allows(workers: int) -> None:
    run = run_of(failing(5), duration=60, abort_on="errors > 5 %", workers=workers)
    assert run.facts.duration_s < 30
    assert run.facts.invalid_reasons == (
        "stopped early: more than 5 % failed (--abort-on), most of them HTTP 503 from GET /a",
    )
    assert not run.facts.interrupted
    assert 5 < (run.requests["error"] == "status").sum() < len(run.requests) / 2


def test_a_run_with_fewer_failures_goes_on_to_its_end() -> None:
    run = run_of(failing(50), duration=1, abort_on="errors>5%")
    assert (run.requests["error"] == "status").sum() > 2
    assert run.facts.state == "finished"


def test_arrivals_without_a_connection_count_and_leave_no_sample() -> None:
    given = {"rate": 100, "max_connections": 1, "duration": 20, "warmup": 0, "abort_on": "errors>50%"}
    with answering(lambda _: (0.5, answer())) as server:
        run = perflib.run("steady_rate", target="t.toml", url=server.url, report=lambda _: None, **given)
    assert run.facts.duration_s < 15
    why = "most of them never sent, as no connection was free from GET /a"
    told = f"stopped early: more than 50 % failed (--abort-on), {why}"
    assert told in run.facts.invalid_reasons
    assert run.failures.empty


def test_failures_of_the_warm_up_end_no_run() -> None:
    numbers = count()
    begin_badly = lambda _: (0.002, answer(status="503 Busy") if next(numbers) < 50 else answer())  # noqa: E731
    run = run_of(begin_badly, warmup=2, duration=1, abort_on="errors>1%")
    assert (run.requests["error"] == "status").sum() == 50
    assert run.facts.state == "finished"


@pytest.mark.parametrize(
    "rule", ["errors", "errors>", "errors>5", "5%", "errors>=5%", "errors>100%", "errors>-1%", "p95>5%"]
)
def test_a_rule_that_is_none_is_refused_in_one_line(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "light_load", "--target", "t.toml", "--abort-on", rule]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "abort_on: no rule that ends a run; write errors>5%" in line
    with pytest.raises(InputError, match="abort_on"):
        Target.from_document(
            {
                "target": {"name": "t", "base_url": "http://h"},
                "endpoint": [{"path": "/a"}],
                "scenario": {"s": {"abort_on": rule}},
            },
            "t",
        )


def test_a_target_file_brings_the_rule_of_a_scenario_and_the_command_line_another(workbook: Path) -> None:
    (workbook / "t.toml").write_text(f'{TARGET}[scenario.light_load]\nabort_on = "errors>2%"\n')
    reasons = run_of(failing(5), duration=60).facts.invalid_reasons
    assert any(reason.startswith("stopped early: more than 2 % failed") for reason in reasons)
    assert run_of(failing(5), duration=1, abort_on="errors>90%").facts.state == "finished"
