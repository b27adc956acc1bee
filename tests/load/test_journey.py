"""A journey: steps in order by one user, each a row, and the whole one; what a step saves the next one asks with."""

import itertools
import json
from pathlib import Path

import pandas as pd
import pytest

import perflib
from perflib.spec import InputError, Run
from perflib.store.folders import load_target
from tests.servers import Served, answer, answering

NUMBERS = itertools.count(1)
ALONE = ["create and read"]
TARGET = """
[[endpoint]]
path = "/health"
weight = 0

[[endpoint]]
path = "/new"
method = "POST"
body = {{ a = "{{uuid}}" }}
save = {{ order = "/order/id" }}

[[endpoint]]
path = "/orders/{{order}}"

[[journey]]
name = "create and read"
steps = ["POST /new", "GET /orders/{{order}}", "GET /health"]
think_time = "{think}"
"""


def shop(path: str) -> bytes | tuple[float, bytes]:
    if path == "/new":
        return 0.01, answer(json.dumps({"order": {"id": f"no/{next(NUMBERS):06d}"}}).encode(), status="201 Created")
    return answer()


def run(folder: Path, server: Served, scenario: str = "light_load", think: str = "0s", **options: object) -> Run:
    head = f'[target]\nname = "t"\nbase_url = "{server.url}"\n'
    (folder / "t.toml").write_text(head + TARGET.format(think=think), encoding="utf-8")
    asked = {"duration": "2s", "warmup": "0s"} | options
    return perflib.run(scenario, target=str(folder / "t.toml"), **asked)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path / "data"))
    return tmp_path


def steps_of(measured: Run) -> pd.DataFrame:
    return measured.requests[measured.requests["journey"].notna()]


def wholes_of(measured: Run) -> pd.DataFrame:
    return measured.requests[measured.requests["kind"] == "journey"]


