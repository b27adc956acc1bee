"""A stored run alone: what is planted in its rows is told, and of sound rows nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import perflib
from perflib.judge.observed import observed
from perflib.spec import Facts, Run
from perflib.spec.diagnosis import Diagnosis, Finding
from perflib.spec.run import CoresUsed, MemorySource
from tests.synthetic import make_run, make_target, without_rows, without_successes

NAMES = ("GET /a", "GET /b", "GET /c", "GET /d")
OWN_MS = (3.0, 10.0, 25.0, 6.0)
Serve = Callable[[int, float, float], float]
"""From an endpoint's number, when it was asked and what it takes itself to when it is answered; seconds."""


def alone(_: int, at_s: float, own_s: float) -> float:
    return at_s + own_s


def open_run(seed: int, serve: Serve = alone, sigma: float = 0.5) -> Run:
    """15 s of 50 arrivals per second on four endpoints."""
    rng = np.random.default_rng(seed)
    at_s = np.cumsum(rng.exponential(1 / 50, 800))
    which = rng.integers(0, len(NAMES), len(at_s))
    own_s = np.array(OWN_MS)[which] * rng.lognormal(0, sigma, len(at_s)) / 1e3
    end_s = np.array([serve(int(*one[:1]), one[1], one[2]) for one in zip(which, at_s, own_s, strict=True)])
    blank = make_run(make_target(*NAMES), scenario="steady_rate", seconds=15, per_s=50)
    return with_times(blank, which, at_s, end_s)


def with_times(blank: Run, which: Any, at_s: Any, end_s: Any) -> Run:
    """The run with these requests, and no others."""
    begun, over = (np.round(1e9 * np.asarray(some)).astype(np.int64) for some in (at_s, end_s))
    names = pd.Categorical.from_codes(which, dtype=blank.requests["endpoint"].dtype)
    rows = blank.requests.iloc[[0] * len(begun)].reset_index(drop=True)
    rows = rows.assign(endpoint=names, intended_ns=begun, start_ns=begun, first_byte_ns=over, end_ns=over)
    rows = rows.assign(
        warmup=at_s < 1,
        counted=at_s >= 1,
        error=pd.Categorical([None] * len(rows), dtype=rows["error"].dtype),
        status=200,
        cold=False,
    )
    return replace(blank, requests=rows.sort_values("end_ns", ignore_index=True))


def blocker() -> Serve:
    """GET /c holds the event loop 30 ms; what would be answered meanwhile is answered after it."""
    holds: list[tuple[float, float]] = []

    def serve(which: int, at_s: float, own_s: float) -> float:
        free_s = holds[-1][1] if holds else 0.0
        if which == 2:
            holds.append((max(at_s, free_s), max(at_s, free_s) + 0.03))
            return holds[-1][1]
        return max(at_s, free_s) + own_s

    return serve


def lock() -> Serve:
    """GET /b and GET /c are served one at a time."""
    free_s = 0.0

    def serve(which: int, at_s: float, own_s: float) -> float:
        nonlocal free_s
        if which not in (1, 2):
            return at_s + own_s
        free_s = max(at_s, free_s) + own_s
        return free_s

    return serve


def staller() -> Serve:
    """All stands still for 250 ms in every 1.7 s."""

    def serve(_: int, at_s: float, own_s: float) -> float:
        end_s, stall_s = at_s + own_s, 1.7 * np.ceil((at_s - 0.25) / 1.7)
        return end_s if end_s < stall_s else max(end_s, stall_s + 0.25) + own_s / 10

    return serve


def first(found: Diagnosis) -> Finding:
    assert found.findings, "nothing was found"
    return found.findings[0]


def changed(run: Run, **columns: Any) -> Run:
    return replace(run, requests=run.requests.assign(**columns))


def with_cpu(run: Run, share: float, processes: int = 1) -> Run:
    seconds = int(run.facts.parts[-1].measured_to_ns / 1e9)
    memory = pd.DataFrame(
        {"t_ns": [int(1e9 * second) for second in range(seconds)], "cpu_share": share, "processes": processes}
    )
    facts = run.facts.replaced(memory=MemorySource(kind="process", pid=1, told="a test"))
    return Run(facts, run.requests, memory)


@pytest.mark.parametrize("seed", range(5))
def test_an_endpoint_that_blocks_the_server_is_named_with_its_victims(seed: int) -> None:
    finding = first(observed(open_run(seed, blocker())))
    assert (finding.kind, finding.endpoint) == ("blocks", "GET /c")
    assert finding.others == ("GET /a", "GET /b", "GET /d")
    assert "`perflib why " in finding.next


def test_what_a_blocker_adds_is_about_what_it_holds() -> None:
    added = {
        one.victim: one.added_ms for one in observed(open_run(1, blocker())).interference if one.aggressor == NAMES[2]
    }
    assert all(ms == pytest.approx(22.5, rel=0.5) for ms in added.values())


@pytest.mark.parametrize("seed", range(5))
def test_two_endpoints_that_share_a_lock_are_named_as_a_pair(seed: int) -> None:
    finding = first(observed(open_run(seed, lock())))
    assert (finding.kind, {finding.endpoint, *finding.others}) == ("lock", {"GET /b", "GET /c"})


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_stalls_is_told_with_its_period(seed: int) -> None:
    found = observed(open_run(seed, staller()))
    assert first(found).kind == "stall"
    assert "every 1.7 s" in first(found).says
    assert len(found.stalls) == pytest.approx(15 / 1.7, abs=2)


def test_sound_servers_are_told_as_sound_in_19_of_20() -> None:
    alarms = sum(bool(observed(open_run(seed, sigma=sigma)).findings) for seed in range(20) for sigma in (0.4, 0.8))
    assert alarms <= 2


