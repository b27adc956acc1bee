"""Open and ramped workloads against real servers: the truth from the intended start, and nothing lost."""

import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import perflib
from perflib.cli.app import main
from perflib.figures.summary import summarize
from perflib.load.arrivals import intended_starts_s
from perflib.session.floor import floor as least
from perflib.spec import InputError, Open, Options, Ramp, Run
from perflib.spec.exits import ExitStatus
from perflib.stats.histogram import LogHistogram
from tests.servers import Answers, answer, answering

OK = answer()
BROKEN = answer(status="500 Internal Server Error")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    return tmp_path


def drive(folder: Path, scenario: str, answers: Answers, **options: object) -> Run:
    with answering(answers) as server:
        return perflib.run(scenario, Options.parse({"target": target_file(folder, server.url)} | options, "a test"))


def target_file(folder: Path, url: str) -> str:
    path = folder / "target.toml"
    path.write_text(
        f'[target]\nname = "t"\nbase_url = "{url}"\n[[endpoint]]\npath = "/"\nhot = true\ntarget_ms = 300\n'
    )
    return str(path)


def test_a_target_paused_for_2_s_shows_in_p95_of_an_open_run(data: Path) -> None:
    begun = time.monotonic()

    def paused(_: str) -> tuple[float, bytes]:
        into_pause = time.monotonic() - begun - 3.0
        return (2.0 - into_pause if 0 <= into_pause < 2 else 0.0), OK

    [row] = summarize(drive(data, "steady_rate", paused, duration="8s", warmup="0.2s")).endpoints
    assert row.p95_ms is not None
    assert 1000 < row.p95_ms < 2200
    assert row.p50_ms is not None
    assert row.p50_ms < row.p95_ms / 20
    assert row.meets_target is False


def test_requests_go_out_when_the_seed_says_whatever_the_answers_do(data: Path) -> None:
    run = drive(data, "steady_rate", lambda _: (0.3, OK), duration="2s", warmup="0.5s", seed=7)
    intended_s = np.sort(run.requests["intended_ns"].to_numpy()) / 1e9
    [part] = run.facts.parts
    assert np.allclose(intended_s - part.measured_from_ns / 1e9, intended_starts_s(Open(rate_per_s=50), -0.5, 2.0, 7))
    assert part.duration_s == pytest.approx(2.0, abs=1e-6)
    assert (run.requests["start_ns"] >= run.requests["intended_ns"]).all()


def test_arrivals_beyond_the_connection_bound_are_dropped_and_counted(data: Path) -> None:
    run = drive(data, "steady_rate", lambda _: (0.5, OK), duration="3s", warmup="0s", max_connections=5, timeout="5s")
    summary = summarize(run)
    counts = summary.requests
    assert counts.scheduled == len(intended_starts_s(Open(rate_per_s=50), 0.0, 3.0, 1))
    assert counts.scheduled == counts.completed + counts.dropped
    assert counts.dropped > counts.completed > 0
    dropped = run.requests[run.requests["error"] == "dropped"]
    assert (dropped["start_ns"] == -1).all()
    assert (dropped["end_ns"] == -1).all()
    assert summary.endpoints[0].meets_target is False


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.1, 9.0]), st.sampled_from([OK, BROKEN])), min_size=1, max_size=8),
    st.integers(1, 8),
)
def test_any_mix_of_stalls_failures_and_drops_adds_up(
    data: Path, script: list[tuple[float, bytes]], bound: int
) -> None:
    said = itertools.cycle(script)
    run = drive(
        data,
        "steady_rate",
        lambda _: next(said),
        rate=100,
        duration="0.4s",
        warmup="0.1s",
        timeout="0.3s",
        max_connections=bound,
    )
    counts = summarize(run).requests
    assert counts.scheduled == counts.completed + counts.failed + counts.dropped + counts.in_flight
    assert len(run.requests) == len(intended_starts_s(Open(rate_per_s=100), -0.1, 0.4, 1))


def test_a_ramp_has_at_any_time_the_users_its_level_asks_for(data: Path) -> None:
    run = drive(data, "spike", lambda _: (0.02, OK), duration="6s", users=20)
    ramp = run.facts.scenario.workload
    assert isinstance(ramp, Ramp)
    assert ramp.most_users == 20
    [part] = run.facts.parts
    at_s = (run.requests["start_ns"].to_numpy() - part.measured_from_ns) / 1e9
    for middle_s in np.arange(0.25, 5.9, 0.5):
        users = run.requests.loc[abs(at_s - middle_s) < 0.15, "user"].nunique()
        levels = [ramp.users_at(middle_s + off_s) for off_s in (-0.25, 0.15)]
        assert min(levels) - 1 <= users <= max(levels) + 1


def test_several_workers_send_the_very_arrivals_of_one(data: Path) -> None:
    runs = [
        drive(
            data, "steady_rate", lambda _: (0.02, OK), rate=200, duration="2s", warmup="0.5s", seed=3, workers=workers
        )
        for workers in (1, 3)
    ]
    alone, shared = (np.sort(run.requests["intended_ns"] - run.facts.parts[0].measured_from_ns) for run in runs)
    assert np.array_equal(alone, shared)
    assert runs[1].facts.workers == 3
    assert runs[1].facts.parts[0].duration_s == pytest.approx(2.0, abs=1e-6)
    health = pd.read_parquet(data / "runs" / runs[1].facts.run_id / "generator.parquet")
    assert set(health["worker"]) == {0, 1, 2}


