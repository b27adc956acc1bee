"""The setup: equal for runs that measure the same thing, and every difference in words."""

import tomllib
from typing import Any

import pytest

from perflib.judge.baseline import baseline_of
from perflib.judge.check import check
from perflib.judge.knowledge import match
from perflib.spec import Closed, Options, Ramp, Target
from perflib.spec.baselines import Baselines
from perflib.spec.run import setup_of
from perflib.spec.setup import Machine, Setup, differences
from perflib.spec.workload import Open
from tests.synthetic import make_run, make_target

MACHINE = Machine(os="Linux", arch="x86_64", cpu="A CPU", cores=2)
URL = 'base_url = "http://127.0.0.1:8000"\n'
SECURE = URL.replace("http", "https")
FILE = """
[target]
name = "shop"
base_url = "http://127.0.0.1:8000"
token_env = "TOKEN"

[[endpoint]]
path = "/a"
params = { limit = 10 }
target_ms = 100

[[endpoint]]
path = "/b"
method = "POST"
body = { x = 1 }
headers = { X-Key = { env = "KEY" } }

[[page]]
name = "home"
loads = ["GET /a", "POST /b"]
"""


def setup(*changes: tuple[str, str], scenario: str = "light_load", machine: Machine = MACHINE, **options: Any) -> Setup:
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    target = Target.from_document(tomllib.loads(text), "shop.toml")
    asked = Options.parse(options, "options")
    aimed = asked.aimed(target)
    return Setup.of(aimed, asked.scenario(scenario, aimed), machine, asked.workers, asked.engine)


@pytest.mark.parametrize(
    ("same", "options"),
    [
        ((":8000", ":9999"), {}),
        (("127.0.0.1", "localhost"), {}),
        (("target_ms = 100", "target_ms = 7\nexpect = { status = 200 }"), {}),
        (('name = "shop"', 'name = "shop"\nkeep_going = true\nmax_requests = 5\nallow_hosts = ["x"]'), {}),
        ((URL, f'{SECURE}tls = {{ ca_file = "x", verify = false }}\n'), {}),
        (("path", "path"), {"seed": 9, "note": "n", "brief": "PS-5.1", "pid": 1}),
    ],
    ids=["port", "loopback name", "limit and expectation", "consent", "trust", "seed and notes"],
)
def test_what_changes_no_request_and_no_load_changes_no_setup(same: tuple[str, str], options: dict[str, Any]) -> None:
    assert setup(same, **options).hash == setup().hash
    assert differences(setup(same, **options), setup()) == ()


@pytest.mark.parametrize(
    ("changed", "options", "says"),
    [
        (("http://127.0.0.1:8000", "https://staging.example"), {}, "host is https://staging.example, was this machine"),
        (('name = "shop"', 'name = "other"'), {}, "target is other, was shop"),
        (("limit = 10", "limit = 99"), {}, "GET /a is sent as GET /a?limit=99, was GET /a?limit=10"),
        (("x = 1", "x = 2"), {}, "POST /b is sent with other content"),
        (('"KEY"', '"OTHER"'), {}, "POST /b is sent with other headers"),
        (("target_ms = 100", "weight = 50"), {}, "GET /a is weighted 50, was 1"),
        (('"GET /a", "POST /b"', '"GET /a"'), {}, "page home loads GET /a (weight 1), was GET /a, POST /b (weight 1)"),
        (('token_env = "TOKEN"', ""), {}, "auth is none, was bearer $TOKEN"),
        (("path", "path"), {"users": 50}, "load is 50 users, was 10 users"),
        (("path", "path"), {"think_time": "1s"}, "load is 10 users, each pausing 1 s, was 10 users"),
        (("path", "path"), {"stages": "5-10:9s"}, "workload is ramp, was closed"),
        (("path", "path"), {"duration": "10s"}, "duration is 10 s, was 60 s"),
        (("path", "path"), {"warmup": 0}, "warm-up is 0 s, was 5 s"),
        (("path", "path"), {"timeout": "1s"}, "time-out is 1 s, was 30 s"),
        (("path", "path"), {"workers": 4}, "workers is 4, was 1"),
        ((URL, f'{URL}unix_socket = "s"\n'), {}, "transport is a Unix socket, was plain"),
        ((URL, f"{URL}reconnect_every = 9\n"), {}, "transport is opened anew every 9 requests, was plain"),
        ((URL, f'{SECURE}tls.server_name = "x"\n'), {}, "transport is as x, was plain"),
        ((URL, f'{SECURE}tls.client_cert = "x"\n'), {}, "transport is with a client certificate, was plain"),
        (("target_ms = 100", 'timeout = "2s"'), {}, "GET /a has a time-out of 2 s, had nothing"),
        (("path", "path"), {"endpoints": ["GET /a"]}, "other endpoints are driven: POST /b, home"),
    ],
)
def test_whatever_changes_a_request_or_the_load_is_named(
    changed: tuple[str, str], options: dict[str, Any], says: str
) -> None:
    other = setup(changed, **options)
    assert other.hash != setup().hash
    assert says in differences(other, setup())


