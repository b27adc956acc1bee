"""Where a response time went: real servers that think, that send in parts, and that send much."""

import sys
from pathlib import Path

import numpy as np
import pytest

from perflib.figures.phases import phases, slow_receiving
from perflib.figures.summary import as_json, summarize
from perflib.spec import Closed, Endpoint, Page, Run
from perflib.text import tables
from perflib.text.notices import slow_receiving_lines
from perflib.workbook import charts
from tests.load.test_worker import Driven, facts_of
from tests.servers import Turn, answer, answering, scripted
from tests.synthetic import make_run

BODY = b'{"data": 1}'
HEAD = answer(BODY)[: -len(BODY)]
LARGE = b"x" * 400_000
TURNS = 2000


def run_against(folder: Path, turn: Turn, *, nagle: bool = False, duration_s: float = 2.0) -> Run:
    with scripted([turn] * TURNS, nagle=nagle) as server:
        facts = facts_of(
            server.url, (Endpoint(path="/health"),), duration_s=duration_s, workload=Closed(users=2, think_time_s=0.005)
        )
        return Driven(folder, facts).folder.load()


@pytest.mark.skipif(sys.platform != "linux", reason="40 ms are how long Linux holds an acknowledgement back")
def test_head_and_body_written_apart_without_tcp_nodelay_are_told_with_their_mend(tmp_path: Path) -> None:
    run = run_against(tmp_path, [HEAD, BODY], nagle=True)
    [row] = summarize(run).endpoints
    assert row.waiting_p50_ms is not None
    assert row.receiving_p50_ms is not None
    assert row.waiting_p50_ms < row.receiving_p50_ms
    assert 38 < row.receiving_p50_ms < 52
    [said] = slow_receiving_lines(run)
    assert said.startswith("GET /health: waiting ")
    assert said.endswith(
        "ms: the server sends its answer in two parts, and the second waits for a delayed acknowledgement (Nagle); "
        "set TCP_NODELAY or write it at once."
    )
    assert said in tables.verdict(run).notes


def test_the_same_server_with_tcp_nodelay_has_nothing_to_be_told(tmp_path: Path) -> None:
    assert slow_receiving_lines(run_against(tmp_path, [HEAD, BODY])) == []


def test_a_large_body_that_comes_slowly_is_told_with_its_size_and_not_as_nagle(tmp_path: Path) -> None:
    head = answer(LARGE)[: -len(LARGE)]
    run = run_against(tmp_path, [head, LARGE[:200_000], 0.04, LARGE[200_000:]])
    [one], [said] = slow_receiving(run), slow_receiving_lines(run)
    assert one.why == "large"
    assert one.receiving_ms > 38
    assert " ms for 400 kB: most of the time is the transfer of a large answer" in said
    assert "Nagle" not in said


@pytest.mark.parametrize("pause_s", [0.01, 0.12])
def test_a_small_body_that_is_late_for_another_reason_is_not_told_as_nagle(tmp_path: Path, pause_s: float) -> None:
    run = run_against(tmp_path, [HEAD, pause_s, BODY])
    assert [one.why for one in slow_receiving(run)] == ["in pieces"]
    assert "still at work on the rest" in slow_receiving_lines(run)[0]


def test_a_server_that_thinks_before_it_speaks_is_waited_for_and_nothing_is_told(tmp_path: Path) -> None:
    run = run_against(tmp_path, [0.03, HEAD + BODY])
    [row] = summarize(run).endpoints
    assert row.waiting_p50_ms is not None
    assert row.receiving_p50_ms is not None
    assert row.waiting_p50_ms >= 30 > row.receiving_p50_ms
    assert row.bytes_p50 == len(HEAD + BODY)
    assert slow_receiving_lines(run) == []


def test_phases_add_up_to_the_response_time_and_a_connection_is_apart_from_waiting(tmp_path: Path) -> None:
    closing = answer(BODY, "Connection: close")
    with answering(lambda _: (0.01, closing)) as server:
        facts = facts_of(server.url, (Endpoint(path="/a"),), duration_s=0.5)
        run = Driven(tmp_path, facts).folder.load()
    good = run.requests[run.requests["error"].isna() & ~run.requests["cold"]]
    every, slowest = phases(run)
    assert 0 < every.mean_ms["connecting"] == pytest.approx(good["connect_ns"].mean() / 1e6)
    assert sum(every.mean_ms.values()) == pytest.approx(((good["end_ns"] - good["intended_ns"]) / 1e6).mean())
    assert (every.requests, slowest.requests) == (len(good), int(np.ceil(0.05 * len(good))))
    assert sum(slowest.mean_ms.values()) > sum(every.mean_ms.values())


def test_a_page_has_no_phases_of_its_own(tmp_path: Path) -> None:
    with answering(answer()) as server:
        pages = (Page(name="home", loads=("GET /a",)),)
        run = Driven(tmp_path, facts_of(server.url, (Endpoint(path="/a"),), pages)).folder.load()
    request, page = as_json(run, summarize(run))["endpoints"]
    assert request["waiting_p50_ms"] > 0
    assert request["receiving_p50_ms"] >= 0
    assert (page["waiting_p50_ms"], page["receiving_p50_ms"]) == (None, None)
    assert {one.endpoint for one in phases(run)} == {"GET /a"}


def test_the_table_has_the_phases_where_they_are_asked_for() -> None:
    run = make_run()
    asked = tables.verdict(run, phases=True).records()[0]
    assert float(asked["Waiting p50, ms"]) == pytest.approx(float(asked["p50, ms"]))
    assert (asked["Receiving p50, ms"], asked["Size p50"]) == ("0.00", "1 kB")
    assert "Size p50" not in tables.verdict(run).records()[0]


def test_the_chart_stacks_the_means_of_each_endpoint_and_of_its_slowest() -> None:
    run = make_run(scenario="steady_rate", lag_ms=5.0)
    figure, found = charts.phases(run), phases(run)
    late, waiting = figure.data
    assert (late.name, waiting.name) == ("late", "waiting")
    assert list(waiting.y) == [f"{one.endpoint}{', slowest 5 %' * one.slowest}" for one in found]
    assert list(waiting.x) == [one.mean_ms["waiting"] for one in found]
    assert list(late.x) == pytest.approx([5.0] * len(found), rel=0.1)
