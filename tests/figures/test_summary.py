"""The figures of a run, against sums done the slow way."""

import gc
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from perflib.figures import summary
from perflib.figures.summary import EndpointSummary, as_json, item_rows, summarize
from perflib.spec import Run
from tests.synthetic import DASHBOARD, make_run, make_target

PAGE = "Dashboard home (all data)"


def slow_rows(run: Run, name: str) -> list[dict[str, object]]:
    rows = run.requests.to_dict("records")
    return [row for row in rows if row["endpoint"] == name and not isinstance(row["page"], str) and not row["warmup"]]


def slow_percentile(values: list[float], q: float) -> float:
    return next(value for value in sorted(values) if sum(other <= value for other in values) >= q * len(values))


def row_of(run: Run, name: str) -> EndpointSummary:
    return next(row for row in summarize(run).endpoints if row.endpoint == name)


def test_figures_of_an_endpoint_are_those_of_its_own_warm_successes_after_warm_up() -> None:
    run = make_run(failures=0.02, cold=0.1, seconds=20)
    row = row_of(run, "GET /snapshot")
    rows = slow_rows(run, "GET /snapshot")
    times = [(r["end_ns"] - r["intended_ns"]) / 1e6 for r in rows if not isinstance(r["error"], str) and not r["cold"]]  # type: ignore[operator]
    assert row.p50_ms == pytest.approx(slow_percentile(times, 0.50))
    assert row.p95_ms == pytest.approx(slow_percentile(times, 0.95))
    assert row.p99_ms == pytest.approx(slow_percentile(times, 0.99))
    assert row.max_ms == pytest.approx(max(times))
    assert row.requests == len(rows)
    assert row.errors == sum(isinstance(r["error"], str) for r in rows) == sum(row.errors_by_kind.values())
    assert row.cold.requests == sum(bool(r["cold"]) and not isinstance(r["error"], str) for r in rows)


def test_failures_stand_as_infinitely_slow_behind_the_ascending_times_of_successes() -> None:
    run = make_run(failures=0.1, cold=0.1)
    warm = [row for row in slow_rows(run, "GET /snapshot") if not row["cold"]]
    good = [row for row in warm if not isinstance(row["error"], str)]
    times = sorted((row["end_ns"] - row["intended_ns"]) / 1e6 for row in good)  # type: ignore[operator]
    rows = item_rows(run, "GET /snapshot")
    assert rows.warm_ms.tolist() == pytest.approx(times)
    assert rows.judged_ms.tolist() == pytest.approx([*times, *[math.inf] * (len(warm) - len(good))])
    assert len(warm) > len(good)


def test_an_endpoint_that_the_run_never_drove_has_no_rows() -> None:
    assert len(item_rows(make_run(endpoints=("GET /health",)), "GET /clients").start_ns) == 0
    assert len(item_rows(make_run(), "no such endpoint").start_ns) == 0


def test_the_rows_of_an_endpoint_are_shared_while_their_table_lives_and_forgotten_with_it() -> None:
    run, other = make_run(), make_run(seed=2)
    table = id(run.requests)
    assert item_rows(run, PAGE) is item_rows(run, PAGE)
    assert item_rows(run, PAGE) is not item_rows(other, PAGE)
    assert table in summary._KEPT
    del run
    gc.collect()
    assert table not in summary._KEPT


def test_every_request_on_the_wire_is_accounted_for_and_page_loads_are_not_requests() -> None:
    run = make_run(failures=0.1)
    counted = summarize(run).requests
    wire = run.requests[(run.requests["kind"] == "request") & ~run.requests["warmup"]]
    assert counted.scheduled == len(wire)
    assert counted.scheduled == counted.completed + counted.failed + counted.dropped + counted.in_flight
    assert counted.failed > 0


def test_pages_and_their_parts_never_mix_into_an_endpoints_figures() -> None:
    run = make_run()
    slowed = run.requests.assign(end_ns=run.requests["end_ns"].mask(run.requests["page"].notna(), 10**12))
    assert row_of(Run(run.facts, slowed), "GET /health") == row_of(run, "GET /health")
    assert row_of(run, PAGE).kind == "page"


def test_failing_makes_the_judged_percentile_worse_and_leaves_the_shown_one() -> None:
    target = make_target("GET /a", target_ms=1000)
    sound, failing = make_run(target, failures=0.0), make_run(target, failures=0.2)
    assert row_of(sound, "GET /a").meets_target is True
    broken = row_of(failing, "GET /a")
    assert broken.judged_p95_ms == math.inf
    assert broken.meets_target is False
    assert broken.p95_ms is not None
    assert broken.p95_ms < 1000


@pytest.mark.parametrize("kind", ["closed_idle", "generator"])
def test_failures_that_say_nothing_of_the_target_are_shown_and_not_judged(kind: str) -> None:
    sound = make_run(make_target("GET /a", target_ms=1000), failures=0.0)
    chosen = np.arange(len(sound.requests)) % 3 == 0
    rows = sound.requests.assign(error=sound.requests["error"].mask(chosen, kind))
    excused = replace(sound, requests=rows)
    before, row, requests = row_of(sound, "GET /a"), row_of(excused, "GET /a"), summarize(excused).requests
    assert row.meets_target is before.meets_target is True
    assert row.judged_p95_ms == row.p95_ms is not None
    assert row.errors == row.errors_by_kind[kind] == requests.failed > 0
    assert (row.judged_errors, before.judged_errors) == (0, 0)
    assert requests.scheduled == requests.completed + requests.failed


def test_a_figure_the_sample_cannot_support_is_none() -> None:
    few = row_of(make_run(make_target("GET /a"), seconds=1, per_s=58, warmup_s=0), "GET /a")
    assert (few.p95_ms, few.p99_ms, few.meets_target) == (None, None, None)
    assert few.p50_ms is not None
    none = row_of(make_run(make_target("GET /a"), failures=1.0), "GET /a")
    assert (none.p50_ms, none.max_ms) == (None, None)


def test_the_json_of_a_run_has_the_contracts_fields_and_no_infinities() -> None:
    run = make_run(failures=0.2)
    said = json.loads(json.dumps(as_json(run, summarize(run)), allow_nan=False))
    assert {
        "run_id",
        "scenario",
        "profile",
        "valid",
        "invalid_reasons",
        "interrupted",
        "workload",
        "duration_s",
    } <= set(said)
    assert said["workload"] == {"kind": "closed", "users": 10}
    assert set(said["requests"]) == {"scheduled", "completed", "failed", "dropped", "in_flight"}
    assert [row["endpoint"] for row in said["endpoints"]] == [item.name for item in DASHBOARD.items]
    assert said["throughput_per_s"] == pytest.approx(said["requests"]["completed"] / said["duration_s"])
