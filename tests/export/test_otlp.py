"""The export by OTLP: a receiver gets what the stored run has, and one that gets nothing costs a line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import perflib
from perflib.spec import InputError, Options
from perflib.spec.options import receiver_of
from tests.otlp_receiver import Received, attributes_of, receiver, value_of
from tests.servers import answer, scripted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = """
[target]
name = "shop"
base_url = "{url}"
revision = "2.4.1"
keep_going = true

[[endpoint]]
path = "/a"
target_ms = 1000

[[endpoint]]
path = "/b"

[[page]]
name = "home"
loads = ["GET /a", "GET /b"]
target_ms = 1000
"""
SECRET = "s3cr3t-of-the-receiver"
FEW = {"profile": "quick", "duration": "1s", "warmup": "0.3s", "users": 2, "think_time": "20ms"}
OF_THE_ROWS = ["endpoint", "kind", "page", "counted", "status", "error"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A target file of a server whose every third answer is a failure."""
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    for name in ("ENDPOINT", "METRICS_ENDPOINT", "HEADERS", "METRICS_HEADERS"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    turns = [[answer()], [answer()], [answer(status="503 Service Unavailable")]] * 200
    with scripted(turns) as server:
        (tmp_path / "shop.toml").write_text(TARGET.format(url=server.url))
        yield str(tmp_path / "shop.toml")


def counted_of(run: perflib.Run) -> Counter[tuple[Any, ...]]:
    """How many rows of the stored run are alike."""
    rows = run.requests[OF_THE_ROWS].astype(object)
    return Counter(tuple("" if pd.isna(one) else one for one in row) for row in rows.itertuples(index=False))


def counted_by(received: Received, message: int = -1) -> dict[tuple[Any, ...], int]:
    """The same, as a receiver got it."""
    return {
        (
            *(about["perflib.endpoint"], about["perflib.kind"], about.get("perflib.page", "")),
            about["perflib.phase"] == "measured",
            *(about.get("http.response.status_code", 0), about.get("error.type", "")),
        ): int(value_of(point))
        for about, point in received.metrics(message)["perflib.requests"]
    }


def test_the_last_counts_per_endpoint_page_and_status_are_those_of_the_stored_run(shop: str) -> None:
    with receiver() as received:
        run = perflib.run("light_load", target=shop, otlp=received.url, **FEW)
    counts = counted_of(perflib.load_run(run.facts.run_id))
    assert counted_by(received) == counts
    assert {key[-2:] for key in counts} >= {(200, ""), (503, "status")}
    assert {key[:3] for key in counts} >= {("GET /a", "request", ""), ("GET /a", "request", "home")}
    assert set(received.paths) == {"/v1/metrics"}


def test_the_last_histograms_hold_every_success_once_and_their_sum(shop: str) -> None:
    with receiver() as received:
        run = perflib.run("light_load", target=shop, otlp=received.url, **FEW)
    rows = run.requests[run.requests["error"].isna()]
    points = [point for _, point in received.metrics()["perflib.response_time"]]
    assert sum(point.count for point in points) == len(rows)
    assert all(sum(point.positive.bucket_counts) == point.count for point in points)
    assert sum(point.sum for point in points) == pytest.approx((rows["end_ns"] - rows["intended_ns"]).sum() / 1e9)


def test_each_time_lies_in_the_bucket_that_says_so() -> None:
    import numpy as np

    from perflib.export.tally import FIRST, SCALE, Times

    for took_s in (1e-9, 2e-6, 0.01, 0.25, 0.2500001, 3.0, 1e5):
        times = Times()
        times.add(np.array([took_s]))
        low_s, high_s = (2.0 ** ((FIRST + int(times.counts.argmax()) + edge) / 2**SCALE) for edge in (0, 1))
        assert low_s < took_s <= high_s or took_s in (1e-9, 1e5)


def test_the_end_has_the_figures_of_the_table_the_limits_and_the_validity(shop: str) -> None:
    with receiver() as received:
        run = perflib.run("light_load", target=shop, otlp=received.url, **FEW)
    summary = perflib.summarize(run)
    known = {
        (row.endpoint, row.kind, quantile): value / 1e3
        for row in summary.endpoints
        for quantile, value in (("0.5", row.p50_ms), ("0.95", row.p95_ms), ("0.99", row.p99_ms))
        if value is not None
    }
    assert known
    assert received.values("perflib.result.response_time") == pytest.approx(known)
    met = {(row.endpoint, row.kind): row.meets_target for row in summary.endpoints if row.meets_target is not None}
    assert received.values("perflib.result.limits_met") == met
    assert received.values("perflib.result.valid") == {(): run.facts.valid}
    units = {"perflib.requests": "{request}", "perflib.response_time": "s", "perflib.result.valid": ""}
    assert units.items() <= received.units().items()


def test_the_resource_says_what_was_measured(shop: str) -> None:
    with receiver() as received:
        run = perflib.run("light_load", target=shop, otlp=f"{received.url}/v1/metrics", **FEW)
    assert received.paths[-1] == "/v1/metrics"
    assert {
        "service.name": "perflib",
        "service.version": perflib.__version__,
        "service.instance.id": run.facts.run_id,
        "perflib.run_id": run.facts.run_id,
        "perflib.scenario": "light_load",
        "perflib.target": "shop",
        "perflib.profile": "quick",
        "perflib.revision": "2.4.1",
    }.items() <= received.resource().items()


def test_counts_grow_while_the_run_goes_on_beside_users_and_the_generators_health(shop: str) -> None:
    with receiver() as received:
        run = perflib.run("light_load", target=shop, otlp=received.url, **FEW | {"duration": "5s"})
    sums = [sum(counted_by(received, message).values()) for message in range(len(received.messages))]
    assert len(sums) >= 3
    assert 0 < sums[-2] < sums[-1] == len(run.requests)
    assert sums == sorted(sums)
    live = received.metrics(-2)
    assert [value_of(point) for _, point in live["perflib.users"]] == [2]
    told = {name for at in range(len(sums) - 1) for name in received.metrics(at)}  # the last is of a run being sealed
    assert {"perflib.generator.cpu.utilization", "perflib.generator.loop_lag"} <= told
    assert "perflib.result.valid" not in live


def test_a_run_in_this_process_sends_its_end_alone(shop: str) -> None:
    with receiver() as received:
        run = perflib.run_in_process("light_load", target=shop, otlp=received.url, **FEW | {"duration": "3s"})
    assert len(received.messages) == 1
    assert counted_by(received) == counted_of(run)


def test_a_check_and_a_recorded_baseline_send_each_of_their_runs(shop: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    words = [*("--target", shop, "--profile", "quick", "--duration", "0.5s"), *("--users", "2", "--think-time", "20ms")]
    with receiver() as received:
        for command in (["check", "light_load", "--runs", "2"], ["baseline", "record", "light_load", "--runs", "1"]):
            done = perflib_in(tmp_path, *command, *words, "--otlp", received.url)
            assert done.returncode in (0, 1, 2, 3), done.stderr
    kept = {path.parent.name for path in tmp_path.glob("data/runs/*/run.json")}
    sent = {attributes_of(one.resource_metrics[0].resource)["perflib.run_id"] for one in received.messages}
    assert len(kept) >= 3
    assert sent == kept


def test_a_report_sends_the_runs_of_its_notebooks(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERFLIB_DATA")
    assert perflib_in(tmp_path, "init", "book").returncode == 0
    words = ["--target", shop, *("--duration", "1s", "--users", "2")]
    with receiver() as received:
        done = perflib_in(tmp_path / "book", "report", "light_load", *words, "--otlp", received.url)
    assert done.returncode == 0, done.stderr
    [facts] = tmp_path.glob("book/data/runs/*/run.json")
    assert received.resource()["perflib.run_id"] == facts.parent.name
    assert "perflib.result.valid" in received.metrics()


def perflib_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perflib", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture
def nobody() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "otlp" in line.lower() or "otel" in line.lower()]


def test_a_receiver_that_is_away_costs_a_line(shop: str, nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = perflib.run("light_load", target=shop, otlp=nobody, **FEW)
    host = nobody.removeprefix("http://")
    assert told(capsys) == [f"perflib: --otlp: {host} did not get the final figures: no connection"]
    assert run.facts.state == "finished"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"status": 500}, "HTTP 500"),
        ({"status": 503}, "HTTP 503"),
        ({"status": 307}, "HTTP 307"),
        ({"refused": 3}, "it refused 3 of the values"),
    ],
)
def test_a_receiver_that_refuses_costs_a_line_and_is_not_followed_elsewhere(
    shop: str, answers: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(**answers) as received:
        run = perflib.run("light_load", target=shop, otlp=received.url, **FEW)
    [line] = told(capsys)
    assert line.endswith(f"did not get the final figures: {why}")
    assert set(received.paths) == {"/v1/metrics"}
    assert run.facts.state == "finished"
    assert run.facts.duration_s == pytest.approx(1.0, abs=0.5)


def test_a_receiver_that_hangs_holds_the_end_up_for_seconds_at_most(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(late_s=60) as received:
        begun_s = time.monotonic()
        run = perflib.run("light_load", target=shop, otlp=received.url, **FEW)
        took_s = time.monotonic() - begun_s
    [line] = told(capsys)
    assert "did not get the final figures: no answer within" in line
    assert took_s < 15
    assert run.facts.state == "finished"
    assert perflib.load_run(run.facts.run_id).requests.equals(run.requests)


def test_the_headers_of_the_environment_are_sent_and_stand_nowhere_else(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={SECRET},{SECRET}")  # the second one is no header
    with receiver(500) as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        run = perflib.run("light_load", target=shop, otlp="env", **FEW)
    assert received.headers[-1]["api-key"] == SECRET
    assert "did not get the final figures: HTTP 500" in (said := capsys.readouterr()).err
    assert SECRET not in said.out + said.err
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not any(SECRET.encode() in content for content in kept)
    facts = json.loads((tmp_path / "data/runs" / run.facts.run_id / "run.json").read_text())
    assert "otlp" not in json.dumps(facts)


def test_the_environment_alone_sends_nothing(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        perflib.run("light_load", target=shop, **FEW)
    assert received.messages == []


@pytest.mark.parametrize(
    ("otlp", "environment", "url"),
    [
        ("http://h.test:4318", {}, "http://h.test:4318/v1/metrics"),
        ("http://h.test/api/v1/otlp/v1/metrics", {}, "http://h.test/api/v1/otlp/v1/metrics"),
        ("env", {"ENDPOINT": "http://h.test/otlp/"}, "http://h.test/otlp/v1/metrics"),
        ("env", {"ENDPOINT": "http://h.test", "METRICS_ENDPOINT": "http://m.test/x"}, "http://m.test/x"),
    ],
)
def test_a_url_is_a_base_as_opentelemetry_has_it(otlp: str, environment: dict[str, str], url: str) -> None:
    assert receiver_of(otlp, {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environment.items()}) == url


def test_an_environment_that_names_no_receiver_is_told_before_anything_is_measured(shop: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--otlp env: OTEL_EXPORTER_OTLP_ENDPOINT is not set"):
        perflib.run("light_load", target=shop, otlp="env", **FEW)
    assert not (tmp_path / "data/runs").exists()


@pytest.mark.parametrize("url", ["127.0.0.1:4318", f"http://u:{SECRET}@h.test", f"http://h.test/?key={SECRET}"])
def test_what_is_no_base_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(InputError, match="--otlp: not a base URL") as refused:
        Options.parse({"otlp": url}, "run options")
    assert SECRET not in str(refused.value)


def test_nothing_of_opentelemetry_is_loaded_unless_it_is_asked_for(shop: str) -> None:
    code = f"""
import sys, perflib
perflib.run("light_load", target={shop!r}, profile="quick", duration="0.3s", warmup=0, users=1)
print("opentelemetry.sdk" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