def test_a_closed_run_tells_why_nobody_is_named() -> None:
    found = observed(make_run(make_target(*NAMES)))
    assert not found.interference
    assert any("Which endpoint holds up which is not known" in note and "steady_rate" in note for note in found.notes)


def test_head_and_body_40_ms_apart_are_the_delayed_acknowledgement() -> None:
    run = make_run(make_target("GET /a"))
    finding = first(observed(changed(run, end_ns=run.requests["end_ns"] + 43_000_000)))
    assert finding.kind == "transfer"
    assert "Nagle" in finding.says
    assert "TCP_NODELAY" in finding.next


def test_connections_that_are_not_kept_are_told() -> None:
    run = make_run(make_target("GET /a"))
    later = {name: run.requests[name] + 8_000_000 for name in ("first_byte_ns", "end_ns")}
    finding = first(observed(changed(run, connect_ns=8_000_000, **later)))
    assert (finding.kind, finding.endpoint) == ("connect", "GET /a")


def test_cold_answers_that_take_most_of_the_time_are_told() -> None:
    found = observed(make_run(cold=0.1))
    assert ("cold", "GET /snapshot") in {(one.kind, one.endpoint) for one in found.findings}


def test_requests_that_wait_for_a_connection_queue() -> None:
    found = observed(make_run(make_target("GET /a"), scenario="steady_rate", lag_ms=50.0))
    assert first(found).kind == "queue"
    assert first(found).effect > 0.8


def test_an_endpoint_whose_requests_are_slow_together_waited_and_one_of_wide_spread_did_not() -> None:
    target = make_target("GET /a")
    waited = make_run(target, sigma=0.2, slowdown=lambda at_s: 20 - 19.5 * (at_s % 1 < 0.1))
    assert [one.kind for one in observed(waited).findings] == ["queue"]
    assert not observed(make_run(target, sigma=1.3)).findings


def test_failures_are_told_with_their_status_and_share() -> None:
    found = observed(make_run(make_target("GET /a"), failures=0.2))
    assert first(found).kind == "errors"
    assert first(found).effect == pytest.approx(0.2, abs=0.05)
    assert "HTTP 500" in first(found).says or "time-out" in first(found).says


def test_a_rate_limit_is_told_as_such() -> None:
    run = make_run(make_target("GET /a"))
    refused = np.arange(len(run.requests)) % 2 == 0
    error = run.requests["error"].mask(refused, "status")
    found = observed(changed(run, error=error, status=np.where(refused, 429, 200)))
    assert first(found).kind == "rate_limited"


def test_a_target_that_uses_one_core_is_saturated_and_one_of_two_processes_is_not() -> None:
    run = make_run(make_target(*NAMES))
    assert "saturated" in {one.kind for one in observed(with_cpu(run, 0.98)).findings}
    assert "saturated" not in {one.kind for one in observed(with_cpu(run, 0.98, processes=2)).findings}
    assert "saturated" not in {one.kind for one in observed(with_cpu(run, 0.5)).findings}


def test_a_target_that_hardly_computes_waits() -> None:
    run = make_run(make_target("GET /a", "GET /b"), scenario="baseline", per_s=20)
    waiting = {one.endpoint for one in observed(with_cpu(run, 0.01)).findings if one.kind == "wait"}
    assert waiting == {"GET /b"}, "the other takes 2 ms in all"
    assert "wait" not in {one.kind for one in observed(with_cpu(run, 0.2)).findings}


def test_a_run_that_becomes_slow_in_the_middle_changes_its_level() -> None:
    found = observed(make_run(make_target(*NAMES), slowdown=lambda at_s: np.where(at_s > 6, 3.0, 1.0)))
    finding = next(one for one in found.findings if one.kind == "level_change")
    assert "second 7." in finding.says or "second 6.9" in finding.says
    assert 0.2 < finding.effect < 0.6


def test_a_busy_machine_is_told_and_not_its_changes() -> None:
    run = make_run(make_target(*NAMES), slowdown=lambda at_s: np.where(at_s > 6, 3.0, 1.0))
    busy = run.facts.generator.replaced(cores_used=CoresUsed(target=0.1, generator=0.1, others=1.7, of=2))
    found = observed(Run(run.facts.replaced(generator=busy), run.requests))
    assert not found.findings
    assert any("cores of this machine" in note for note in found.notes)


def test_the_slowest_requests_are_told_with_what_was_under_way() -> None:
    run = open_run(1, blocker())
    slowest = observed(run).slowest
    longest_ms = (run.requests["end_ns"] - run.requests["intended_ns"]).max() / 1e6
    assert len(slowest) == 20
    assert slowest[0].ms == pytest.approx(longest_ms)
    assert "GET /c" in slowest[0].under_way


@pytest.mark.parametrize(
    "run",
    [
        without_rows(make_run()),
        without_successes(make_run()),
        make_run(make_target("GET /a", "GET /b", page="Page")),
        make_run(scenario="spike"),
        make_run(seconds=0.05, per_s=1),
        make_run(dropped=1.0),
        replace(make_run(), memory=pd.DataFrame({"t_ns": []})),
    ],
    ids=["empty", "all failed", "pages", "ramp", "tiny", "never sent", "no cpu"],
)
def test_any_run_has_a_diagnosis(run: Run) -> None:
    assert observed(run).run_ids == (run.facts.run_id,)


def test_a_run_of_an_earlier_version_has_one_too() -> None:
    assert observed(perflib.load_run("sample-28-release-1.4")).endpoints


def test_an_invalid_run_says_so() -> None:
    facts: Facts = make_run().facts.replaced(invalid_reasons=("overloaded",))
    found = observed(Run(facts, make_run().requests))
    assert not found.valid
    assert found.invalid_reasons == ("overloaded",)