def test_steps_come_in_order_and_ask_with_what_an_earlier_one_saved(workbook: Path) -> None:
    with answering(shop) as server:
        measured = run(workbook, server, users=1, endpoints=ALONE)
    assert len(server.requests) > 6
    paths = server.requests[: len(server.requests) // 3 * 3]
    for first, second, third in zip(*[iter(paths)] * 3, strict=True):
        assert (first, third) == ("/new", "/health")
        assert second.startswith("/orders/no%2F")
    assert len(set(server.requests[1::3])) == len(server.requests[1::3])
    assert measured.requests["error"].isna().all()


def test_each_step_is_a_row_and_the_whole_is_a_row_as_long_as_its_steps(workbook: Path) -> None:
    with answering(shop) as server:
        measured = run(workbook, server, users=2, think="50ms-80ms", endpoints=ALONE)
    steps, wholes = steps_of(measured), wholes_of(measured)
    assert set(steps["endpoint"]) == {"POST /new", "GET /orders/{order}", "GET /health"}
    assert len(server.requests) == len(steps)
    assert len(steps) // 3 - 2 <= len(wholes) <= len(steps) // 3
    took_ms = (wholes["end_ns"] - wholes["intended_ns"]) / 1e6
    for user, own in steps.groupby("user"):
        ordered = own.sort_values("start_ns")
        pauses_ms = (ordered["start_ns"].to_numpy()[1:] - ordered["end_ns"].to_numpy()[:-1]) / 1e6
        within = [pause for place, pause in enumerate(pauses_ms, 1) if place % 3]
        assert min(within) >= 49
        ended = ordered[: 3 * (len(ordered) // 3)]
        summed = (ended["end_ns"] - ended["intended_ns"]).to_numpy().reshape(-1, 3).sum(1) / 1e6
        assert took_ms[wholes["user"] == user].to_numpy() == pytest.approx(summed, abs=0.01)


def test_a_journey_s_steps_count_in_its_row_alone(workbook: Path) -> None:
    with answering(shop) as server:
        measured = run(workbook, server, users=2)
    rows = {row.endpoint: row for row in perflib.summarize(measured).endpoints}
    assert set(rows) == {"POST /new", "create and read"}
    assert rows["create and read"].kind == "journey"
    assert rows["create and read"].requests == len(wholes_of(measured))
    steps = perflib.summarize(measured).steps
    assert [step.endpoint for step in steps] == ["POST /new", "GET /orders/{order}", "GET /health"]
    assert sum(step.requests for step in steps) == len(steps_of(measured))
    assert steps[0].p50_ms is None or steps[0].p50_ms >= 10
    assert "Steps of create and read" in str(perflib.tables.verdict(measured))
    alone = measured.requests.query("endpoint == 'POST /new' and journey.isna()")
    assert rows["POST /new"].requests == len(alone) < (measured.requests["endpoint"] == "POST /new").sum()


def test_a_step_that_fails_ends_its_journey_as_a_failure(workbook: Path) -> None:
    with answering(lambda path: answer(status="500 No") if path == "/health" else shop(path)) as server:
        measured = run(workbook, server, users=1, keep_going=True)
    assert wholes_of(measured)["status"].eq(500).all()
    assert wholes_of(measured)["error"].eq("status").all()


def test_an_answer_without_the_value_to_save_is_a_failure_with_its_reason(workbook: Path) -> None:
    with answering(answer(b'{"order": {}}')) as server:
        measured = run(workbook, server, users=1, keep_going=True)
    assert set(server.requests) == {"/new"}
    assert wholes_of(measured)["error"].eq("content").all()
    assert "has no value to save at /order/id" in set(measured.failures["reason"])


def test_a_saved_value_is_in_no_sample(workbook: Path) -> None:
    def told(path: str) -> bytes:
        return shop(path) if path == "/new" else answer(f"for {path} no/{path[13:]}".encode(), status="500 No")  # type: ignore[return-value]

    with answering(told) as server:
        measured = run(workbook, server, users=1, keep_going=True, endpoints=ALONE, duration="500ms")
    assert len(measured.failures) > 0
    assert not measured.failures["body"].str.contains(r"no/\d|no%2F\d").any()


def test_baseline_takes_the_journey_alone(workbook: Path) -> None:
    with answering(shop) as server:
        measured = run(workbook, server, "baseline", duration="500ms")
    assert [part.items for part in measured.facts.parts] == [("POST /new",), ("create and read",)]
    assert len(wholes_of(measured)) > 3


@pytest.mark.parametrize("think", ["0s", "20ms"])
def test_in_an_open_load_an_arrival_begins_a_journey_and_the_rate_counts_requests(workbook: Path, think: str) -> None:
    only = {"endpoints": ALONE, "rate": 60, "arrivals": "constant"}
    with answering(shop) as server:
        measured = run(workbook, server, "steady_rate", think=think, **only)
    assert 0.8 * 120 <= len(server.requests) <= 120
    assert len(steps_of(measured)) == len(server.requests)
    assert 30 <= len(wholes_of(measured)) <= 40
    assert measured.requests["error"].isna().all()


def test_a_loaded_run_is_the_run_that_was_measured(workbook: Path) -> None:
    with answering(shop) as server:
        measured = run(workbook, server, users=1, duration="300ms")
    again = perflib.load_run(measured.facts.run_id)
    pd.testing.assert_frame_equal(again.requests, measured.requests)
    assert len(again.slowest(3)) == 3


@pytest.mark.parametrize(
    ("journey", "told"),
    [
        ('steps = ["GET /none"]', "journey 'j' loads 'GET /none', which is no endpoint here"),
        ("steps = []", "journey[1].steps"),
        (
            'steps = ["GET /o/{order}", "POST /new"]',
            "journey 'j': 'GET /o/{order}' needs {order}, which no step before it saves",
        ),
        ('steps = ["POST /new"]\nthink_time = "3s-1s"', "the range ends before it begins"),
        ('steps = ["POST /new"]\nthink_time = "soon"', "'soon' is not a duration"),
    ],
)
def test_a_journey_that_cannot_be_walked_is_refused(tmp_path: Path, journey: str, told: str) -> None:
    text = f'[target]\nname = "t"\nbase_url = "http://h.test"\n[[journey]]\nname = "j"\n{journey}\n'
    text += (
        '[[endpoint]]\npath = "/new"\nmethod = "POST"\nsave = { order = "/id" }\n[[endpoint]]\npath = "/o/{order}"\n'
    )
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_target(tmp_path / "t.toml")
    assert told in str(refused.value)


def test_an_open_load_of_a_target_file_leaves_pages_out(workbook: Path) -> None:
    with answering(answer()) as server:
        head = f'[target]\nname = "t"\nbase_url = "{server.url}"\n[[endpoint]]\npath = "/a"\n'
        page = '[[page]]\nname = "Home"\nloads = ["GET /a"]\n[scenario.mine]\nrate = 40\n'
        (workbook / "t.toml").write_text(head + page, encoding="utf-8")
        measured = perflib.run("mine", target=str(workbook / "t.toml"), duration="500ms", warmup="0s")
    assert measured.facts.state == "finished"
    assert [row.endpoint for row in perflib.summarize(measured).endpoints] == ["GET /a"]


def test_arrivals_of_journeys_that_find_no_connection_are_counted_and_named(workbook: Path) -> None:
    given = {"rate": 100, "max_connections": 1, "duration": "10s", "abort_on": "errors>50%", "endpoints": ALONE}
    with answering(lambda path: (0.3, answer())) as server:
        measured = run(workbook, server, "steady_rate", **given)
    assert measured.facts.state == "broken"
    assert "most of them never sent, as no connection was free from create and read" in str(
        measured.facts.invalid_reasons
    )
