"""Standstills: judged by the requests that they touched."""

import numpy as np
import pytest

from perflib.load import standstill
from perflib.load.standstill import Standstills
from perflib.store.spool import REQUEST_ROW, WARMUP

S = 1_000_000_000


def rows(*spans_s: tuple[float, float], warmup: bool = False) -> np.ndarray:
    """Requests from their intended start to their end."""
    made = np.zeros(len(spans_s), REQUEST_ROW)
    made["intended_ns"], made["end_ns"] = (np.reshape(spans_s, (-1, 2)) * S).astype(np.int64).T
    made["flags"] = WARMUP if warmup else 0
    return made


def stood_still(from_s: float, to_s: float) -> Standstills:
    found = Standstills()
    found.tick(int(from_s * S), int(to_s * S))
    return found


def test_what_was_due_or_under_way_is_touched_and_nothing_else() -> None:
    under_way, due, before, after, long_one = (9.9, 12.0), (11.0, 12.1), (9.0, 9.9), (12.1, 12.2), (0.0, 25.0)
    asked = rows(under_way, due, before, after, long_one)
    [found] = stood_still(10.0, 12.0).among(asked, 0, worker=3)
    assert (found.worker, found.at_s, found.touched) == (3, 10.0, 2)
    assert found.lasted_s == pytest.approx(2.0, abs=0.1)
    [found] = stood_still(10.0, 12.0).among(rows((9.9, 12.0), warmup=True), 0, worker=0)
    assert found.touched == 0


def test_by_the_kernel_s_clock_a_short_one_touches_only_what_was_sent_late() -> None:
    under_way, due, before = (9.9, 10.3), (10.1, 10.4), (9.8, 10.02)
    asked = rows(under_way, due, before)
    asked["start_ns"] = (np.array([9.9, 10.2, 9.8001]) * S).astype(np.int64)
    [found] = stood_still(10.0, 10.2).among(asked, 0, worker=0)
    assert found.touched == 1
    asked["read_late_ns"] = -1
    [found] = stood_still(10.0, 10.2).among(asked, 0, worker=0)
    assert found.touched == 3, "by the read clock, what was under way too"


def test_a_long_one_touches_the_users_whose_answers_it_let_wait() -> None:
    asked = rows((9.99, 9.995), (9.9, 9.95))
    asked["read_late_ns"] = [int(2.01 * S), 1000]
    [found] = stood_still(10.0, 12.0).among(asked, 0, worker=0)
    assert found.touched == 1


def test_a_late_tick_is_no_standstill() -> None:
    assert not stood_still(10.0, 10.05).among(rows((0, 20)), 0, worker=0)


def test_a_machine_that_slept_stood_still_though_its_own_clock_did_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    slept_ns = 0
    monkeypatch.setattr(standstill, "_asleep_ns", lambda: slept_ns)
    found = Standstills()
    slept_ns = 3600 * S
    found.tick(10 * S, 10 * S + 1000)
    [one] = found.among(rows((9.9, 10.1)), 0, worker=0)
    assert (one.lasted_s, one.touched) == (pytest.approx(3600), 1)


def test_only_the_longest_are_kept() -> None:
    found = Standstills()
    for number in range(1000):
        found.tick(number * S, number * S + S // 5 + number)
    kept = found.among(rows(), 0, worker=0)
    assert 0 < len(kept) < 100
    assert kept[-1].at_s == 999
