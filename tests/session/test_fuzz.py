"""Any bytes from a server, any text in a file: read right, or refused in one line. `tests.long.fuzz` goes on."""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.figures.summary import summarize
from perflib.judge.baseline import baseline_of
from perflib.load.answer import Judge
from perflib.load.channel import Channel
from perflib.load.exchange import Exchange
from perflib.load.request import encode
from perflib.spec import Endpoint, Expect, InputError
from perflib.spec.baselines import Baselines
from perflib.store.baselines import load_baselines
from perflib.store.folders import load_target
from perflib.store.runs import RunFolder, load_run
from perflib.store.spool import requests_spool
from tests.load.test_wire import WHOLE, Silent, body_of
from tests.store.test_runs import FACTS, recorded
from tests.synthetic import make_run

CASES = settings(deadline=None, database=None)  # how many: as the profile says, 100 or those of tests.long.fuzz
EXPECT = Expect(status=200, content_type="application/json", keys=("data",), forbid={"status": "error"})
TARGET = {
    "target": {"name": "t", "base_url": "http://127.0.0.1:1", "token_env": "T", "metrics_url": "http://h/metrics"},
    "endpoint": [{"path": "/a", "headers": {"X-A": "b"}, "params": {"q": 1}, "body": {"a": [1]}, "expect": {}}],
    "page": [{"name": "p", "loads": ["GET /a"]}],
}
FULL = {
    "target": {
        "name": "t",
        "base_url": "https://127.0.0.1:1/b",
        "headers": {"X-T": {"env": "T"}},
        "allowed_status": ["2xx", 304],
        "revision": {"header": "X-V"},
        "tls": {"server_name": "a.test", "verify": False},
        "login": {
            "path": "/login",
            "form": {"user": "{c.id}", "password": {"env": "T"}},
            "token": "/t",
            "cookies": True,
            "csrf": {"cookie": "c", "header": "X-C"},
        },
    },
    "data": {"c": {"values": [{"id": 1}, {"id": "b"}], "pick": "zipf"}, "d": {"range": [1, 3], "unique": True}},
    "endpoint": [
        {"path": "/o", "method": "POST", "body": {"k": "{uuid}", "p": {"env": "T"}}, "save": {"o": "/id"}},
        {"path": "/o/{o}", "expect": {"keys": ["a.b"], "absent": ["e"], "status": [200, "3xx"]}, "timeout": "5s"},
        {"path": "/m", "method": "PUT", "multipart": {"a": "{d}"}, "max_errors": "1%", "target_p99_ms": 9},
    ],
    "journey": [{"name": "j", "steps": ["POST /o", "GET /o/{o}"], "think_time": "1s-2s", "weight": 2}],
}
"""What a target file says of values, logins, journeys and connections."""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(SCALARS, lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=8), some))
TOML = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=20) | st.datetimes()
EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4), st.integers(0, 4)), max_size=4)


def mutated(data: bytes, edits: Sequence[tuple[float, bytes, int]]) -> bytes:
    """The bytes with some put in, or in the place of others, or left out."""
    for where, new, dropped in edits:
        at = int(where * len(data))
        data = data[:at] + new + data[at + dropped :]
    return data


ANSWERS = st.binary(max_size=300) | st.builds(mutated, st.sampled_from(list(WHOLE.values())), EDITS)


def outcome(pieces: Sequence[bytes]) -> tuple[object, ...]:
    """What becomes of a request that gets these pieces, then the end of its connection."""
    channel, exchange, over = Channel(Silent()), Exchange(0), list[Exchange]()
    channel.send(b"", exchange, over.append)
    for piece in pieces:
        if not over:
            channel.received(piece, 1, -1)
    channel.ended(None)
    assert over == [exchange]
    judged = Judge(Endpoint(path="/", expect=EXPECT)).error_of(exchange)
    failed = exchange.error is not None
    return exchange.error, judged, None if failed else (exchange.status, exchange.headers, body_of(exchange))


