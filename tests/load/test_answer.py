"""The judge: which answers are successes, and that it stays cheap without being fooled."""

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflib.load import answer as judging
from perflib.load.answer import Judge, Sampler
from perflib.load.wire import Exchange
from perflib.spec import Cold, Endpoint, Expect

WELL = b'{"data": [1, 2], "status": "ok"}'
PICKY = Expect(status=200, content_type="application/json", keys=("data",), forbid={"status": "error"})


def answered(body: bytes = WELL, status: int = 200, content_type: str = "application/json", **headers: str) -> Exchange:
    named = {b"Content-Type": content_type.encode()}
    named |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Exchange(0, 1, 2, status=status, headers=named, body=[body[:5], body[5:]])


def judge_of(expect: Expect = PICKY, *, parses: bool = True, cold: Cold | None = None) -> Judge:
    """A judge that parses every body, or one that only parses what looks suspicious."""
    sampler = Sampler()
    judge = Judge(Endpoint(path="/", expect=expect, cold=cold), sampler)
    if parses:
        sampler.due = lambda: True  # type: ignore[method-assign]
    else:
        judge.error_of(answered(json.dumps(dict.fromkeys(expect.keys)).encode()))
        sampler.due = lambda: False  # type: ignore[method-assign]
    return judge


@pytest.fixture(params=[True, False], ids=["parsing", "searching"])
def parses(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("status", [199, 201, 302, 404, 500])
def test_a_status_other_than_the_expected_one_is_an_error(status: int) -> None:
    assert judge_of().error_of(answered(status=status)) == "status"


@pytest.mark.parametrize(("status", "error"), [(200, None), (204, None), (302, "status"), (500, "status")])
def test_without_an_expectation_any_2xx_is_a_success(status: int, error: str | None) -> None:
    assert judge_of(Expect()).error_of(answered(b"<p>", status, "text/html")) == error


def test_an_expected_failure_is_a_success() -> None:
    assert judge_of(Expect(status=404)).error_of(answered(status=404)) is None


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json ;q=1"]
)
def test_parameters_and_case_of_a_content_type_do_not_matter(content_type: str) -> None:
    assert judge_of().error_of(answered(content_type=content_type)) is None


@pytest.mark.parametrize("content_type", ["text/html", "application/jsonp", ""])
def test_another_content_type_is_an_error(content_type: str) -> None:
    assert judge_of().error_of(answered(content_type=content_type)) == "content"


def test_a_failure_of_the_wire_stays_what_it_is() -> None:
    exchange = answered()
    exchange.error = "timeout"
    assert judge_of().error_of(exchange) == "timeout"


WRONG: dict[str, Any] = {
    "a missing key": {"other": 1},
    "a nested key": {"other": {"data": 1}},
    "a key in a list": {"other": [{"data": 1}]},
    "a key as a value": {"other": "data"},
    "a key in a string": {"other": '{"data": 1}'},
    "a forbidden value": {"data": 1, "status": "error"},
    "a forbidden value before": {"status": "error", "data": 1},
    "a list": [{"data": 1}],
    "nothing": None,
}
RIGHT: dict[str, Any] = {
    "a null": {"data": None},
    "a key at the end": {"other": [{"data": 1}] * 2000, "data": 1},
    "a key in the middle": {"a": ["x"] * 2000, "data": 1, "b": ["y"] * 2000},
    "a key after a nested one": {"other": {"data": 1}, "data": 1},
    "a nested forbidden value": {"data": [{"status": "error"}], "status": "ok"},
    "a forbidden value under another key": {"data": 1, "state": "error"},
    "a longer value": {"data": 1, "status": "error-free"},
    "brackets in strings": {"other": '}]{[\\"', "data": "{{"},
}


@pytest.mark.parametrize("document", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_200_of_wrong_content_is_an_error(document: object, indent: int | None, parses: bool) -> None:
    assert judge_of(parses=parses).error_of(answered(json.dumps(document, indent=indent).encode())) == "content"


@pytest.mark.parametrize("document", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("indent", [None, 1])
def test_content_that_only_looks_wrong_is_a_success(document: object, indent: int | None, parses: bool) -> None:
    assert judge_of(parses=parses).error_of(answered(json.dumps(document, indent=indent).encode())) is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"<html>", b"[" * 100_000], ids=repr)
