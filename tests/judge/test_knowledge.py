"""What runs are held against: a recorded baseline, else the last sound runs like them, and what each may say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from perflib.figures.row import figures_of
from perflib.judge.baseline import baseline_of, baseline_of_rows
from perflib.judge.check import check
from perflib.judge.compare import by_endpoint, compare_stored, exit_status
from perflib.judge.knowledge import Beside, history_of
from perflib.spec import Closed, InputError, Run
from perflib.spec.baselines import Baselines
from perflib.spec.run import setup_of
from perflib.stats.band import Sample, judge
from perflib.text import tables
from perflib.text.words import check_sentence
from tests.synthetic import make_run, make_target

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = make_target("GET /a", "GET /b", target_ms=60)
NOTHING = Baselines()


def a_run(day: int, times: float = 1.0, **others: Any) -> Run:
    """A run of this day of the year, all its response times so many times as long."""
    values = {"target": TARGET, "seconds": 3.0, "per_s": 50.0, "run_id": f"day-{day}", "seed": day} | others
    moment = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=day)
    return make_run(slowdown=lambda at_s: np.full_like(at_s, times), started_at=moment.isoformat(), **values)


def rows_of(runs: Sequence[Run]) -> pd.DataFrame:
    """Their figures, as the history has them."""
    return pd.DataFrame([vars_of(row) for run in runs for row in figures_of(run)])


def vars_of(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


TWELVE = [a_run(day) for day in range(1, 13)]
LIKE = rows_of(TWELVE)
RECORDED = Baselines(baselines=(baseline_of(TWELVE),))


def test_without_a_baseline_the_history_serves_and_the_verdict_says_so_in_every_format() -> None:
    found = check([a_run(20)], NOTHING, beside=Beside(LIKE))
    assert found.exit_status == 0
    assert "NO_BASELINE" not in {row.verdict for row in found.endpoints}
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (said["baseline"], said["against"]["kind"]) == (None, "history")
    assert said["against"]["runs"] == [run.facts.run_id for run in TWELVE]
    table = tables.check(found)
    assert "Compared with the history (12 sound runs like it)." in table.text()
    assert "| History, ms |" in table.markdown()
    cases = ElementTree.fromstring(tables.junit(found)).findall(".//system-out")
    assert all(" against history: " in (case.text or "") for case in cases)


def test_a_regression_against_a_history_that_nobody_asked_for_is_told_and_fails_nothing() -> None:
    slow = a_run(20, times=1.5)
    unasked = check([slow], NOTHING, beside=Beside(LIKE))
    assert {row.verdict for row in unasked.endpoints} == {"REGRESSION"}
    assert (unasked.exit_status, unasked.reasons) == (0, ())
    assert any("slower than the history" in note and "--against history" in note for note in unasked.notes)
    asked = check([slow], NOTHING, beside=Beside(LIKE, "history"))
    assert asked.exit_status == 1
    assert asked.reasons[0].startswith("GET /a: p50 1.")
    assert " x history (" in asked.reasons[0]


def test_more_than_twice_the_history_is_no_backstop() -> None:
    found = check([a_run(20, times=2.5)], NOTHING, beside=Beside(LIKE))
    assert found.exit_status == 0
    assert not any("more than 2 x" in note for note in (*found.notes, *found.reasons))


def test_a_baseline_that_fits_comes_before_the_history() -> None:
    found = check([a_run(20)], RECORDED, beside=Beside(LIKE))
    assert found.as_json()["against"]["kind"] == "baseline"
    assert check([a_run(20)], RECORDED, beside=Beside(LIKE, "history")).as_json()["against"]["kind"] == "history"
    assert check([a_run(20)], NOTHING, beside=Beside(LIKE, "baseline")).as_json()["against"] is None


def test_too_few_like_runs_are_counted_and_nothing_is_compared() -> None:
    found = check([a_run(20)], NOTHING, beside=Beside(rows_of(TWELVE[:5])))
    assert {row.verdict for row in found.endpoints} == {"NO_BASELINE"}
    assert found.exit_status == 0
    assert "the history has 5 sound runs like it; it takes 8" in found.notes[0]
    assert "`perflib baseline record light_load" in found.notes[0]
    assert check_sentence(found).startswith("Nothing was compared")
    assert "passed" not in check_sentence(found)


def test_where_a_baseline_is_required_its_lack_exits_3_with_the_whole_command() -> None:
    run = a_run(20)
    run = replace(run, facts=run.facts.replaced(asked={"target": "shop.toml", "profile": "quick"}))
    for like in (None, LIKE):
        found = check([run], NOTHING, beside=Beside(like, required=True))
        assert found.exit_status == 3
        assert "`perflib baseline record light_load --target shop.toml --profile quick`" in found.reasons[0]
    assert check([run], RECORDED, beside=Beside(required=True)).exit_status == 0
    assert check([run], NOTHING, beside=Beside(LIKE, "history", required=True)).exit_status == 0


def test_runs_of_after_of_another_setup_with_failures_or_invalid_are_no_history() -> None:
    day = 20
    others = [
        a_run(21, times=9.0),
        a_run(15, times=9.0, failures=0.2),
        a_run(16, times=9.0, invalid_reasons=("overloaded",)),
        a_run(17, times=9.0, state="interrupted"),
    ]
    busy = a_run(18, times=9.0)
    scenario = busy.facts.scenario.replaced(workload=Closed(users=50))
    others.append(replace(busy, facts=busy.facts.replaced(scenario=scenario)))
    found = history_of(a_run(day).facts, rows_of([*TWELVE, *others]))
    assert found.baseline is not None
    assert found.baseline.runs == tuple(run.facts.run_id for run in TWELVE)


def test_no_more_than_thirty_runs_and_the_latest_ones() -> None:
    many = pd.concat(
        LIKE.iloc[:2].assign(
            run_id=f"run-{day}", started_at=pd.Timestamp("2026-02-01", tz="UTC") + pd.Timedelta(day, "D")
        )
        for day in range(50)
    )
    found = history_of(a_run(300).facts, many)
    assert found.baseline is not None
    assert found.baseline.runs == tuple(f"run-{day}" for day in range(20, 50))


def test_runs_of_before_a_change_of_level_are_left_out() -> None:
    rows = [
        LIKE.iloc[:2].assign(
            run_id=f"run-{day}",
            started_at=pd.Timestamp("2026-02-01", tz="UTC") + pd.Timedelta(day, "D"),
            **{
                name: LIKE.iloc[:2][name] * (1 + 0.01 * (day % 3)) * (2.0 if day < 15 else 1.0)
                for name in ("p50_ms", "p95_ms")
            },
        )
        for day in range(24)
    ]
    found = history_of(a_run(300).facts, pd.concat(rows))
    assert found.baseline is not None
    assert found.baseline.runs == tuple(f"run-{day}" for day in range(15, 24))
    few = history_of(a_run(300).facts, pd.concat(rows[:22]))
    assert few.why_not == "the history has 7 sound runs like it since its level changed with run-15; it takes 8"


def test_a_baseline_of_rows_is_that_of_the_runs_themselves() -> None:
    facts = TWELVE[-1].facts
    rows, runs = baseline_of_rows(facts, LIKE), baseline_of(TWELVE)
    assert (rows.runs, rows.setup, rows.scenario) == (runs.runs, runs.setup, runs.scenario)
    assert rows.endpoints == runs.endpoints


def test_against_one_run_its_figures_are_the_level_and_the_runs_beside_it_the_noise() -> None:
    level = a_run(14, times=1.5)
    beside = Beside(rows_of([*TWELVE, level]), "day-14", level)
    same, slow = (
        check([a_run(20, times=1.5)], NOTHING, beside=beside),
        check([a_run(20, times=3.0)], NOTHING, beside=beside),
    )
    assert (same.exit_status, slow.exit_status) == (0, 1)
    assert slow.as_json()["against"] == {"kind": "run", "runs": ["day-14"]}
    assert " x day-14 (" in slow.reasons[0]
    alone = check([a_run(20, times=3.0)], NOTHING, beside=Beside(rows_of([level]), "day-14", level))
    assert {row.verdict for row in alone.endpoints} == {"NO_BASELINE"}


def test_against_a_run_of_another_setup_what_differs_is_named_and_an_unsound_one_is_refused() -> None:
    other = a_run(14, target=make_target("GET /a"))
    found = check([a_run(20)], NOTHING, beside=Beside(LIKE, "day-14", other))
    assert "day-14 is not alike: other endpoints are driven: GET /b" in found.endpoints[0].reason
    with pytest.raises(InputError, match="--against day-14: is not sound: it was interrupted"):
        check([a_run(20)], NOTHING, beside=Beside(LIKE, "day-14", a_run(14, state="interrupted")))


def test_two_stored_runs_are_told_apart_by_the_runs_beside_them() -> None:
    a, same, slow = TWELVE[-1], a_run(20), a_run(20, times=1.6)
    assert set(by_endpoint(compare_stored(a, slow, NOTHING, LIKE)).values()) == {"REGRESSION"}
    assert "REGRESSION" not in by_endpoint(compare_stored(a, same, NOTHING, LIKE)).values()
    assert {one.verdict for one in compare_stored(a, slow, NOTHING)} == {"INCONCLUSIVE"}


def test_runs_of_after_the_change_do_not_hide_it() -> None:
    after = [a_run(day, times=1.6) for day in range(20, 32)]
    a = TWELVE[9]
    alone, among = (compare_stored(a, after[0], NOTHING, rows_of(runs)) for runs in (TWELVE, [*TWELVE, *after]))
    assert [one.interval for one in among] == [one.interval for one in alone]
    early = compare_stored(TWELVE[0], after[5], NOTHING, rows_of([*TWELVE, *after]))
    assert set(by_endpoint(early).values()) == {"REGRESSION"}


@pytest.mark.parametrize("like", [None, LIKE], ids=["nothing known", "a history"])
@pytest.mark.parametrize("state", ["finished", "broken"])
def test_a_run_in_which_all_failed_is_slower_whatever_is_known(like: pd.DataFrame | None, state: str) -> None:
    reasons = ("stopped early: every request failed for 5 s",) if state == "broken" else ()
    a, b = TWELVE[-1], a_run(20, failures=1.0, state=state, invalid_reasons=reasons)
    found = compare_stored(a, b, NOTHING, like)
    assert set(by_endpoint(found).values()) == {"REGRESSION"}
    assert exit_status(found) == 1
    assert found[0].reason == "p50 of B is infinite: more requests failed than it allows"
    assert set(by_endpoint(compare_stored(b, a, NOTHING, like, although_different=True)).values()) == {"IMPROVED"}
    assert exit_status(compare_stored(b, b, NOTHING, like, although_different=True)) == 3


def test_equal_runs_seldom_alarm_against_their_history() -> None:
    assert alarms(300) <= 8, "1 % of 300 is 3; more than 8 has a chance below 1 %"


def alarms(trials: int, seed: int = 11) -> int:
    """Of so many checks of equal runs against histories of 8 to 30 runs: how many have any REGRESSION.

    Four endpoints, 3 to 15 % of noise, most of it shared by all of them.
    """
    rng, names = np.random.default_rng(seed), list("abcd")
    facts = a_run(300, target=make_target(*names)).facts
    frames = {runs: _rows(runs, names, setup_of(facts).hash) for runs in range(8, 31)}
    found = 0
    for _ in range(trials):
        runs, noise = int(rng.integers(8, 31)), rng.uniform(0.03, 0.15)
        shared, own = rng.standard_normal((runs + 1, 1, 1)), rng.standard_normal((runs + 1, 4, 2))
        values = np.exp(noise * (0.8 * shared + 0.6 * own)) * [20.0, 45.0]
        like = frames[runs].assign(p50_ms=values[:-1, :, 0].ravel(), p95_ms=values[:-1, :, 1].ravel())
        known = history_of(facts, like)
        if known.baseline is None:
            continue
        samples = [
            Sample(name, figure, np.array(getattr(known.baseline.endpoints[name].per_run, f"{figure}_ms")), new)
            for i, name in enumerate(names)
            for figure, new in zip(("p50", "p95"), values[-1, i].reshape(2, 1), strict=True)
        ]
        found += any(one.verdict == "REGRESSION" for one in judge(samples))
    return found


def _rows(runs: int, names: list[str], setup: str) -> pd.DataFrame:
    """The rows of a history of one setup, without p50 and p95."""
    number = np.repeat(np.arange(runs), len(names))
    plain = {"setup": setup, "state": "finished", "valid": True, "requests": 100, "judged_errors": 0, "unanswered": 0}
    times = dict.fromkeys(("p99_ms", "max_ms", "target_ms", "waited_per_ran", "cpu_ms_per_request"), math.nan)
    moments = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(number, "h")
    own = {"run_id": number.astype(str), "started_at": moments, "endpoint": np.tile(names, runs)}
    return pd.DataFrame(own | plain | times)
