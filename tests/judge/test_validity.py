"""Validity: a run is invalid where its load, or its figures, were not its target's, and says what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.judge.validity import doubtful, invalid_reasons, may_pass, worst_of_each
from perflib.spec import Closed, Open, Ramp, Stage, Workload
from perflib.spec.run import CoresUsed, Generator, OwnError, Standstill

USERS, ARRIVALS = Closed(users=50), Open(rate_per_s=100)
SOUND = Generator(clock="kernel", busiest_share=0.4, loop_lag_p99_ms=2.0, schedule_lag_p99_ms=1.0, requests=100_000)


def told(workload: Workload = USERS, workers: int = 1, **known: object) -> tuple[str, ...]:
    return invalid_reasons(SOUND.replaced(**known), workload, workers)


def test_a_busy_generator_is_valid_where_the_kernel_dates_the_answers_and_the_load_was_offered() -> None:
    busy = {"busiest_share": 0.99, "loop_lag_p99_ms": 80.0}
    assert told(**busy) == ()
    assert told(**busy, lost_share=0.09, lost_users=4.5, lost_ms=0.4) == ()
    assert told(ARRIVALS, **busy, schedule_lag_p99_ms=24.0, late_share=0.01) == ()


def test_by_the_read_clock_a_busy_generator_has_measured_itself() -> None:
    assert told(clock="read") == ()
    assert "97%" in told(clock="read", busiest_share=0.97)[0]
    assert "event loop was 40 ms late" in told(clock="read", loop_lag_p99_ms=40.0)[0]
    assert "schedule was 40 ms late" in told(clock="read", schedule_lag_p99_ms=40.0)[0]


def test_users_that_the_generator_kept_waiting_are_told_by_what_they_offered() -> None:
    [reason] = told(lost_share=0.24, lost_users=12.0, lost_ms=1.2)
    assert reason.startswith(
        "the load generator sent late: 50 users offered the load of 38, "
        "as each waited 1.20 ms on average for it to send its next request. "
    )
    assert reason.endswith("Send less (--users 38)")
    ramp = Ramp(stages=(Stage(start=1, end=40, duration_s=10),))
    [reason] = told(ramp, lost_share=0.5, lost_users=10.0, lost_ms=1.2)
    assert "20 users on average offered the load of 10" in reason
    assert reason.endswith("Send less (fewer users)")


def test_less_than_a_user_is_no_lost_load_however_large_its_share() -> None:
    assert told(Closed(users=1), lost_share=0.6, lost_users=0.6, lost_ms=0.1) == ()
    assert told(Closed(users=2), lost_share=0.6, lost_users=1.2, lost_ms=1.1)


def test_the_generators_own_work_on_a_request_is_no_lost_load() -> None:
    at_once = {"lost_share": 0.74, "lost_users": 1.5}
    assert told(Closed(users=2), **at_once, lost_ms=0.05, busiest_share=0.99) == ()
    assert told(Closed(users=2), **at_once, lost_ms=0.6) == ()
    saturated = {"lost_share": 0.97, "lost_users": 48.5, "lost_ms": 0.7, "busiest_share": 0.99}
    assert "50 users offered the load of 1.5" in told(**saturated)[0]


def test_arrivals_that_went_out_late_are_told_by_their_share() -> None:
    [reason] = told(ARRIVALS, late_share=0.034)
    assert reason.startswith("the load generator sent late: 3.4% of the requests went out over 25 ms late. ")
    assert reason.endswith("Send less (--rate 50)")


def error(ms: float, of_ms: float, limit_ms: float | None = None, percentile: str = "p95") -> OwnError:
    return OwnError.parse(
        {"endpoint": "GET /a", "percentile": percentile, "ms": ms, "of_ms": of_ms, "limit_ms": limit_ms}, "a test"
    )


@pytest.mark.parametrize(
    ("found", "valid"),
    [
        (error(0.09, 0.5), True),
        (error(0.31, 0.5), False),
        (error(4.9, 100), True),
        (error(5.1, 100), False),
        (error(1.9, 10, limit_ms=200), True),
        (error(2.1, 10, limit_ms=200), False),
        (error(0.09, 0.5, limit_ms=1), True),
        (error(80.0, 100, percentile="p99"), True),
    ],
)
def test_own_error_is_borne_up_to_a_share_of_the_percentile_or_of_its_limit(found: OwnError, valid: bool) -> None:
    assert (told(own_errors=(found,)) == ()) is valid


def test_a_percentile_that_is_ours_is_named_and_p99_only_told() -> None:
    [reason] = told(own_errors=(error(0.0, 2.0, percentile="p50"), error(2.1, 10.0)))
    assert reason.startswith("p95 of GET /a is 10.0 ms, of which up to 2.10 ms may be the load generator's own. ")
    p99 = SOUND.replaced(own_errors=(error(80.0, 100, percentile="p99"),))
    assert doubtful(p99) == ("p99 of GET /a is 100 ms, of which up to 80.0 ms may be the load generator's own",)
    assert doubtful(SOUND.replaced(own_errors=(error(4.0, 100, percentile="p99"),))) == ()


def test_the_worst_error_is_the_one_furthest_beyond_what_is_borne_of_it() -> None:
    large, small, other = error(4.0, 100), error(0.3, 1), error(0.1, 1, percentile="p50")
    assert worst_of_each([large, small, other]) == (small, other)
    assert worst_of_each([]) == ()


LOST = {"lost_share": 0.24, "lost_users": 12.0, "lost_ms": 1.2}


def cores(target: float | None, generator: float, others: float | None, of: int = 2) -> CoresUsed:
    return CoresUsed(target=target, generator=generator, others=others, of=of)


@pytest.mark.parametrize(
    ("used", "share", "ends"),
    [
        (
            cores(0.9, 0.7, 0.4),
            0.7,
            "Used meanwhile: target 0.9, load generator 0.7, others 0.4 of 2 cores. Stop the other work on this "
            "machine, run the target on another machine or send less (--users 38)",
        ),
        (
            cores(1.0, 1.0, 0.0, of=8),
            0.98,
            "Used meanwhile: target 1.0, load generator 1.0, others 0.0 of 8 cores. Drive it from one process more "
            "(--workers 2) or send less (--users 38)",
        ),
        (
            cores(None, 0.98, None),
            0.98,
            "Used meanwhile: load generator 1.0 of 2 cores. Send less (--users 38)",
        ),
        (cores(1.0, 0.9, 0.05), 0.9, "Run the target on another machine or send less (--users 38)"),
        (
            cores(0.2, 0.04, 1.7),
            0.04,
            "Stop the other work on this machine or run the target on another machine",
        ),
        (None, 0.98, "send its next request. Send less (--users 38)"),
    ],
)
def test_who_used_the_cores_decides_what_is_advised(used: CoresUsed | None, share: float, ends: str) -> None:
    [reason] = told(**LOST, cores_used=used, busiest_share=share)
    assert reason.endswith(ends)


def test_several_reasons_say_once_what_to_do() -> None:
    reasons = told(**LOST, own_errors=(error(2.1, 10.0),))
    assert [reason.count("Send less") for reason in reasons] == [0, 1]


def test_what_this_machine_refuses_it_refuses_again() -> None:
    refused = SOUND.replaced(refusals=7, refusal="no more open files")
    assert invalid_reasons(refused, USERS) == (
        "this machine refused the load generator 7 connections: no more open files",
    )
    assert not may_pass(refused)
    assert may_pass(SOUND)


def standing(*standstills: tuple[float, int], requests: int = 100_000) -> tuple[str, ...]:
    found = tuple(
        Standstill(worker=1, at_s=31.4, lasted_s=lasted_s, touched=touched) for lasted_s, touched in standstills
    )
    return told(requests=requests, standstills=found)


def test_a_standstill_of_seconds_makes_a_run_invalid_however_few_requests_it_touched() -> None:
    reason = "load generator: worker 2 stood still for 2.0 s at 31.4 s: 10 requests due or under way"
    assert standing((2.0, 10)) == (reason,)
    assert standing((2.0, 0)) == ()


def test_short_ones_do_where_they_touched_more_than_one_request_in_a_hundred() -> None:
    assert standing(*[(0.2, 10)] * 20) == ()
    [reason] = standing(*[(0.2, 100)] * 20)
    assert "and 19 times more: 2,000 requests" in reason


@given(st.floats(0, 1), st.floats(0, 100), st.floats(0, 100))
def test_who_loses_more_is_never_judged_more_kindly(share: float, users: float, more: float) -> None:
    before = told(lost_share=share, lost_users=users, lost_ms=1.0)
    after = told(lost_share=min(1.0, share + more), lost_users=users + more, lost_ms=1.0)
    assert len(after) >= len(before)
