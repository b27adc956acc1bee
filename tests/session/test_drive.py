"""Driving a run: what is asked for is what is measured, kept, and shown again."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

import perflib
from perflib.session import floor
from perflib.spec import InputError
from perflib.store.runs import RunFolder
from perflib.workbook import live
from tests.servers import answer, answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = """
[target]
name = "shop"
base_url = "{url}"

[[endpoint]]
path = "/a"

[[endpoint]]
path = "/b"

[scenario.checkout]
title = "Checkout"
users = 3
duration = "0.5s"
endpoints = ["GET /b"]
"""
SHORT = {"duration": "0.5s", "warmup": 0, "profile": "quick"}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A target file of a server that answers."""
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    with answering(answer()) as server:
        (tmp_path / "shop.toml").write_text(TARGET.format(url=server.url))
        yield str(tmp_path / "shop.toml")


def test_a_scenario_that_only_the_target_file_knows_is_driven_as_it_says(shop: str) -> None:
    run = perflib.run("checkout", target=shop, warmup=0, profile="brief")
    assert set(run.requests["endpoint"]) == {"GET /b"}
    assert run.requests["user"].nunique() == 3
    assert run.facts.scenario.title == "Checkout: 3 users, only GET /b"
    assert list(perflib.check(["checkout"], perflib.Options(target=shop, warmup=0)).baselines) == ["checkout"]


def test_a_stored_run_is_shown_again_to_whoever_asks_for_the_same(shop: str) -> None:
    first = perflib.run("light_load", target=shop, users=2, run_id="mine", **SHORT)
    again = perflib.run("light_load", target=shop, users=2, run_id="mine", **SHORT)
    named = perflib.run("light_load", run_id="mine")
    assert first.requests.equals(again.requests)
    assert named.facts == again.facts == first.facts


@pytest.mark.parametrize(
    ("scenario", "options", "says"),
    [
        ("medium_load", {}, "is a run of light_load, not of medium_load"),
        ("light_load", {"users": 9}, "load is 9 users, was 2 users"),
        ("light_load", {"users": 2, "endpoints": ["GET /a"]}, "other endpoints are driven: GET /b"),
    ],
)
def test_a_stored_run_of_something_else_is_refused_with_the_difference(
    shop: str, scenario: str, options: dict[str, object], says: str
) -> None:
    perflib.run("light_load", target=shop, users=2, run_id="mine", **SHORT)
    asked = {"target": shop, "run_id": "mine", **SHORT, **options} if options else {"run_id": "mine"}
    with pytest.raises(InputError, match="run_id 'mine'") as refused:
        perflib.run(scenario, **asked)
    assert says in str(refused.value)


def test_an_interrupt_while_the_floor_is_measured_leaves_no_run(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(floor, "calibrate", interrupted)
    floor.floor.cache_clear()
    with pytest.raises(KeyboardInterrupt):
        perflib.run("light_load", target=shop, **SHORT)
    assert not list(tmp_path.glob("runs/*"))


def test_a_floor_that_cannot_be_measured_costs_no_run(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise InputError("the temporary folder is full")

    monkeypatch.setattr(floor, "calibrate", refused)
    floor.floor.cache_clear()
    run = perflib.run("light_load", target=shop, **SHORT)
    assert run.facts.state == "finished"
    assert run.facts.generator.floor_p50_ms is None
    floor.floor.cache_clear()


def test_the_slowest_requests_come_first_and_their_parts_add_up(shop: str) -> None:
    run = perflib.run("light_load", target=shop, users=2, **SHORT)
    slowest = run.slowest(5)
    assert slowest["response_ms"].is_monotonic_decreasing
    assert len(slowest) == 5
    parts = slowest[["late_ms", "connect_ms", "waiting_ms", "receiving_ms"]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(slowest["response_ms"].to_numpy(), abs=0.01)
    ended = run.requests[run.requests["kind"] == "request"]
    assert slowest["response_ms"][0] == pytest.approx(((ended["end_ns"] - ended["intended_ns"]) / 1e6).max(), abs=0.001)


def test_an_interrupt_while_a_run_is_sealed_takes_nothing_back(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables = RunFolder._write_tables

    def interrupted(*given: object) -> None:
        signal.raise_signal(signal.SIGINT)
        write_tables(*given)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "_write_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        perflib.run("light_load", target=shop, run_id="pressed", **SHORT)
    kept = perflib.load_run("pressed")
    assert kept.facts.state == "finished"
    assert len(kept.requests) > 0
    assert {path.name for path in (tmp_path / "runs/pressed").iterdir()} >= {"requests.parquet", "figures.parquet"}
    assert not list((tmp_path / "runs/pressed").glob("*.spool"))


def test_a_fault_in_what_shows_a_run_keeps_what_was_measured(shop: str) -> None:
    def at_fault(_: object) -> None:
        raise ZeroDivisionError("of a test")

    with pytest.raises(ZeroDivisionError):
        perflib.run("light_load", target=shop, users=2, run_id="shown", duration="30s", report=at_fault)
    kept = perflib.load_run("shown")
    assert kept.facts.state == "broken"
    assert kept.facts.invalid_reasons[0].startswith("ZeroDivisionError: of a test (test_drive.py, line ")
    assert len(kept.requests) > 0


def test_attach_takes_the_run_under_way_and_else_the_one_that_began_last(shop: str, tmp_path: Path) -> None:
    perflib.run("light_load", target=shop, run_id="left", **SHORT)
    left, facts = tmp_path / "runs/left", perflib.load_run("left").facts
    facts = facts.replaced(started_at="2026-01-01T00:00:00+00:00", state="running", parts=())
    RunFolder(left).write_facts(facts)
    (left / "owner").write_text("999999999 1.0\n")  # months ago, in a crash
    perflib.run("light_load", target=shop, run_id="last", **SHORT)
    assert [perflib.attach().facts.run_id for _ in range(2)] == ["last", "last"]
    with RunFolder.create(tmp_path / "runs", facts.replaced(run_id="under-way")):
        assert live._latest(tmp_path / "runs") == "under-way"
    assert perflib.attach("left").facts.state == "interrupted"
    assert perflib.attach().facts.run_id == "last"
