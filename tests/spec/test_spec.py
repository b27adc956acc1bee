"""Specifications: what they take, and how they refuse."""

import re
import tomllib
from pathlib import Path

import pytest

from perflib.spec import SCENARIOS, Endpoint, InputError, Options, Target, parse_duration_s
from perflib.spec.openapi import target_of
from perflib.spec.run import Generator
from perflib.store.folders import load_target, target_as_toml

ROOT = Path(__file__).parents[2]
DASHBOARD = load_target(ROOT / "data/targets/dashboard.toml")


def test_the_shipped_target_is_the_briefs_table() -> None:
    assert {item.name: item.target_ms for item in DASHBOARD.items} == {
        "GET /health": 50,
        "GET /snapshot": 500,
        "GET /clients": 200,
        "GET /signals": 200,
        "GET /patterns": 300,
        "GET /cost-to-serve": 500,
        "Dashboard home (all data)": 1000,
    }
    assert [item.name for item in DASHBOARD.items if item.hot] == [
        "GET /health",
        "GET /snapshot",
        "GET /clients",
        "GET /signals",
        "Dashboard home (all data)",
    ]


def test_a_target_written_as_toml_reads_as_the_same_target() -> None:
    assert Target.from_document(tomllib.loads(target_as_toml(DASHBOARD)), "again") == DASHBOARD


HEAD = '[target]\nname = "t"\nbase_url = "http://127.0.0.1:1"\n'
ENDPOINT = '[[endpoint]]\npath = "/a"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "target: missing"),
        (HEAD, "endpoint: missing"),
        (HEAD + "[[endpoint]]\n", "endpoint[1].path: missing"),
        (HEAD + '[[endpoint]]\npath = "a"\n', 'endpoint[1].path: a path starts with "/"'),
        (HEAD + ENDPOINT + "targt_ms = 5\n", "endpoint[1].targt_ms: unknown key"),
        (HEAD + ENDPOINT + "target_ms = -5\n", "endpoint[1].target_ms"),
        (HEAD + ENDPOINT + "weight = 0\n", "endpoint[1].weight"),
        (HEAD + ENDPOINT + 'method = "HEAD"\n', "endpoint[1].method"),
        (HEAD + ENDPOINT + ENDPOINT, "two entries are named 'GET /a'"),
        (HEAD + ENDPOINT + '[[page]]\nname = "p"\nloads = ["GET /b"]\n', "loads 'GET /b', which is no endpoint here"),
        (HEAD.replace("http://", "ftp://") + ENDPOINT, "base_url: not a base URL"),
        (HEAD.replace(":1", ":99999") + ENDPOINT, "base_url: not a base URL"),
        (HEAD + 'validation = "PS-9"\n' + ENDPOINT, "validation: not a brief that perflib knows; write PS-5.1"),
        (HEAD + ENDPOINT + "[scenarios]\n", "scenarios: unknown key"),
        ("[target\n", "cannot be read as TOML"),
    ],
)
def test_a_bad_target_file_is_refused_in_one_line_naming_file_key_and_mend(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refusal:
        load_target(path)
    assert str(path) in str(refusal.value)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_endpoint_is_named_by_its_method_and_path_unless_it_has_a_name() -> None:
    assert Endpoint(path="/a", method="POST").name == "POST /a"
    assert Endpoint(path="/a", name="mine").name == "mine"


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


OPENAPI = {
    "info": {"title": "Shop"},
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        "parameters": {"number": {"name": "number", "in": "query", "required": True}},
        "schemas": {"Items": {"type": "object", "required": ["data", "status"]}},
    },
    "paths": {
        "/items": {
            "get": {
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Items"}}}}
                }
            }
        },
        "/items/{id}": {"get": {"responses": {}}},
        "/search": {"get": {"parameters": [{"name": "q", "in": "query", "required": True}]}},
        "/page": {"get": {"parameters": [{"$ref": "#/components/parameters/number"}]}},
        "/orders": {"post": {}},
        "/ping": {"get": {}},
    },
}


def test_a_discovered_target_has_the_gets_that_need_no_parameter_and_their_expectations() -> None:
    target = target_of(OPENAPI, "http://127.0.0.1:9")
    assert [endpoint.name for endpoint in target.endpoints] == ["GET /items", "GET /ping"]
    assert target.endpoints[0].expect.keys == ("data", "status")
    assert target.endpoints[0].expect.content_type == "application/json"
    assert target.token_env == "PERF_API_TOKEN"


@pytest.mark.parametrize("document", [[], {}, {"paths": {}}, {"paths": {"/a": {"post": {}}}}, {"paths": 3}])
def test_a_document_that_describes_no_get_is_refused(document: object) -> None:
    with pytest.raises(InputError, match=r"openapi\.json"):
        target_of(document, "http://127.0.0.1:9")


def test_a_target_may_bring_its_own_numbers_for_a_scenario_and_options_win() -> None:
    document = tomllib.loads(HEAD + ENDPOINT + '[scenario.light_load]\nusers = 3\nduration = "90s"\n')
    target = Target.from_document(document, "mine.toml")
    brief, quick = Options().scenario("light_load", target), Options(profile="quick").scenario("light_load", target)
    assert (brief.workload.model_dump(), brief.duration_s) == ({"kind": "closed", "users": 3}, 90)
    assert (quick.workload.model_dump(), quick.duration_s) == ({"kind": "closed", "users": 3}, 10)
    assert Options(users=4).scenario("light_load", target).workload.model_dump()["users"] == 4
    assert Options().scenario("medium_load", target) == SCENARIOS["medium_load"]["brief"]
    assert Target.from_document(target.to_document(), "again") == target


def test_a_run_that_still_counts_its_checked_bodies_is_read() -> None:
    earlier = {"requests": 4, "bodies_checked": 4, "bodies_parsed": 1}
    assert Generator.parse(earlier, "run.json") == Generator(requests=4)
    with pytest.raises(InputError, match="bodies_counted"):
        Generator.parse(earlier | {"bodies_counted": 4}, "run.json")
