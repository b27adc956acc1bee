"""`perflib check` as a CI job meets it: real servers, real runs, and the exit status."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from perflib import Options, run
from perflib.cli.app import main
from perflib.store.runs import RunFolder
from tests.servers import answer, answering
from tests.synthetic import make_run, make_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from perflib.spec import Run

    Checked = Callable[..., tuple[int, str]]

DELAY_S = 0.02
RUN = ["--users", "8", "--duration", "0.9s", "--warmup", "0.1s"]
TRIES = 5
TARGET_FILE = "data/targets/dashboard.toml"
TARGET = """
[target]
name = "a server"
base_url = "http://127.0.0.1:1"

[[endpoint]]
path = "/a"
target_ms = {target_ms}

[[endpoint]]
path = "/b"
"""


@dataclass
class Server:
    """A server whose answers take `delay_s`, and fail once in `fails_every`."""

    url: str = ""
    delay_s: float = DELAY_S
    fails_every: int = 0
    answered: int = 0

    def __call__(self, path: str) -> tuple[float, bytes]:
        self.answered += 1
        fails = self.fails_every and self.answered % self.fails_every == 0
        return self.delay_s, answer(status="500 Oops" if fails else "200 OK")


@pytest.fixture(scope="module")
def serving() -> Iterator[Server]:
    server = Server()
    gc.disable()  # it stops this process, the server with it, for up to 0.1 s
    try:
        with answering(server) as served:
            server.url = served.url
            yield server
    finally:
        gc.enable()


@pytest.fixture
def server(serving: Server) -> Server:
    serving.delay_s, serving.fails_every = DELAY_S, 0
    return serving


def sound_run(url: str) -> str:
    """The id of a stored run that this machine, busy as it may be, did not make invalid."""
    options = Options(target=TARGET_FILE, users=8, duration=0.9, warmup=0.1, url=url)
    runs = (run("light_load", options) for _ in range(TRIES))
    return next(one.facts.run_id for one in runs if one.facts.valid)


@pytest.fixture(scope="module")
def recorded(serving: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workbook with a baseline of 8 stored runs, and this process within it."""
    folder = tmp_path_factory.mktemp("workbook")
    (folder / "data" / "targets").mkdir(parents=True)
    for name, target_ms in (("dashboard", 1000), ("strict", 5)):
        (folder / "data" / "targets" / f"{name}.toml").write_text(TARGET.format(target_ms=target_ms))
    (folder / "performance_baselines.json").write_text('{"schema_version": 1, "baselines": []}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PERFLIB_DATA", str(folder / "kept"))
        stored = [sound_run(serving.url) for _ in range(8)]
        assert main(["baseline", "record", "--from", *stored]) == 0
        yield folder


@pytest.fixture
def check(server: Server, recorded: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    """Check a scenario at the server: exit status and what was printed. Again where this machine was too busy."""

    def checked(*words: str) -> tuple[int, str]:
        for _ in range(TRIES):
            capsys.readouterr()
            status = main(["check", *RUN, "--runs", "1", "--target", TARGET_FILE, "--url", server.url, *words])
            if status != 3:
                break
        return status, capsys.readouterr().out

    return checked


@pytest.fixture
def check_stored(recorded: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    """Check a stored run: exit status and what was printed."""

    def checked(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(["check", *words]), capsys.readouterr().out

    return checked


def store(workbook: Path, run: Run) -> str:
    """Put a made-up run among the stored ones."""
    folder = RunFolder.create(workbook / "kept" / "runs", run.facts)
    run.requests.to_parquet(folder.path / "requests.parquet")
    if run.memory is not None:
        run.memory.to_parquet(folder.path / "memory.parquet")
    return run.facts.run_id


def test_the_same_server_passes_in_every_format_of_its_stored_run(check: Checked, check_stored: Checked) -> None:
    status, said = check("light_load", "--format", "json")
    found = json.loads(said)
    assert (status, found["exit"], found["reasons"]) == (0, 0, [])
    assert found["baseline"] is not None
    assert {row["verdict"] for row in found["endpoints"]} <= {"SAME", "INCONCLUSIVE", "IMPROVED"}
    status, table = check_stored(found["runs"][0])
    assert status == 0
    assert table.startswith("The check passed. Verdicts: ")
    assert "Smallest detectable change of p95: +" in table
    status, shown = check_stored(found["runs"][0], "--format", "markdown")
    assert status == 0
    assert "| light_load | GET /a |" in shown
    status, xml = check_stored(found["runs"][0], "--format", "junit")
    assert (status, ElementTree.fromstring(xml).get("failures")) == (0, "0")


def test_a_server_slower_by_half_is_a_regression(check: Checked, server: Server) -> None:
    server.delay_s = 1.5 * DELAY_S
    tried = (check("light_load", "--format", "json") for _ in range(TRIES))
    status, said = next(one for one in tried if "INCONCLUSIVE" not in one[1])  # a hiccup of this process
    found = json.loads(said)
    assert status == 1
    assert [row["verdict"] for row in found["endpoints"]] == ["REGRESSION", "REGRESSION"]
    assert all(row["interval"][0] < 1.55 and row["interval"][1] > 1.4 for row in found["endpoints"])
    assert any(reason.startswith("GET /a: p") for reason in found["reasons"])


def test_a_budget_measures_on_until_a_slower_server_is_clear(
    recorded: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.delay_s = 1.5 * DELAY_S
    words = ["--target", TARGET_FILE, "--url", server.url, "--budget", "4.5s", "--format", "json"]
    status = next(one for one in (main(["check", "light_load", *RUN, *words]) for _ in range(TRIES)) if one != 3)
    said = capsys.readouterr()
    assert status == 1
    assert "light_load: measures on until it is clear, at most 4.5 s (5 runs of 0.9 s), which find a rise" in said.err
    assert " of at most 5 runs" in said.out


def test_p95_above_twice_the_baseline_fails_though_its_runs_are_too_few(
    check: Checked, server: Server, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = json.loads((recorded / "performance_baselines.json").read_text())
    entry = fewer["baselines"][0]
    entry["runs"] = entry["runs"][:3]
    for row in entry["endpoints"].values():
        row["per_run"] = {figure: values[:3] for figure, values in row["per_run"].items()}
    (tmp_path / "data" / "targets").mkdir(parents=True)
    (tmp_path / "data/targets/dashboard.toml").write_text(TARGET.format(target_ms=1000))
    (tmp_path / "performance_baselines.json").write_text(json.dumps(fewer))
    monkeypatch.chdir(tmp_path)
    status, said = check("light_load")
    assert (status, "INCONCLUSIVE" in said) == (0, True)
    server.delay_s = 2.6 * DELAY_S
    status, said = check("light_load")
    assert status == 1
    assert "is more than 2 x its baseline" in said


def test_a_missed_target_fails(check: Checked) -> None:
    status, said = check("light_load", "--target", "data/targets/strict.toml")
    assert status == 1
    assert "GET /a: p95 " in said
    assert " ms misses its limit of 5 ms" in said


def test_errors_fail_unless_so_many_are_allowed(check: Checked, check_stored: Checked, server: Server) -> None:
    server.fails_every = 97
    status, said = check("light_load", "--format", "json")
    assert status == 1
    found = json.loads(said)
    assert any("requests failed, none may" in reason for reason in found["reasons"])
    status, said = check_stored(found["runs"][0], "--max-errors", "10%", "--format", "json")
    reasons = json.loads(said)["reasons"]
    assert not any("requests failed" in reason for reason in reasons)
    assert status == (1 if reasons else 0)


def test_without_a_comparable_baseline_what_differs_is_told_and_the_check_passes(
    check: Checked, check_stored: Checked
) -> None:
    status, said = check("light_load", "--users", "4", "--format", "json")
    found = json.loads(said)
    assert (status, found["baseline"], found["mde"]) == (0, None, None)
    assert [row["verdict"] for row in found["endpoints"]] == ["NO_BASELINE", "NO_BASELINE"]
    assert "is not comparable: load is 4 users, was 8 users" in found["notes"][0]
    assert "NO BASELINE" in check_stored(found["runs"][0])[1]


def test_a_target_that_leaks_fails(check_stored: Checked, recorded: Path) -> None:
    at_s = np.arange(0.0, 600.0)
    samples = {"t_ns": (at_s * 1e9).astype(np.int64), "rss_bytes": (100e6 + 2e6 * at_s).astype(np.int64)}
    constant = {"uss_bytes": -1, "open_files": -1, "threads": -1, "pid": 1, "started_s": 1e9}
    memory = pd.DataFrame(samples).assign(**constant)
    measured = replace(make_run(make_target("GET /a"), run_id="leaking"), memory=memory)
    status, said = check_stored(store(recorded, measured))
    assert status == 1
    assert "leaking: the target leaks memory" in said


def test_an_invalid_run_is_not_judged(check_stored: Checked, recorded: Path) -> None:
    measured = make_run(make_target("GET /a", target_ms=0.001), run_id="overloaded", invalid_reasons=("too busy",))
    status, said = check_stored(store(recorded, measured), "--format", "json")
    found = json.loads(said)
    assert (status, found["exit"], found["endpoints"]) == (3, 3, [])
    assert found["reasons"] == ["overloaded: not judged: too busy"]


def test_several_scenarios_are_a_single_check(check_stored: Checked, server: Server) -> None:
    words = ["--duration", "0.6s", "--warmup", "0.1s", "--target", TARGET_FILE, "--url", server.url, "--format", "json"]
    tried = (check_stored("light_load", "steady_rate", *words) for _ in range(TRIES))
    status, said = next(one for one in tried if one[0] != 3)
    found = json.loads(said)
    assert status == 0
    assert [run_id.split("-")[1] for run_id in found["runs"]] == ["light_load", "steady_rate"]
    assert [row["scenario"] for row in found["endpoints"]] == ["light_load"] * 2 + ["steady_rate"] * 2
    assert found["baselines"] == {"light_load": None, "steady_rate": None}


def test_several_runs_of_one_scenario_are_judged_together(check_stored: Checked, recorded: Path) -> None:
    [entry] = json.loads((recorded / "performance_baselines.json").read_text())["baselines"]
    status, said = check_stored(*entry["runs"][:3], "--format", "json")
    found = json.loads(said)
    assert (status, found["runs"]) == (0, entry["runs"][:3])
    assert [row["endpoint"] for row in found["endpoints"]] == ["GET /a", "GET /b"]
    assert found["mde"] < json.loads(check_stored(entry["runs"][0], "--format", "json")[1])["mde"]
    assert "is a run of the baseline itself" in found["notes"][0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no-such-thing"], "no-such-thing"),
        (["light_load", "--max-errors", "many"], "--max-errors"),
        (["light_load", "--runs", "0"], "--runs: '0' is no whole number from 1 on"),
    ],
)
def test_wrong_use_gets_one_line_and_status_2(
    recorded: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["check", *words]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert says in said.err