def test_the_connections_and_stages_of_an_open_load_are_part_of_it() -> None:
    steady = setup(scenario="steady_rate")
    assert differences(setup(scenario="steady_rate", max_connections=3), steady) == ("connections is 3, was 500",)
    ramped = setup(scenario="steady_rate", stages="1-50:120s")
    assert differences(ramped, steady)[0] == "load is rate 1-50:120s, poisson, was 50 requests per second, poisson"
    assert ramped.hash != steady.hash


def test_ramps_of_equal_peak_and_length_are_different_loads() -> None:
    slow, fast = setup(stages="5-100:80s,100-100:10s"), setup(stages="5-100:10s,100-100:80s")
    assert differences(fast, slow) == ("load is users 5-100:10s, 100-100:80s, was users 5-100:80s, 100-100:10s",)


def test_another_machine_is_another_setup() -> None:
    other = Machine(os="Linux", arch="x86_64", cpu="A CPU", cores=64)
    assert differences(setup(machine=other), setup()) == ("cores is 64, was 2",)


def test_a_setup_survives_json_with_its_hash() -> None:
    written = setup().model_dump(mode="json")
    assert written["hash"] == setup().hash
    assert Setup.model_validate(written) == setup()


def test_of_isolated_endpoints_only_those_that_both_drive_are_compared() -> None:
    both, one = setup(scenario="baseline"), setup(scenario="baseline", endpoints=["GET /a"])
    assert differences(one, both) == ()
    changed = setup(("limit = 10", "limit = 9"), scenario="baseline", endpoints=["GET /a"])
    assert len(differences(changed, both)) == 1


RUNS = [make_run(make_target("/a"), seed=seed) for seed in range(8)]
ENTRY = baseline_of([run for run in RUNS if run.facts.run_id][:1])


def test_a_baseline_holds_the_setup_of_its_runs() -> None:
    assert ENTRY.setup == setup_of(RUNS[0].facts)
    assert match(RUNS[1], Baselines(baselines=(ENTRY,))).baseline == ENTRY


def test_a_baseline_of_another_target_url_is_not_compared_with() -> None:
    facts = RUNS[1].facts
    moved = facts.replaced(target=facts.target.replaced(base_url="https://staging.example"))
    found = match(type(RUNS[1])(moved, RUNS[1].requests), Baselines(baselines=(ENTRY,)))
    assert found.baseline is None
    assert "host is https://staging.example, was this machine" in found.why_not


def test_a_baseline_of_before_setups_still_matches_and_says_what_it_cannot_know() -> None:
    old = ENTRY.replaced(setup=None)
    found = check([RUNS[1]], Baselines(schema_version=1, baselines=(old,)))
    assert found.baselines["light_load"] == old.recorded_at
    note = next(note for note in found.notes if "before setups were" in note)
    assert "requests as sent and their weights" in note
    assert "time-out" in note
    assert any("was recorded before setups were: its cores are all those" in note for note in found.notes)


def test_recording_a_setup_anew_replaces_its_entry_and_keeps_the_others() -> None:
    known = ENTRY.known_setup
    wider = ENTRY.replaced(setup=known.replaced(workload=Closed(users=99)))
    both = Baselines(baselines=(ENTRY,)).with_entry(wider)
    assert len(both.baselines) == 2
    newer = ENTRY.replaced(recorded_at="2027-01-01T00:00:00+00:00")
    assert newer in both.with_entry(newer).baselines
    assert len(both.with_entry(newer).baselines) == 2


def test_every_kind_of_load_has_its_own_words() -> None:
    loads = [Closed(users=1), Open(rate_per_s=1), Ramp.model_validate({"stages": ["1-2:1s"]})]
    hashes = {setup().replaced(workload=load).hash for load in loads}
    assert len(hashes) == len(loads)
