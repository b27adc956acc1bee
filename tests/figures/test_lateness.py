"""Lateness: what a load generator did to its run, against rows whose truth is known."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.figures.lateness import Gaps, gaps_of, late_share, own_errors
from perflib.load.arrivals import WHOLE, Share
from perflib.spec import ERROR_KINDS, Closed, Facts, Open, Page, Ramp, Stage, Workload
from perflib.spec.presence import spans
from perflib.spec.run import OwnError, Part
from perflib.spec.whole import Journey
from perflib.store.spool import COLD, REQUEST_ROW, WARMUP
from tests.load.test_worker import ABC, facts_of

MS, S = 1_000_000, 1_000_000_000
LEFT_OUT = WARMUP | COLD
ARRIVALS = Open(rate_per_s=50)
PAGE = Page(name="home", loads=tuple(one.name for one in ABC))
LARGE = Page(name="large", loads=(ABC[0].name,) * 13)


@dataclass(frozen=True)
class Ways:
    """How the users of a made-up run behave. Seconds."""

    answer_s: float = 0.1
    lost_s: float = 0.0
    """How late the generator sends each next request."""
    think_s: float = 0.0
    error: str | None = None


def run_of(workload: Workload, *, warmup_s: float = 1.0, duration_s: float = 10.0, **facts: object) -> Facts:
    part = Part(
        items=tuple(one.name for one in ABC),
        measured_from_ns=int(warmup_s * S),
        measured_to_ns=int((warmup_s + duration_s) * S),
    )
    made = facts_of("http://x", workload=workload, duration_s=duration_s, warmup_s=warmup_s)
    return made.replaced(**{"parts": (part,), "state": "finished"} | facts)


def rows_of(rows: Iterable[dict[str, int]]) -> np.ndarray:
    """As a worker spools them; a row is a success of the first endpoint, read at once, unless it says otherwise."""
    usual = dict.fromkeys(REQUEST_ROW.names or (), 0) | {"page": -1, "error": -1}
    made = [tuple((usual | {"intended_ns": row.get("start_ns", 0)} | row).values()) for row in rows]
    return np.array(made, REQUEST_ROW)


def users_of(facts: Facts, ways: Ways, share: Share = WHOLE) -> Iterator[dict[str, int]]:
    """The rows of users who go on, in the order of their ends."""
    workload, scenario = facts.scenario.workload, facts.scenario
    assert not isinstance(workload, Open)
    pause_s = 0.1 if ways.error == "connect" else ways.think_s
    error = -1 if ways.error is None else ERROR_KINDS.index(ways.error)
    made = []
    for span in spans(workload, scenario.warmup_s, scenario.duration_s):
        at_s, end_s = span.start_s + scenario.warmup_s, span.end_s + scenario.warmup_s
        while at_s < end_s - 1e-9 and share.holds(span.user):
            start_ns, over_ns = round(at_s * S), round((at_s + ways.answer_s) * S)
            made.append({"user": span.user, "start_ns": start_ns, "end_ns": over_ns, "error": error})
            at_s += ways.answer_s + pause_s + ways.lost_s
    return iter(sorted(made, key=lambda row: row["end_ns"]))


def gaps(facts: Facts, ways: Ways) -> Gaps:
    return gaps_of([rows_of(users_of(facts, ways))], facts)


RAMP = Ramp(
    stages=(
        Stage(start=2, end=2, duration_s=4),
        Stage(start=2, end=8, duration_s=3),
        Stage(start=2, end=2, duration_s=3),
    )
)
"""2 users, for a while up to 8."""


@pytest.mark.parametrize("workload", [Closed(users=5), Closed(users=1), RAMP], ids=["five", "one", "ramp"])
@pytest.mark.parametrize("warmup_s", [0.0, 1.0])
def test_the_time_lost_between_an_answer_and_the_next_request_is_found(workload: Workload, warmup_s: float) -> None:
    found = gaps(run_of(workload, warmup_s=warmup_s), Ways(answer_s=0.06, lost_s=0.02))
    users = 5 if workload == Closed(users=5) else 1 if workload == Closed(users=1) else found.present_s / 10
    assert found.share == pytest.approx(0.25, abs=0.01)
    assert found.users == pytest.approx(users * 0.25, rel=0.05)
    assert found.mean_ms == pytest.approx(20, rel=0.03)
    assert found.present_s == pytest.approx(users * 10)


def test_a_ramp_s_users_are_counted_while_they_are_at_work_alone() -> None:
    at_work_s = 4 * 2 + 0.5 * (3 + 4 + 5 + 6 + 7 + 8) + 3 * 2
    assert gaps(run_of(RAMP), Ways()).present_s == pytest.approx(at_work_s)


@pytest.mark.parametrize("way", [Ways(think_s=0.4), Ways(error="connect"), Ways(error="status")], ids=str)
@pytest.mark.parametrize("workload", [Closed(users=4, think_time_s=0.4), RAMP], ids=["thinking", "ramp"])
def test_thinking_and_a_pause_for_want_of_a_connection_are_no_loss(workload: Workload, way: Ways) -> None:
    thinks = isinstance(workload, Closed) and way.error != "connect"
    found = gaps(run_of(workload), replace(way, think_s=0.4 if thinks else 0.0))
    assert found.share == pytest.approx(0, abs=1e-9)


def walks(lost_s: float, pause_s: float) -> list[np.ndarray]:
    """One user's journeys of two steps of 0.1 s, each followed by its whole row."""
    index, rows, at_s = len(ABC), [], 0.0
    while at_s < 10:
        for step in (0, 1):
            start_ns = round(at_s * S)
            rows.append({"start_ns": start_ns, "end_ns": start_ns + S // 10, "item": step, "page": index})
            at_s += 0.1 + (lost_s if step else pause_s)
        rows.append({"start_ns": start_ns - S // 10, "end_ns": start_ns + S // 10, "item": index})
    return [rows_of(rows)]


@pytest.mark.parametrize(("pause", "lost_s"), [("0.4s", 0.0), ("0s", 0.2)])
def test_a_journey_s_pauses_are_no_loss_and_what_is_lost_between_journeys_is_one(pause: str, lost_s: float) -> None:
    facts = run_of(Closed(users=1), warmup_s=0.0)
    steps = tuple(one.name for one in ABC[:2])
    journey = Journey.model_validate({"name": "j", "steps": steps, "think_time": pause})
    facts = facts.replaced(target=facts.target.replaced(journeys=(journey,)))
    found = gaps_of(walks(lost_s, float(pause[:-1])), facts)
    assert found.share == pytest.approx(0.5 if lost_s else 0.0, abs=0.03)


def test_a_request_that_is_never_answered_keeps_its_user_busy() -> None:
    rows = rows_of([{"user": 0, "start_ns": 2 * S, "end_ns": -1, "error": ERROR_KINDS.index("in_flight")}])
    assert gaps_of([rows], run_of(Closed(users=1), warmup_s=2.0)).lost_s == 0


def test_a_user_who_is_answered_and_sends_nothing_more_loses_the_rest_unless_the_run_was_stopped() -> None:
    rows = [rows_of([{"user": 0, "start_ns": 0, "end_ns": 4 * S}])]
    facts = run_of(Closed(users=1), warmup_s=0.0)
    assert gaps_of(rows, facts).lost_s == pytest.approx(6)
    assert gaps_of(rows, facts.replaced(state="interrupted")).lost_s == 0


def test_a_user_who_was_never_let_in_loses_all_its_time() -> None:
    rows = [rows_of(users_of(run_of(Closed(users=1)), Ways()))]
    assert gaps_of(rows, run_of(Closed(users=2))).users == pytest.approx(1)


def test_what_was_lost_before_and_after_the_measured_time_does_not_count() -> None:
    ends_ns = [0, int(0.9 * S), int(11.5 * S)]  # from 0.9 s on, 2 s late; measured from 1 to 11 s
    rows = rows_of(
        [
            {"user": 0, "start_ns": 0, "end_ns": ends_ns[1]},
            {"user": 0, "start_ns": int(2.9 * S), "end_ns": ends_ns[2]},
        ]
    )
    assert gaps_of([rows], run_of(Closed(users=1))).lost_s == pytest.approx(1.9)


def test_endpoints_alone_one_after_the_other_lose_nothing_between_their_parts() -> None:
    parts = tuple(
        Part(items=(one.name,), measured_from_ns=(20 * k + 2) * S, measured_to_ns=(20 * k + 10) * S)
        for k, one in enumerate(ABC)
    )
    rows = rows_of(
        {"user": 0, "item": k, "start_ns": (20 * k + second) * S, "end_ns": (20 * k + second + 1) * S}
        for k in range(len(ABC))
        for second in range(10)
    )
    facts = run_of(Closed(users=1), warmup_s=2.0, duration_s=8.0, parts=parts)
    found = gaps_of([rows], facts)
    assert (found.lost_s, found.present_s) == (0, pytest.approx(8 * len(ABC)))


def test_several_workers_are_one_load() -> None:
    facts, ways = run_of(Closed(users=5)), Ways(answer_s=0.06, lost_s=0.02)
    shares = [rows_of(users_of(facts, ways, Share(index, 3))) for index in range(3)]
    assert gaps_of(shares, facts) == gaps(facts, ways)


def test_the_parts_of_a_page_are_no_requests_of_its_user() -> None:
    facts = facts_of("http://x", pages=(PAGE,), workload=Closed(users=1), duration_s=3.0)
    facts = facts.replaced(state="finished", parts=(Part(items=("home",), measured_from_ns=0, measured_to_ns=3 * S),))
    assert gaps_of([rows_of(page_rows(3, of_s=1.0))], facts).lost_s == 0


def page_rows(count: int, *, of_s: float, large: bool = False, **values: int) -> Iterator[dict[str, int]]:
    """Loads of a page, each `of_s` long, its parts as long as that."""
    loads = LARGE.loads if large else PAGE.loads
    for number in range(count):
        at = {"start_ns": int(number * of_s * S), "end_ns": int((number + 1) * of_s * S)}
        for place in range(len(loads)):
            yield at | {"item": 0 if large else place, "page": len(ABC)} | values
        yield at | {"item": len(ABC), "read_late_ns": -1}


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([Closed(users=3), Closed(users=1, think_time_s=0.05), RAMP]),
    st.floats(0.03, 0.5),
    st.floats(0, 0.2),
    st.sampled_from([2, 3, 10]),
)
def test_longer_times_change_no_share(workload: Workload, answer_s: float, lost_s: float, factor: int) -> None:
    think_s = workload.think_time_s if isinstance(workload, Closed) else 0.0
    facts, ways = run_of(workload), Ways(answer_s, lost_s, think_s)
    found = gaps(facts, ways)
    rows = rows_of(users_of(facts, ways))
    for name in ("intended_ns", "start_ns", "end_ns"):
        rows[name] *= factor
    slower = run_of(_slower(workload, factor), warmup_s=1.0 * factor, duration_s=10.0 * factor)
    assert gaps_of([rows], slower).share == pytest.approx(found.share, abs=1e-6)
    assert 0 <= found.share <= 1
    assert found.lost_s <= found.present_s


def _slower(workload: Workload, factor: int) -> Workload:
    if isinstance(workload, Ramp):
        return workload.lasting(workload.duration_s * factor)
    assert isinstance(workload, Closed)
    return workload.replaced(think_time_s=workload.think_time_s * factor)


def open_rows(count: int, *, took_ms: float = 10.0, **values: object) -> np.ndarray:
    """Arrivals of an open workload: each answered in so many ms, longer from one to the next."""
    made = rows_of([{"start_ns": number * MS, "user": number % 7} for number in range(count)])
    made["end_ns"] = made["start_ns"] + np.linspace(took_ms, 2 * took_ms, count) * MS
    for name, value in values.items():
        made[name] = value
    return made


def interrupted(rows: np.ndarray, send_ns: int = 4 * MS) -> np.ndarray:
    """The same, four sends of ten of them preempted: those of the slowest answers."""
    slowest = np.argsort(rows["end_ns"] - rows["start_ns"], kind="stable")[-int(0.4 * len(rows)) :]
    rows["send_ns"] = 20_000
    rows["send_ns"][slowest] = send_ns
    return rows


def errors(rows: np.ndarray, workload: Workload = ARRIVALS, lag_ms: float = 3.0) -> dict[str, OwnError]:
    found = own_errors([rows[::2], rows[1::2]], run_of(workload), lag_ms, LEFT_OUT)
    return {error.percentile: error for error in found if error.endpoint == ABC[0].name}


def test_requests_sent_late_are_known_to_lengthen_their_answers() -> None:
    rows = open_rows(1000)
    rows["start_ns"] += 2 * MS
    found = errors(rows)
    assert {name: round(one.ms, 3) for name, one in found.items()} == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert found["p95"].of_ms == pytest.approx(19.5, abs=0.1)


def test_a_few_late_ones_are_in_no_percentile_that_they_do_not_reach() -> None:
    rows = open_rows(1000)
    rows["end_ns"][-20:] += 300 * MS
    rows["start_ns"][-20:] += 300 * MS
    found = errors(rows)
    assert (found["p50"].ms, found["p95"].ms) == (0, 0)
    assert found["p99"].ms == pytest.approx(300, rel=0.1)


def test_only_a_send_that_was_interrupted_may_have_left_late() -> None:
    assert errors(open_rows(400, send_ns=40_000)) == {}
    assert errors(interrupted(open_rows(400)))["p95"].ms == pytest.approx(4, rel=0.1)
    assert errors(interrupted(open_rows(400, took_ms=1000.0))) == {}, "a hundredth of the answer's time is nothing"


@pytest.mark.parametrize("usual_ns", [60_000, 470_000])
def test_what_every_send_takes_is_how_this_machine_sends(usual_ns: int) -> None:
    rng = np.random.default_rng(1)
    rows = open_rows(400, took_ms=0.6, send_ns=(usual_ns * rng.lognormal(0, 0.2, 400)).astype(np.int64))
    assert errors(rows) == {}
    rows["send_ns"][-40:] = 5 * usual_ns
    assert errors(rows)["p95"].ms > 0


def test_each_percentile_is_measured_by_its_own_limit() -> None:
    facts, limited = run_of(ARRIVALS), ABC[0].replaced(target_ms=200, target_p99_ms=900)
    facts = facts.replaced(target=facts.target.replaced(endpoints=(limited, *ABC[1:])))
    found = own_errors([interrupted(open_rows(400))], facts, 0.0, LEFT_OUT)
    assert {one.percentile: one.limit_ms for one in found} == {"p50": 200, "p95": 200, "p99": 900}


def test_a_large_body_may_take_its_time_to_be_sent() -> None:
    large = ABC[0].replaced(method="POST", body="x" * 5_000_000)
    facts = run_of(ARRIVALS)
    rows = [interrupted(open_rows(400))]
    assert own_errors(rows, facts, 0.0, LEFT_OUT)
    assert not own_errors(
        rows, facts.replaced(target=facts.target.replaced(endpoints=(large, *ABC[1:]))), 0.0, LEFT_OUT
    )


def test_of_an_answer_that_the_kernel_did_not_date_the_lag_of_the_loop_is_known() -> None:
    assert errors(open_rows(400, read_late_ns=-1), Closed(users=7))["p95"].ms == pytest.approx(3)
    assert errors(open_rows(400, read_late_ns=9 * MS), Closed(users=7)) == {}, "read late, and dated by the kernel"


def test_warm_up_cold_answers_and_failures_are_no_part_of_it() -> None:
    for flags in (WARMUP, COLD):
        assert errors(interrupted(open_rows(400, flags=flags))) == {}
    failing = open_rows(400, error=ERROR_KINDS.index("status"))
    assert errors(interrupted(failing)) == {}


def test_a_page_bears_its_worst_part_and_each_later_turn_of_its_connections() -> None:
    facts = facts_of("http://x", pages=(PAGE, LARGE), workload=Closed(users=1), duration_s=3.0)
    late = rows_of(page_rows(100, of_s=0.1, send_ns=20_000))
    late["send_ns"][(late["page"] >= 0) & (late["item"] == 0)] = 4 * MS
    found = {one.endpoint: one.ms for one in own_errors([late], facts, 0.0, LEFT_OUT) if one.percentile == "p50"}
    assert found == {"home": pytest.approx(4)}
    rows = rows_of(page_rows(100, of_s=0.1, large=True, read_late_ns=MS))
    rows["item"][rows["page"] < 0] += 1
    rows["page"][rows["page"] >= 0] += 1
    found = {one.endpoint: one.ms for one in own_errors([rows], facts, 0.0, LEFT_OUT) if one.percentile == "p50"}
    assert found == {"large": pytest.approx(2)}, "13 parts over 6 connections: two turns begin when an answer is read"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_error_is_below_zero_or_above_its_percentile(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = open_rows(400)
    for name in ("start_ns", "send_ns"):
        rows[name] += rng.choice([0, 100, 10**5, 10**7, 10**9], 400)
    rows["end_ns"] = rows["start_ns"] + rng.integers(0, 10**8, 400)
    rows["read_late_ns"] = rng.choice([-1, 0, 10**6], 400)
    rows["error"] = rng.choice([-1, -1, -1, ERROR_KINDS.index("status")], 400)
    for one in errors(rows).values():
        assert 0 <= one.ms <= one.of_ms


def test_arrivals_are_late_beyond_25_ms() -> None:
    rows = open_rows(1000)
    rows["start_ns"][:30] += 26 * MS
    rows["start_ns"][30:60] += 24 * MS
    rows["start_ns"][60:70] = -1  # dropped: never sent
    assert late_share([rows[:500], rows[500:]], LEFT_OUT) == pytest.approx(30 / 990)
    rows["flags"][:30] = WARMUP
    assert late_share([rows], LEFT_OUT) == 0