@CASES
@given(ANSWERS, st.sets(st.integers(1, 300), max_size=5))
def test_any_bytes_of_a_server_end_its_request_the_same_way_however_they_arrive(data: bytes, cuts: set[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    at_once, split = outcome([data]), outcome(pieces)
    assert at_once == split or {at_once[0], split[0]} <= {None, "protocol"}  # what follows an answer may come too late


@CASES
@given(st.sampled_from(list(WHOLE)), st.binary(min_size=1, max_size=50))
def test_a_whole_answer_is_read_right_whatever_arrives_after_it(name: str, more: bytes) -> None:
    assert outcome([WHOLE[name], more]) == outcome([WHOLE[name]])


def refusal(named: object, read: Callable[[], object]) -> str | None:
    """What the user is told; None for what could be read. Any other exception is a failed test."""
    try:
        read()
    except InputError as error:
        told = str(error)
    else:
        return None
    assert str(named) in told
    assert told.isprintable()
    return told


def check_target(data: bytes) -> None:
    """A target file of these bytes is read, and its requests can be sent; or it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.toml")
        path.write_bytes(data)
        if refusal(path, lambda: load_target(path)) is not None:
            return
        known = load_target(path)
    for endpoint in known.endpoints:
        refusal(" ", partial(encode, known, endpoint, dict.fromkeys(known.secrets, "secret")))


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every place in a document that holds a value: the container and its key."""
    keys = document.keys() if isinstance(document, dict) else range(len(document))
    own = [(document, key) for key in keys]
    return own + [deep for _, key in own if isinstance(document[key], dict | list) for deep in places(document[key])]


def with_another(document: Any, where: float, value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    container, key = places(copy)[int(where * len(places(copy)))]
    container[key] = value
    return copy


@CASES
@given(
    st.floats(0, 1, exclude_max=True), TOML | st.lists(TOML, max_size=3) | st.dictionaries(st.text(max_size=8), TOML)
)
def test_a_target_file_with_any_value_anywhere_is_read_or_refused(where: float, value: object) -> None:
    for whole in (TARGET, FULL):
        check_target(tomli_w.dumps(with_another(whole, where, value)).encode())


@CASES
@given(st.binary(max_size=100) | st.builds(mutated, st.just(tomli_w.dumps(TARGET).encode()), EDITS))
def test_a_target_file_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    check_target(data)


@pytest.mark.parametrize("text", ["a=" + "[" * 5000, "a=" + "9" * 5000, "\x00", "a=1\ud800"], ids=repr)
def test_a_target_file_made_to_exhaust_its_reader_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert refusal(path, lambda: load_target(path))


BASELINES = Baselines().with_entry(baseline_of([make_run()])).model_dump(mode="json")


def check_baselines(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "performance_baselines.json")
        path.write_text(text, "utf-8", "surrogatepass")
        if refusal(path, lambda: load_baselines(path)) is None:
            figures = [one for each in load_baselines(path).baselines for one in each.endpoints.values()]
            assert all(one.p95_ms is None or math.isfinite(one.p95_ms) for one in figures)


@CASES
@given(st.floats(0, 1, exclude_max=True), JSON)
def test_baselines_with_any_value_anywhere_are_read_or_refused(where: float, value: object) -> None:
    check_baselines(json.dumps(with_another(BASELINES, where, value)))


@CASES
@given(st.floats(0, 1, exclude_max=True), EDITS)
def test_torn_and_mutated_baselines_are_read_or_refused(cut: float, edits: Any) -> None:
    text = json.dumps(BASELINES, indent=1).encode()
    check_baselines(mutated(text[: int(len(text) * cut)], edits).decode("latin-1"))
    check_baselines(mutated(text, edits).decode("latin-1"))


def test_baselines_nested_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "performance_baselines.json"
    path.write_text("[" * 100_000)
    assert refusal(path, lambda: load_baselines(path))


def check_run(name: str, change: Any) -> None:
    """A stored run whose file was changed is read as it was, or refused."""
    with tempfile.TemporaryDirectory() as folder:
        whole = recorded(Path(folder), 60)
        if name != requests_spool(whole.path).name:
            whole.seal(FACTS)
        before = load_run(Path(folder), FACTS.run_id)
        path = whole.path / name
        path.write_bytes(change(path.read_bytes()))
        told = refusal(whole.path, lambda: summarize(load_run(Path(folder), FACTS.run_id)))
        if told is None and name.endswith(".parquet"):
            after = load_run(Path(folder), FACTS.run_id)
            assert after.requests.to_dict("list") == before.requests.to_dict("list") or after.requests.equals(
                before.requests
            )


FILES = st.sampled_from(["requests.parquet", "requests.0.spool", "run.json"])


@CASES
@given(FILES, st.floats(0, 1, exclude_max=True))
def test_a_torn_file_of_a_run_is_read_or_refused(name: str, cut: float) -> None:
    check_run(name, lambda data: data[: int(len(data) * cut)])


@CASES
@given(FILES, EDITS)
def test_a_mutated_file_of_a_run_is_never_a_wrong_figure(name: str, edits: Any) -> None:
    check_run(name, lambda data: mutated(data, edits))


@pytest.mark.parametrize("host", ["999.1.1.1", "127.\u11000.0.1", "a..b", "xn--0.b"])
def test_a_host_that_no_look_up_takes_is_refused(tmp_path: Path, host: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(f'[target]\nname = "t"\nbase_url = "http://{host}"\n[[endpoint]]\npath = "/a"\n')
    with pytest.raises(InputError, match="base_url"):
        encode(load_target(path), Endpoint(path="/a"), None)


SECRET = "hunter2-5f3c"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", f"http://user:{SECRET}@host"),
        ("base_url", f"http://:{SECRET}@host"),
        ("base_url", f"http://user:{SECRET}\u2100@host"),
        ("base_url", f"http://host/?token={SECRET}"),
        ("metrics_url", f"http://user:{SECRET}@host/metrics"),
        ("metrics_url", f"ftp://host/metrics?token={SECRET}"),
        ("token_env", f"Bearer {SECRET}"),
        ("token_env", SECRET),
        ("token", SECRET),
        ("allow_hosts", [f"user:{SECRET}@host"]),
    ],
)
def test_a_secret_in_a_bad_target_file_is_not_told(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "t.toml"
    path.write_text(tomli_w.dumps(TARGET | {"target": TARGET["target"] | {key: value}}))  # type: ignore[operator]
    told = refusal(path, lambda: load_target(path))
    assert told is not None
    assert key in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "wrong",
    [{"headers": {"X": {"value": SECRET}}}, {"headers": [SECRET]}, {"params": {"q": [[SECRET]]}}, {"headers": SECRET}],
)
def test_a_secret_in_a_bad_endpoint_is_not_told(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "t.toml"
    path.write_text(tomli_w.dumps(TARGET | {"endpoint": [{"path": "/a"} | wrong], "page": []}))
    told = refusal(path, lambda: load_target(path))
    assert told is not None
    assert SECRET not in told


def test_a_run_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    recorded(tmp_path, 10).seal(FACTS)
    RunFolder(tmp_path / FACTS.run_id).write_facts(FACTS.model_copy(update={"run_id": "another"}))
    assert refusal(tmp_path, lambda: load_run(tmp_path, FACTS.run_id))
