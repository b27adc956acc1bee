"""Loads laid over each other: what excludes each other is replaced as a whole, and a refusal names who said it."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.spec import Closed, InputError, Open, Options, Ramp, Scenario, Target
from perflib.spec.load import Load, Source, merged
from perflib.spec.options import Said, options_of
from perflib.spec.scenario import SCENARIOS

HEAD = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n[[endpoint]]\npath = "/a"\n[[endpoint]]\npath = "/b"\n'


def scenario(name: str, table: str = "", where: str = "shop.toml", **options: Any) -> Scenario:
    """The scenario under a target file's text and a caller's options."""
    target = Target.from_document(tomllib.loads(HEAD + table), where)
    return Options.parse(options, "options").scenario(name, target, where)


def stages_of(found: Scenario) -> list[tuple[float, float, float]]:
    assert isinstance(found.workload, Ramp | Open)
    return [(stage.start, stage.end, stage.duration_s) for stage in found.workload.stages]


def test_stages_of_the_caller_replace_the_files_users_and_duration() -> None:
    table = '[scenario.light_load]\nusers = 2\nduration = "6s"\nthink_time = "1s"\n'
    found = scenario("light_load", table, stages="1-40:2s,40-40:2s")
    assert stages_of(found) == [(1, 40, 2), (40, 40, 2)]
    assert found.duration_s == 4
    assert found.title == "Light load: 1 to 40 users in 2 seconds"


def test_stages_of_the_caller_replace_the_files_rate() -> None:
    found = scenario("steady_rate", "[scenario.steady_rate]\nrate = 20\n", stages="5-100:10s, 100-100:10s")
    assert stages_of(found) == [(5, 100, 10), (100, 100, 10)]
    assert found.workload.model_dump()["rate_per_s"] == 100


def test_users_of_the_caller_change_the_peak_of_the_files_stages() -> None:
    found = scenario("light_load", '[scenario.light_load]\nstages = ["1-10:5s"]\n', users=20)
    assert stages_of(found) == [(1, 20, 5)]


def test_the_quick_profile_keeps_its_own_duration_and_scales_the_files_stages_to_it() -> None:
    table = '[scenario.light_load]\nstages = ["1-10:50s", "10-10:50s"]\n'
    assert stages_of(scenario("light_load", table, profile="quick")) == [(1, 10, 5), (10, 10, 5)]


def test_a_spike_without_a_rise_is_refused() -> None:
    with pytest.raises(InputError, match="--users: spike would have no rise; give more than 5 users"):
        scenario("spike", users=3)
    assert scenario("spike", users=6).title == "Spike: 5 to 6 users in 10 seconds, and back"


@pytest.mark.parametrize(
    ("name", "table", "options", "says"),
    [
        ("light_load", "rate = 5", {}, "shop.toml: scenario.light_load.rate: light_load is a closed workload"),
        ("light_load", "", {"rate": 5}, "--rate: light_load is a closed workload; use users"),
        ("steady_rate", "think_time = 1", {}, "shop.toml: scenario.steady_rate.think_time: steady_rate is an open"),
        ("spike", 'think_time = "1s"', {}, "shop.toml: scenario.spike.think_time: spike is a ramp of users"),
        ("spike", "", {"think_time": 1}, "--think-time: spike is a ramp of users, who do not pause; leave it out"),
        ("light_load", 'stages = ["1-2.5:1s"]', {}, "shop.toml: scenario.light_load.stages: stages: users are whole"),
        ("light_load", 'title = "x"\nisolatd = true', {}, "shop.toml: scenario.light_load.isolatd: unknown key"),
        ("light_load", "quick = { user = 2 }", {}, "shop.toml: scenario.light_load.quick.user: unknown key"),
        ("checkout", 'duration = "5s"', {}, "shop.toml: scenario.checkout: no built-in scenario, and says no load"),
        ("light", "", {}, "scenario 'light': unknown; did you mean light_load?"),
    ],
)
def test_a_refusal_names_who_said_what_does_not_fit(name: str, table: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        scenario(name, f"[scenario.{name}]\n{table}\n" if table else "", **options)


def test_a_target_file_defines_scenarios_of_its_own() -> None:
    table = '[scenario.checkout]\ntitle = "Checkout"\nusers = 3\nduration = "5min"\nendpoints = ["GET /b"]\n'
    found = scenario("checkout", table)
    assert (found.workload, found.duration_s) == (Closed(users=3), 300)
    assert found.title == "Checkout: 3 users, only GET /b"
    assert scenario("checkout", table, profile="quick").duration_s == 10
    assert scenario("checkout", table, users=9).workload == Closed(users=9)


@pytest.mark.parametrize("name", ["../up", 'x", print(1), "', "", "a b", "-x", "x" * 101])
def test_a_scenario_has_a_name_that_a_folder_and_a_line_of_code_can_hold(name: str) -> None:
    with pytest.raises(InputError, match=r"shop\.toml: .*is no name of a scenario; write letters"):
        scenario("light_load", f"[scenario.{json.dumps(name)}]\nusers = 2\n")


def test_a_scenario_of_ones_own_may_be_open_isolated_or_without_a_5xx() -> None:
    burst = scenario("burst", '[scenario.burst]\nrate = 9\narrivals = "constant"\nforbid_5xx = true\npages = false\n')
    assert burst.workload == Open(rate_per_s=9, arrivals="constant")
    assert (burst.forbid_5xx, burst.pages) == (True, False)
    alone = scenario("alone", "[scenario.alone]\nusers = 1\nisolated = true\nquick = { enough_successes = 5 }\n")
    assert alone.isolated
    assert alone.enough_successes is None


def test_without_a_file_or_options_a_scenario_is_the_briefs() -> None:
    for name, profiles in SCENARIOS.items():
        for profile, known in profiles.items():
            assert scenario(name, profile=profile) == known


SAID = st.fixed_dictionaries(
    {},
    optional={
        "users": st.integers(1, 9),
        "duration": st.integers(1, 9),
        "timeout": st.integers(1, 9),
        "stages": st.just("1-2:1s"),
    },
)


@given(SAID, SAID)
def test_the_stronger_source_wins_and_nothing_weaker_mixes_with_its_stages(
    weak: dict[str, Any], strong: dict[str, Any]
) -> None:
    found = merged((Source(Load(**weak), "file"), Source(Load(**strong), "--"))).said()
    expected = {**weak, **strong}
    if "stages" in strong:
        expected = {"timeout": weak["timeout"]} | strong if "timeout" in weak else strong
    assert found == Load(**expected).said()


def test_the_keywords_of_a_call_are_the_options() -> None:
    assert set(Said.__annotations__) == set(Options.model_fields)


def test_the_keys_of_a_load_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/target-file.md").read_text()
    assert [name for name in Load.model_fields if f"`{name}`" not in text] == []


def test_an_empty_keyword_leaves_its_option_as_it_is() -> None:
    assert options_of({"users": 0, "duration": "", "endpoints": [], "target": "", "pid": None}) == Options()
    assert options_of({"warmup": 0, "seed": 0, "think_time": "0s"}) == Options(warmup=0, seed=0, think_time=0)
    with pytest.raises(InputError, match="run options: user: unknown key"):
        options_of({"user": 3})


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".hidden", "x" * 201, "é" * 101, "a b"])
def test_a_run_is_named_so_that_its_folder_is_one_of_the_workbook(name: str) -> None:
    if not name:
        assert Options(run_id=name).run_id == ""
        return
    with pytest.raises(InputError, match="run_id: names a folder"):
        Options.parse({"run_id": name}, "options")


def test_a_load_for_another_time_keeps_its_shape() -> None:
    spike = SCENARIOS["spike"]["brief"]
    short = spike.lasting(8.5)
    assert (short.duration_s, short.warmup_s) == (8.5, 0)
    assert stages_of(short) == [(5, 5, 1.5), (5, 100, 1.0), (100, 100, 3.0), (5, 5, 3.0)]
    light = SCENARIOS["light_load"]["brief"].lasting(3, 1)
    assert (light.workload, light.duration_s, light.warmup_s) == (Closed(users=10), 3, 1)
