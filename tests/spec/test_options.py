"""Options and the scenarios that they change."""

import re
import tomllib
from pathlib import Path

import pytest

from perflib.spec import SCENARIOS, InputError, Options, Target, parse_duration_s
from perflib.store.folders import load_target

ROOT = Path(__file__).parents[2]
DASHBOARD = load_target(ROOT / "data/targets/dashboard.toml")


HEAD = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n'
ENDPOINT = '[[endpoint]]\npath = "/a"\n'


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("60s", 60.0), ("2min", 120.0), ("1.5h", 5400.0), ("7", 7.0), (3, 3)]
)
def test_durations_are_read_with_their_unit(text: object, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


def test_the_briefs_scenarios_have_the_briefs_numbers() -> None:
    light = SCENARIOS["light_load"]["brief"]
    assert (light.workload.model_dump(), light.duration_s) == ({"kind": "closed", "users": 10}, 60)
    baseline = SCENARIOS["baseline"]["brief"]
    assert (baseline.isolated, baseline.enough_successes, baseline.duration_s) == (True, 1000, 60)


def test_a_title_tells_the_load_that_is_driven_not_the_one_by_default() -> None:
    assert Options().scenario("light_load", DASHBOARD).title == "Light load: 10 users, all endpoints"
    assert Options(users=1000).scenario("light_load", DASHBOARD).title == "Light load: 1000 users, all endpoints"


def test_options_change_a_scenario_and_nothing_else() -> None:
    scenario = Options(users=3, duration="2s", endpoints=("GET /health",)).scenario("light_load", DASHBOARD)
    assert scenario.workload.model_dump() == {"kind": "closed", "users": 3}
    assert scenario.duration_s == 2
    assert scenario.warmup_s == pytest.approx(0.2)
    assert [item.name for item in scenario.takes(DASHBOARD)] == ["GET /health"]


@pytest.mark.parametrize(
    ("options", "scenario", "says"),
    [
        (Options(), "heavy_load", "scenario 'heavy_load': unknown; did you mean light_load? choose one of baseline"),
        (Options(rate=5), "light_load", "--rate"),
        (Options(endpoints=("GET /nope",)), "light_load", "--endpoint 'GET /nope'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: Options, scenario: str, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        options.scenario(scenario, DASHBOARD)


def test_a_target_may_bring_its_own_numbers_for_a_scenario_and_options_win() -> None:
    document = tomllib.loads(HEAD + ENDPOINT + '[scenario.light_load]\nusers = 3\nduration = "90s"\n')
    target = Target.from_document(document, "mine.toml")
    brief, quick = Options().scenario("light_load", target), Options(profile="quick").scenario("light_load", target)
    assert (brief.workload.model_dump(), brief.duration_s) == ({"kind": "closed", "users": 3}, 90)
    assert (quick.workload.model_dump(), quick.duration_s) == ({"kind": "closed", "users": 3}, 10)
    assert Options(users=4).scenario("light_load", target).workload.model_dump()["users"] == 4
    assert Options().scenario("medium_load", target) == SCENARIOS["medium_load"]["brief"]
    assert Target.from_document(target.to_document(), "again") == target
