"""The command line, as a user or a CI job meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
DASHBOARD = ["run", "light_load", "--target", "data/targets/dashboard.toml"]
SHORT = ["--profile", "quick", "--duration", "2s", "--warmup", "0.3s"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def perflib(*words: str, data: Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PERF_API_TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "perflib", *words],
        cwd=cwd,
        env=environment | {"PERFLIB_DATA": str(data)} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def sample_run(data: Path) -> dict[str, object]:
    done = perflib("run", "light_load", *SHORT, "--json", data=data)
    assert done.returncode == 0, done.stderr
    run: dict[str, object] = json.loads(done.stdout)
    return run


def test_a_run_without_a_target_measures_the_sample_dashboard_and_adds_up(sample_run: dict[str, object]) -> None:
    counts = sample_run["requests"]
    assert isinstance(counts, dict)
    assert counts["scheduled"] == counts["completed"] + counts["failed"] + counts["dropped"] + counts["in_flight"]
    assert counts["completed"] > 50
    assert counts["failed"] == 0
    assert sample_run["valid"] is True
    endpoints = sample_run["endpoints"]
    assert isinstance(endpoints, list)
    assert {row["endpoint"]: row["target_ms"] for row in endpoints}["Dashboard home (all data)"] == 1000


def test_a_run_is_stored_and_its_table_agrees_with_its_json(data: Path, sample_run: dict[str, object]) -> None:
    rows = pd.read_parquet(data / "runs" / str(sample_run["run_id"]) / "requests.parquet")
    wire = rows[(rows["kind"] == "request") & ~rows["warmup"]]
    counts = sample_run["requests"]
    assert isinstance(counts, dict)
    assert len(wire) == counts["scheduled"]
    shown = perflib("history", data=data)
    assert str(sample_run["run_id"]) in shown.stdout


def test_the_verdict_table_is_printed_with_every_endpoint_of_the_brief(data: Path) -> None:
    done = perflib("run", "baseline", "--profile", "quick", "--duration", "0.5s", "--warmup", "0.1s", data=data)
    assert done.returncode == 0, done.stderr
    for name in ("GET /health", "GET /cost-to-serve", "Dashboard home (all data)"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "nope"], "scenario 'nope': unknown; choose one of baseline, light_load"),
        (["run", "ligth_load"], "did you mean light_load?"),
        (["run", "light_load", "--users", "0"], "users"),
        (["run", "light_load", "--users", "many"], "users"),
        (["run", "light_load", "--duration", "soon"], "'soon' is not a duration"),
        (["run", "light_load", "--profile", "long"], "profile"),
        (["run", "light_load", "--endpoint", "GET /x"], "'GET /x'"),
        (["run", "light_load", "--target", "missing.toml"], "missing.toml: no such target file"),
        ([*DASHBOARD, "--url", "http://127.0.0.1:9"], "the variable PERF_API_TOKEN is not set"),
        ([*DASHBOARD, "--url", "http://127.0.0.1:9/?a=b"], "--url: base_url: not a base URL"),
        (["run", "light_load", "--url", "nonsense"], "url: not a URL; write http://host:port/path"),
        (["run", "light_load", "--url", "http://127.0.0.1:9/a b"], "--url: path: a path holds no spaces"),
        (["run", "light_load", "--url", "http://127.0.0.1:9/a#b"], '--url: "#" and what follows is never sent'),
        (["run", "light_load", "--url", "http://anna:secret@127.0.0.1:9/a"], "--url: not a base URL"),
        (["run", "light_load", "--colour", "red"], "Unknown option: --colour"),
        (["report", "nope"], "nope"),
        (["discover", "http://127.0.0.1:9"], "no OpenAPI document there"),
        (["discover", "http://anna:secret@127.0.0.1:9"], "discover: not a base URL; write http://host:port"),
        (["baseline", "record"], "name scenarios"),
        (["baseline", "record", "--from", "no-such-run"], "no such run"),
        (["baseline", "record", "light_load", "nope"], "scenario 'nope': unknown"),
    ],
)
def test_wrong_use_gets_one_clear_line_and_status_2(data: Path, words: list[str], says: str) -> None:
    done = perflib(*words, data=data)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_host_without_an_address_is_refused_and_leaves_no_run(data: Path, tmp_path: Path) -> None:
    done = perflib("run", "light_load", *SHORT, "--url", "http://no-such-host.invalid/x", data=tmp_path)
    assert done.returncode == 2
    assert "no-such-host.invalid" in done.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_a_target_that_is_down_is_a_run_of_connect_errors_and_no_hang(tmp_path: Path) -> None:
    done = perflib(*DASHBOARD, *SHORT, "--json", "--url", "http://127.0.0.1:9", data=tmp_path, PERF_API_TOKEN="x")
    run = json.loads(done.stdout)
    assert run["requests"]["completed"] == 0
    assert run["requests"]["failed"] == run["requests"]["scheduled"] > 0
    assert all(set(row["errors_by_kind"]) == {"connect"} for row in run["endpoints"] if row["errors"])
    assert all(row["p95_ms"] is None for row in run["endpoints"])


@pytest.fixture
def long_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "perflib", "run", "light_load", "--duration", "60s", "--warmup", "0.3s", "--json"],
        cwd=ROOT,
        env=os.environ | {"PERFLIB_DATA": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_an_interrupted_run_is_kept_printed_and_marked(long_run: subprocess.Popen[str], tmp_path: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob("runs/*/requests.0.spool")):
        assert time.monotonic() < deadline, "the run never began"
        time.sleep(0.1)
    time.sleep(1)
    long_run.send_signal(signal.SIGINT)
    said, _ = long_run.communicate(timeout=60)
    run = json.loads(said)
    assert long_run.returncode == 130
    assert run["interrupted"] is True
    assert 0 < run["duration_s"] < 60
    assert run["requests"]["completed"] > 0
    assert [path.name for path in tmp_path.glob("runs/*/requests.*")] == ["requests.parquet"]


def test_a_baseline_is_recorded_from_stored_runs_and_shown(tmp_path: Path) -> None:
    workbook = tmp_path / "workbook"
    (workbook / "data" / "targets").mkdir(parents=True)
    (workbook / "performance_baselines.json").write_text('{"schema_version": 1, "baselines": []}')
    (workbook / "data/targets/dashboard.toml").write_text((ROOT / "data/targets/dashboard.toml").read_text())
    done = perflib("baseline", "record", "light_load", "--runs", "2", *SHORT, data=tmp_path, cwd=workbook)
    assert done.returncode == 0, done.stderr
    [entry] = json.loads((workbook / "performance_baselines.json").read_text())["baselines"]
    assert len(entry["runs"]) == 2
    again = perflib("baseline", "record", "--from", *entry["runs"], data=tmp_path, cwd=workbook)
    assert again.returncode == 0, again.stderr
    [same] = json.loads((workbook / "performance_baselines.json").read_text())["baselines"]
    assert same["endpoints"] == entry["endpoints"]
    shown = perflib("baseline", "show", data=tmp_path, cwd=workbook)
    assert "| GET /health |" in shown.stdout
