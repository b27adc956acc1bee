"""Failures by endpoint, kind and status, with what their samples tell; and the rate at which a target refuses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perflib.figures.failures import as_json, failures
from perflib.figures.rate_limit import rate_limit
from perflib.spec import Run
from tests.synthetic import make_run, make_target

FAST = {"per_s": 100.0, "seconds": 10.0}


def sampled(run: Run, *samples: dict[str, Any]) -> Run:
    """The run with these samples of GET /a, an answer of 500 unless said otherwise."""
    usual = {"run_id": run.facts.run_id, "endpoint": "GET /a", "kind": "status", "status": 500, "t_ns": 1, "reason": ""}
    usual |= {"content_type": "text/html; charset=utf-8", "headers": {"A": "b"}, "body": "shard 3"}
    return replace(run, failures=pd.DataFrame([usual | one for one in samples]))


def test_a_failure_has_what_its_samples_tell_and_the_first_of_them() -> None:
    run = make_run(make_target("GET /a"), failures=0.2, **FAST)
    found = failures(sampled(run, {"reason": "x"}, {"reason": "y", "body": "other"}, {"reason": "y"}))
    told = next(one for one in found if one.status == 500)
    assert (told.reason, told.content_type) == ("y", "text/html")
    shown = next(one for one in as_json(found) if one["status"] == 500)
    assert shown == {
        "endpoint": "GET /a",
        "kind": "status",
        "status": 500,
        "count": told.count,
        "first_s": told.first_s,
        "last_s": told.last_s,
        "sample": {"headers": {"A": "b"}, "body": "shard 3"},
    }


def test_without_samples_or_an_answer_there_is_no_sample() -> None:
    run = make_run(make_target("GET /a"), failures=0.2, **FAST)
    assert {one["sample"] for one in as_json(failures(run))} == {None}
    silent = {"kind": "timeout", "status": 0, "headers": {}, "body": "", "content_type": "", "reason": "slow"}
    found = next(one for one in failures(sampled(run, silent)) if one.kind == "timeout")
    assert (found.reason, found.sample) == ("slow", None)


def test_a_run_that_ended_in_its_warm_up_tells_what_failed_there() -> None:
    run = make_run(make_target("GET /a"), failures=0.2, **FAST)
    early = replace(run, requests=run.requests[run.requests["warmup"]])
    assert sum(one.count for one in failures(early)) == early.requests["error"].notna().sum() > 0


# The rate limit


def limited(
    per_s: float, *, window_s: float = 1.0, offered_per_s: float = 400.0, seconds: float = 10.0, status: int = 429,
    names: tuple[str, ...] = ("GET /a",), scenario: str = "light_load", offset_s: float = 0.37,
) -> Run:  # fmt: skip
    """A run at a target that answers `per_s` in windows of `window_s`, of which one began `offset_s` ago."""
    run = make_run(make_target(*names), per_s=offered_per_s, seconds=seconds, scenario=scenario)
    rows = run.requests.sort_values("end_ns", ignore_index=True)
    mine = rows["endpoint"] == "GET /a"
    window = ((rows["end_ns"] / 1e9 + offset_s) // window_s).where(mine, -1)
    refused = mine & (rows.groupby(window).cumcount() >= per_s * window_s)
    error = rows["error"].astype(object).where(~refused, "status")
    kinds = pd.Categorical(error, categories=rows["error"].cat.categories)
    return replace(run, requests=rows.assign(status=np.where(refused, status, 200).astype(np.int16), error=kinds))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("per_s", [10, 50, 200])
def test_a_limit_is_told_as_the_answers_of_a_second_beside_the_refusals(per_s: int, status: int) -> None:
    found = rate_limit(limited(per_s, status=status))
    assert found is not None
    assert (found.status, found.per_s, found.advised_per_s) == (status, per_s, 0.8 * per_s)


def test_a_limit_of_less_than_one_each_second_is_told_by_its_mean() -> None:
    found = rate_limit(limited(0.5, window_s=2.0, seconds=20.0))
    assert found is not None
    assert found.per_s == pytest.approx(0.5, abs=0.06)


def test_a_limit_of_one_endpoint_advises_a_rate_of_all_together() -> None:
    found = rate_limit(limited(50, names=("GET /a", "GET /b", "GET /c", "GET /d")))
    assert found is not None
    assert found.per_s == 50
    assert found.advised_per_s == pytest.approx(160, rel=0.05)


def test_a_run_of_less_than_a_second_tells_what_was_answered_in_it() -> None:
    found = rate_limit(limited(50, seconds=0.4, offset_s=0.0))
    assert found is not None
    assert found.per_s == pytest.approx(50, rel=0.3)


def test_a_used_up_limit_is_told_without_a_rate() -> None:
    found = rate_limit(limited(0))
    assert found is not None
    assert (found.per_s, found.advised_per_s) == (None, None)


def test_an_answer_of_429_that_was_expected_is_no_limit() -> None:
    run = limited(50)
    assert (
        rate_limit(replace(run, requests=run.requests.assign(error=pd.Categorical([None] * len(run.requests))))) is None
    )


def test_no_limit_is_told_where_none_was_met() -> None:
    assert rate_limit(make_run(failures=0.2)) is None
    assert rate_limit(limited(1000)) is None
    assert rate_limit(replace(limited(0), requests=limited(0).requests.iloc[:0])) is None


def test_a_503_is_a_limit_only_where_it_asks_to_wait_or_the_answers_are_steady() -> None:
    """Of an outage the seconds differ: some have all answers, some none."""
    run = limited(400, seconds=10, window_s=1, status=503)
    half = (run.requests["end_ns"] // 2e9) % 2 == 0
    down = run.requests["error"].astype(object).where(~half, "status")
    kinds = pd.Categorical(down, categories=run.requests["error"].cat.categories)
    broken = replace(run, requests=run.requests.assign(error=kinds, status=np.where(half, 503, 200).astype(np.int16)))
    assert rate_limit(broken) is None
    asked = sampled(broken, {"status": 503, "headers": {"retry-after": "1"}})
    assert rate_limit(asked) is not None
