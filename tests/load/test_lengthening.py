"""Lengthening: how much longer a short run goes on, and that it is the same run in all else."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perflib
from perflib.load.lengthening import SoFar, go_on_until_s, look_at_s
from perflib.spec import Options
from perflib.spec.run import setup_of
from perflib.text import tables
from tests.servers import answer, answering

COUNTS = st.lists(st.integers(0, 5000), min_size=1, max_size=6)


@given(st.lists(COUNTS, min_size=1, max_size=4), st.floats(10, 40))
def test_it_never_ends_before_its_time_nor_goes_on_for_too_long_or_for_nothing(
    workers: list[list[int]], longest_s: float
) -> None:
    items = min(map(len, workers))
    some = [SoFar(9.0, 10.0, tuple(counts[:items])) for counts in workers]
    until_s = go_on_until_s(some, longest_s)
    assert 10.0 <= until_s <= longest_s
    have = [sum(one.successes[item] for one in some) for item in range(items)]
    if min(have) >= 300:
        assert until_s == 10.0
    if until_s > 10.0:
        expected = [count * until_s / 9.0 for count in have]
        assert any(count < needed <= more for count, more in zip(have, expected, strict=True) for needed in (60, 300))


def test_an_endpoint_that_lacks_a_few_successes_gets_them_19_times_in_20() -> None:
    rng, known = np.random.default_rng(5), 0
    for _ in range(2000):
        have, until_s = int(rng.poisson(29.2 * 9)), 10.0
        at_s = 9.0
        while (longer_s := go_on_until_s([SoFar(at_s, until_s, (have,))], 30.0)) > until_s:
            have += int(rng.poisson(29.2 * (look_at_s(longer_s) - at_s)))
            at_s, until_s = look_at_s(longer_s), longer_s
        known += have + rng.poisson(29.2 * (until_s - at_s)) >= 300
    assert known / 2000 >= 0.95


def test_a_p99_out_of_reach_is_not_waited_for_but_a_p95_in_reach_is() -> None:
    assert go_on_until_s([SoFar(9.0, 10.0, (90, 90))], 30.0) == 10.0
    assert 10.0 < go_on_until_s([SoFar(9.0, 10.0, (40, 9000))], 30.0) <= 20.0
    assert go_on_until_s([SoFar(9.0, 10.0, (0, 9000))], 30.0) == 10.0


@pytest.mark.parametrize(
    ("scenario", "options", "longest_s"),
    [
        ("light_load", {}, 30.0),
        ("steady_rate", {}, 45.0),
        ("light_load", {"lengthen": "5s"}, 15.0),
        ("light_load", {"lengthen": "1h"}, 30.0),
        ("light_load", {"lengthen": 0}, None),
        ("light_load", {"duration": "10s"}, None),
        ("light_load", {"profile": "brief"}, None),
        ("sustained", {}, None),
        ("spike", {}, None),
        ("baseline", {}, None),
    ],
)
def test_only_a_quick_steady_load_of_no_said_duration_goes_on(
    scenario: str, options: dict[str, object], longest_s: float | None
) -> None:
    said = Options.model_validate({"profile": "quick", "url": "http://127.0.0.1:1"} | options)
    assert said.lengthened(said.scenario(scenario, said.target_here())).longest_s == longest_s


def test_two_workers_go_on_together_and_the_run_stays_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFLIB_DATA", str(tmp_path))
    scenario = '[scenario.steady_rate]\nrate = 100\nquick = {duration = "2s"}\n'
    with answering(answer()) as server:
        target = tmp_path / "t.toml"
        target.write_text(f'[target]\nname = "t"\nbase_url = "{server.url}"\n[[endpoint]]\npath = "/a"\n{scenario}')
        options = {"target": str(target), "profile": "quick", "workers": 2, "report": lambda _: None}
        plain, longer = (perflib.run("steady_rate", lengthen=some, **options) for some in (0, "4s"))
    assert plain.facts.duration_s == pytest.approx(2.0, abs=0.01)
    assert perflib.summarize(plain).endpoints[0].p99_ms is None
    assert (longer.facts.state, longer.facts.duration_s % 1) == ("finished", pytest.approx(0.0, abs=1e-6))
    assert 3.0 <= longer.facts.duration_s <= 6.0
    assert perflib.summarize(longer).endpoints[0].p99_ms is not None
    assert setup_of(longer.facts) == setup_of(plain.facts)
    due_s = longer.requests["intended_ns"].to_numpy() / 1e9 - longer.facts.scenario.warmup_s
    assert math.isclose(
        np.histogram(due_s, [2.0, longer.facts.duration_s])[0][0] / (longer.facts.duration_s - 2), 100, rel_tol=0.4
    )
    assert f"Measured {longer.facts.duration_s:.0f}" in tables.verdict(longer).text()
    assert "so that p99 is known" in tables.verdict(longer).text()
    assert "so that" not in tables.verdict(plain).text()
