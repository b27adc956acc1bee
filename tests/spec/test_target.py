"""The target file: what it takes, and how it refuses."""

import json
import tomllib
from pathlib import Path

import pytest

from perflib.spec import Endpoint, InputError, Options, Target
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
    again = Target.from_document(tomllib.loads(target_as_toml(DASHBOARD)), "again")
    assert again.replaced(folder=DASHBOARD.folder) == DASHBOARD


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
        (HEAD + ENDPOINT + "weight = -1\n", "endpoint[1].weight"),
        (HEAD + ENDPOINT + "target_ms = 5\ntarget_p99_ms = 4\n", "'GET /a': target_p99_ms is less than target_ms"),
        (HEAD + ENDPOINT + 'expect = { keys = "a" }\n', "endpoint[1].expect.keys: no list; write it in brackets: ["),
        (HEAD + ENDPOINT + "expect = 5\n", "endpoint[1].expect: no table; write it in braces: { name = value }"),
        (HEAD + ENDPOINT + 'method = "GE T"\n', "endpoint[1].method: not a method"),
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


@pytest.mark.parametrize("said", ['data.state.of = "stale"', '"data.state.of" = "stale"'])
def test_a_path_of_a_forbidden_value_needs_no_quotes(said: str) -> None:
    target = mixed(f'[[endpoint]]\npath = "/a"\nexpect = {{ forbid = {{ {said}, ok = false }} }}\n')
    assert target.endpoints[0].expect.forbid == {"data.state.of": "stale", "ok": False}


@pytest.mark.parametrize("said", ["200", '["2xx", 304]', '"4xx"'])
def test_what_a_target_allows_and_expects_reads_the_same_again(said: str) -> None:
    limits = 'target_p99_ms = 5\nmax_errors = "0.5%"\n'
    expect = f'{{ status = {said}, absent = ["errors"], contains = "ü", min_bytes = 1, max_bytes = 9 }}'
    text = f'allowed_status = {said}\n[[endpoint]]\npath = "/a"\n{limits}expect = {expect}\n'
    target = mixed(f'{text}[[page]]\nname = "p"\nloads = ["GET /a"]\n{limits}')
    assert Target.from_document(tomllib.loads(target_as_toml(target)), "again") == target
    assert Target.parse(json.loads(target.model_dump_json()), "run.json") == target
    assert {item.max_errors for item in target.items} == {0.005}


MIX = """
[[endpoint]]
path = "/a"
weight = 0
[[endpoint]]
path = "/b"
weight = 0.5
hot = true
[[page]]
name = "p"
loads = ["GET /a", "GET /b"]
"""


def mixed(text: str = MIX) -> Target:
    return Target.from_document(tomllib.loads(HEAD + text), "mine.toml")


@pytest.mark.parametrize("scenario", ["light_load", "baseline"])
def test_what_weighs_0_is_asked_for_only_as_a_part_of_a_page(scenario: str) -> None:
    assert [item.name for item in Options().scenario(scenario, mixed()).takes(mixed())] == ["GET /b", "p"]


def test_a_scenario_that_would_drive_nothing_is_refused_with_the_mend() -> None:
    with pytest.raises(InputError, match="drives none of the endpoints and pages of 't'; give one a weight above 0"):
        Options(endpoints=("GET /a",)).scenario("light_load", mixed())


def test_where_nothing_is_hot_everything_is() -> None:
    known = mixed(MIX.replace("hot = true", ""))
    assert [item.name for item in Options().scenario("medium_load", known).takes(known)] == ["GET /b", "p"]
    assert [item.name for item in Options().scenario("medium_load", mixed()).takes(mixed())] == ["GET /b"]