def test_what_is_no_json_is_an_error(body: bytes, parses: bool) -> None:
    assert judge_of(parses=parses).error_of(answered(body)) == "content"


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("slash", ["/", r"\/"])
def test_a_forbidden_value_is_found_in_any_usual_spelling(ensure_ascii: bool, slash: str, parses: bool) -> None:
    expect = Expect(keys=("größe",), forbid={"zustand": "gestört/aus"})
    text = json.dumps({"größe": 1, "zustand": "gestört/aus"}, ensure_ascii=ensure_ascii).replace("/", slash)
    assert judge_of(expect, parses=parses).error_of(answered(text.encode())) == "content"


@pytest.mark.parametrize(("said", "error"), [(True, None), (1, "content"), (10, None), ("1", None), (None, None)])
def test_a_forbidden_number_is_that_number_and_nothing_like_it(said: object, error: str | None, parses: bool) -> None:
    judge = judge_of(Expect(forbid={"code": 1}), parses=parses)
    assert judge.error_of(answered(json.dumps({"code": said}).encode())) == error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["data", "status", "error", '"data": 1', "}", "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "status", "a"]), inner),
    max_leaves=8,
)


@given(document=JSON)
def test_searching_and_parsing_agree(document: object) -> None:
    body = json.dumps(document).encode()
    assert judge_of(parses=False).error_of(answered(body)) == judge_of(parses=True).error_of(answered(body))


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


ENCODERS = [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]


@pytest.mark.parametrize(("name", "encode"), ENCODERS, ids=["gzip", "x-gzip", "deflate", "deflate without a header"])
def test_an_encoded_body_is_judged_as_what_it_encodes(name: str, encode: Any, parses: bool) -> None:
    judge = judge_of(parses=parses)
    assert judge.error_of(answered(encode(WELL), Content_Encoding=name)) is None
    assert judge.error_of(answered(encode(b'{"other": 1}'), Content_Encoding=name)) == "content"
    assert judge.error_of(answered(encode(WELL)[:-9], Content_Encoding=name)) == "content"
    assert judge.error_of(answered(WELL, Content_Encoding=name)) == "content"


def test_an_encoded_body_is_not_unpacked_beyond_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MAX_ANSWER_BYTES", 1000)
    bomb = gzip.compress(b'{"data": "' + b"x" * 100_000 + b'"}')
    assert judge_of().error_of(answered(bomb, Content_Encoding="gzip")) == "content"


def test_the_first_body_of_an_endpoint_is_parsed_then_one_a_second() -> None:
    sampler = Sampler()
    judges = [Judge(Endpoint(path=path, expect=PICKY), sampler) for path in ("/a", "/b")]
    for judge in judges * 50:
        assert judge.error_of(answered()) is None
    assert sampler.checked == 100
    assert 2 <= sampler.parsed <= 3


@pytest.mark.parametrize("at_end", [False, True], ids=["first", "last"])
def test_a_key_beside_a_large_value_needs_no_parse(at_end: bool) -> None:
    sampler = Sampler()
    judge = Judge(Endpoint(path="/", expect=PICKY), sampler)
    large = {"rows": [{"data": 1}] * 3000}
    body = json.dumps(large | {"data": 1} if at_end else {"data": 1} | large).encode()
    for _ in range(20):
        assert judge.error_of(answered(body)) is None
    assert sampler.parsed <= 2


def test_an_endpoint_without_expected_keys_has_no_body_checked() -> None:
    sampler = Sampler()
    Judge(Endpoint(path="/", expect=Expect(status=200)), sampler).error_of(answered())
    assert (sampler.checked, sampler.parsed) == (0, 0)


@pytest.mark.parametrize(("value", "cold"), [("MISS", True), ("miss", True), ("HIT", False)])
def test_a_cold_answer_shows_in_its_header(value: str, cold: bool) -> None:
    judge = judge_of(cold=Cold(header="X-Cache", equals="Miss"))
    assert judge.is_cold(answered(x_cache=value)) is cold
    assert not judge.is_cold(answered())
