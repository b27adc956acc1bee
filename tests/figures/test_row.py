"""A run's rows of figures say what its summary says, and where the run came from."""

import math
from datetime import UTC, datetime

import pytest

from perflib.figures.row import figures_of
from perflib.figures.summary import summarize
from perflib.spec import Options, Run
from perflib.spec.run import setup_of
from tests.synthetic import DASHBOARD, make_run, make_target, without_successes

TARGET = make_target("GET /a", "GET /b", page="home")


def test_a_run_has_a_row_per_endpoint_and_page_in_the_target_s_order() -> None:
    rows = figures_of(make_run(TARGET))
    assert [(row.endpoint, row.kind) for row in rows] == [
        ("GET /a", "request"),
        ("GET /b", "request"),
        ("home", "page"),
    ]


def test_the_figures_are_those_of_the_summary() -> None:
    run = make_run(TARGET, failures=0.1)
    names = ("requests", "errors", "p50_ms", "p95_ms", "p99_ms", "max_ms", "judged_p95_ms", "target_ms", "meets_target")
    for row, summary in zip(figures_of(run), summarize(run).endpoints, strict=True):
        assert [getattr(row, name) for name in names] == [getattr(summary, name) for name in names]


def test_what_the_sample_cannot_support_is_none() -> None:
    short, failed = figures_of(make_run(TARGET, per_s=5))[0], figures_of(without_successes(make_run(TARGET)))[0]
    assert (short.p99_ms, short.p95_low_ms, short.p95_high_ms) == (None, None, None)
    assert (failed.p50_ms, failed.max_ms, failed.errors) == (None, None, failed.requests)


def test_a_run_too_slow_for_its_p95_has_a_bound_of_it_and_failures_make_that_infinite() -> None:
    short, known = figures_of(make_run(TARGET, per_s=4))[0], figures_of(make_run(TARGET))[0]
    assert (short.p95_ms, known.p95_at_least_ms) == (None, None)
    assert short.p50_ms is not None
    assert short.p95_at_least_ms is not None
    assert short.max_ms is not None
    assert short.p50_ms < short.p95_at_least_ms <= short.max_ms
    assert known.p95_ms is not None
    assert short.p95_at_least_ms < known.p95_ms * 1.5
    assert figures_of(make_run(TARGET, per_s=4, failures=0.4))[0].p95_at_least_ms == math.inf


def test_a_minute_has_intervals_around_its_percentiles() -> None:
    for row in figures_of(make_run(TARGET, seconds=60.0)):
        assert row.p50_low_ms is not None
        assert row.p50_high_ms is not None
        assert row.p50_ms is not None
        assert row.p50_low_ms < row.p50_ms < row.p50_high_ms


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00+00:00", "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00"])
def test_a_start_without_a_time_zone_is_utc(text: str) -> None:
    assert figures_of(make_run(TARGET, started_at=text))[0].started_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"users": 1, "think_time": 5}, "1 user, thinking 5 s, 60 s"),
        ({"endpoints": ("GET /clients",)}, "10 users, 60 s, only GET /clients"),
        ({"duration": "20s"}, "10 users, 20 s"),
    ],
)
def test_the_load_is_told_in_words(load: dict[str, object], words: str) -> None:
    run = make_run()
    scenario = Options.model_validate(load).scenario("light_load", DASHBOARD)
    told = Run(run.facts.model_copy(update={"scenario": scenario}), run.requests)
    assert {row.workload for row in figures_of(told)} == {words}


def test_runs_of_one_setup_have_one_hash_and_others_another() -> None:
    one, again = figures_of(make_run(TARGET))[0], figures_of(make_run(TARGET, seed=2, run_id="again"))[0]
    assert one.setup == again.setup == setup_of(make_run(TARGET).facts).hash
    assert figures_of(make_run(TARGET, seconds=20.0))[0].setup != one.setup
    assert figures_of(make_run(make_target("GET /a")))[0].setup != one.setup