def test_several_workers_share_the_users_and_lose_no_request(data: Path) -> None:
    with answering(lambda _: (0.01, OK)) as server:
        run = perflib.run(
            "light_load",
            Options(target=target_file(data, server.url), users=5, duration=1.0, warmup=0.2, workers=2),
        )
    assert set(run.requests["user"]) == {0, 1, 2, 3, 4}
    assert len(run.requests) == len(server.requests) == run.facts.generator.requests
    assert summarize(run).requests.completed == summarize(run).requests.scheduled > 50
    assert run.requests["end_ns"].is_monotonic_increasing


def test_a_rate_that_goes_in_stages_is_offered_as_they_say(data: Path) -> None:
    run = drive(data, "steady_rate", OK, stages="20-20:1s, 20-200:1s, 200-200:1s", arrivals="constant", warmup="0.5s")
    [part] = run.facts.parts
    due_s = (run.requests["intended_ns"] - part.measured_from_ns) / 1e9
    assert np.histogram(due_s, [-0.5, 0, 1, 2, 3])[0].tolist() == pytest.approx([10, 20, 110, 200], abs=1)
    assert run.facts.duration_s == pytest.approx(3.0, abs=1e-6)


def test_stages_of_users_may_stand_in_the_target_file(data: Path) -> None:
    with answering(lambda _: (0.02, OK)) as server:
        path = Path(target_file(data, server.url))
        path.write_text(
            path.read_text(encoding="utf-8") + '[scenario.light_load]\nstages = ["1-1:1s", "4-4:1s"]\n',
            encoding="utf-8",
        )
        run = perflib.run("light_load", Options(target=str(path)))
    at_s = (run.requests["start_ns"] - run.facts.parts[0].measured_from_ns) / 1e9
    assert run.requests.loc[at_s.between(-1, 0.9), "user"].nunique() == 1
    assert run.requests.loc[at_s.between(1.2, 1.9), "user"].nunique() == 4


def test_the_first_success_of_an_endpoint_is_cold_and_kept_out_of_its_percentiles(data: Path) -> None:
    answers = itertools.chain([(0.0, BROKEN), (0.5, OK)], itertools.repeat((0.0, OK)))
    run = drive(data, "light_load", lambda _: next(answers), users=1, duration="1s", warmup="0s")
    assert run.requests["cold"].tolist()[:3] == [False, True, False]
    assert run.requests["cold"].sum() == 1
    [row] = summarize(run).endpoints
    assert row.max_ms is not None
    assert row.cold.max_ms is not None
    assert row.max_ms < 500 <= row.cold.max_ms == row.first_ms
    assert row.errors == 1


@pytest.mark.parametrize(("answers", "status"), [(OK, 0), (BROKEN, 1)])
def test_a_5xx_at_the_steady_rate_is_a_finding(data: Path, answers: bytes, status: int) -> None:
    with answering(answers) as server:
        words = ["run", "steady_rate", "--target", target_file(data, server.url), "--duration", "1s", "--json"]
        tried = (main(words) for _ in range(5))
        found = next((one for one in tried if one != ExitStatus.NOT_JUDGED), None)
    assert found == status


@pytest.mark.parametrize(
    ("scenario", "options", "says"),
    [
        ("steady_rate", {"users": 5}, "--users: steady_rate is an open workload"),
        ("light_load", {"rate": 5}, "--rate: light_load is a closed workload"),
        ("spike", {"max_connections": 5}, "--max-connections: spike is a closed workload"),
        ("spike", {"arrivals": "constant"}, "--arrivals: spike is a closed workload"),
        ("steady_rate", {"think_time": 1}, "--think-time: steady_rate is an open workload"),
        ("baseline", {"stages": "1-2:3s"}, "--stages: baseline measures each endpoint alone"),
        ("baseline", {"workers": 2, "users": 5}, "--workers: baseline measures each endpoint alone"),
        ("light_load", {"workers": 3, "users": 2}, "--workers 3: more than the 2 users"),
        ("spike", {"stages": "1.5-2:3s"}, "--stages: stages: users are whole numbers"),
    ],
)
def test_an_option_of_the_other_kind_of_workload_is_refused(
    data: Path, scenario: str, options: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        drive(data, scenario, OK, **options)


def test_the_instrument_floor_is_measured_and_kept_with_every_run(data: Path) -> None:
    floor = least()
    assert floor.p50_ms is not None
    assert floor.p99_ms is not None
    assert 0 < floor.p50_ms <= floor.p99_ms
    run = drive(data, "light_load", lambda _: (0.02, OK), duration="1s")
    [row] = summarize(run).endpoints
    assert run.facts.generator.floor_p50_ms == floor.p50_ms
    assert row.p50_ms is not None
    assert floor.p50_ms < row.p50_ms


def test_a_log_histograms_percentile_is_right_to_its_bin() -> None:
    values = np.random.default_rng(5).lognormal(0, 2, 20_000)
    histogram = LogHistogram()
    for value in values:
        histogram.add(value)
    for q in (0.5, 0.95, 0.99):
        assert histogram.percentile(q) == pytest.approx(np.quantile(values, q, method="inverted_cdf"), rel=0.03)
    assert LogHistogram().percentile(0.5) is None
