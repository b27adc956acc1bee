"""The judge: which answers are successes, by the whole of each body."""

import gzip
import json
import zlib
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.load import answer as judging
from perflib.load.answer import Judge
from perflib.load.exchange import Exchange
from perflib.spec import Cold, Endpoint, Expect, Target

WELL = b'{"data": [1, 2], "status": "ok"}'
PICKY = Expect(status=200, content_type="application/json", keys=("data",), forbid={"status": "error"})


def answered(body: bytes = WELL, status: int = 200, content_type: str = "application/json", **headers: str) -> Exchange:
    named = {b"Content-Type": content_type.encode()}
    named |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Exchange(0, 1, 2, status=status, headers=named, body=[body[:5], body[5:]])


def judge_of(expect: Expect = PICKY, *, cold: Cold | None = None) -> Judge:
    return Judge(Endpoint(path="/", expect=expect, cold=cold))


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


@pytest.mark.parametrize(
    "wanted",
    [
        "*/*",
        "application/*",
        "Application/JSON; charset=utf-8",
        "application/json;version=1.0",
        "application/*; q=0.5",
        ("text/html", "application/json"),
        (),
    ],
)
def test_an_answer_is_of_its_media_type_and_of_each_range_that_holds_it(wanted: str | tuple[str, ...]) -> None:
    assert judge_of(Expect(content_type=wanted)).error_of(answered()) is None


@pytest.mark.parametrize(("wanted", "given"), [("application/*+json", "application/hal+json"), ("*/*", "")])
def test_a_range_may_name_a_suffix_or_anything(wanted: str, given: str) -> None:
    assert judge_of(Expect(content_type=wanted)).error_of(answered(content_type=given)) is None


@pytest.mark.parametrize("wanted", ["text/*", "application/xml", ("text/html", "image/*"), "applicat*/json2"])
def test_an_answer_outside_of_every_range_is_an_error(wanted: str | tuple[str, ...]) -> None:
    assert judge_of(Expect(content_type=wanted)).error_of(answered()) == "content"


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
    "a forbidden value after rows of it": {"data": [{"status": "error"}] * 2000, "status": "error"},
    "a list": [{"data": 1}],
    "nothing": None,
}
RIGHT: dict[str, Any] = {
    "a null": {"data": None},
    "a key at the end": {"other": [{"data": 1}] * 2000, "data": 1},
    "a key in the middle": {"a": ["x"] * 2000, "data": 1, "b": ["y"] * 2000},
    "a key after a nested one": {"other": {"data": 1}, "data": 1},
    "a nested forbidden value": {"data": [{"status": "error"}], "status": "ok"},
    "a forbidden value in every row": {"data": [{"id": row, "status": "error"} for row in range(2000)], "status": "ok"},
    "a forbidden value under another key": {"data": 1, "state": "error"},
    "a longer value": {"data": 1, "status": "error-free"},
    "brackets in strings": {"other": '}]{[\\"', "data": "{{"},
}


@pytest.mark.parametrize("document", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_200_of_wrong_content_is_an_error(document: object, indent: int | None) -> None:
    assert judge_of().error_of(answered(json.dumps(document, indent=indent).encode())) == "content"


@pytest.mark.parametrize("document", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("indent", [None, 1])
def test_content_that_only_looks_wrong_is_a_success(document: object, indent: int | None) -> None:
    assert judge_of().error_of(answered(json.dumps(document, indent=indent).encode())) is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"<html>", b"[" * 100_000], ids=repr)
def test_what_is_no_json_is_an_error(body: bytes) -> None:
    assert judge_of().error_of(answered(body)) == "content"


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("slash", ["/", r"\/"])
def test_a_forbidden_value_is_found_in_any_usual_spelling(ensure_ascii: bool, slash: str) -> None:
    expect = Expect(keys=("größe",), forbid={"zustand": "gestört/aus"})
    text = json.dumps({"größe": 1, "zustand": "gestört/aus"}, ensure_ascii=ensure_ascii).replace("/", slash)
    assert judge_of(expect).error_of(answered(text.encode())) == "content"


@pytest.mark.parametrize(
    ("said", "error"),
    [(True, None), (1, "content"), (1.0, "content"), (10, None), ("1", None), (None, None), ([1], None)],
)
def test_a_forbidden_number_is_that_number_and_nothing_like_it(said: object, error: str | None) -> None:
    judge = judge_of(Expect(forbid={"code": 1}))
    assert judge.error_of(answered(json.dumps({"code": said}).encode())) == error


LONG = b"7" * 5000
ODD = {
    "a byte-order mark": b"\xef\xbb\xbf{",
    "NaN": b'{"load": NaN, "rest": -Infinity, ',
    "a lone surrogate": b'{"name": "\\ud800", ',
    "an integer of 5,000 digits": b'{"digits": ' + LONG + b", ",
    "NaN and an integer of 5,000 digits": b'{"load": NaN, "digits": ' + LONG + b", ",
    "a number beyond any float": b'{"large": 1e400, ',
    "500 lists in each other": b'{"deep": ' + b"[" * 500 + b"]" * 500 + b", ",
}


@pytest.mark.parametrize("opening", ODD.values(), ids=ODD)
def test_json_that_not_every_parser_takes_is_judged_by_its_keys(opening: bytes) -> None:
    assert judge_of().error_of(answered(opening + b'"data": 1, "status": "ok"}')) is None
    assert judge_of().error_of(answered(opening + b'"other": 1}')) == "content"
    assert judge_of().error_of(answered(opening + b'"data": 1, "status": "error"}')) == "content"


def test_json_nested_too_deep_to_be_read_is_an_error_and_no_crash() -> None:
    assert judge_of().error_of(answered(b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}")) == "content"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
def test_json_in_another_encoding_of_unicode_is_read(encoding: str) -> None:
    assert judge_of().error_of(answered(WELL.decode().encode(encoding))) is None


@pytest.mark.parametrize("said", [LONG, b"1e400", b"{}", b'["error"]', b"NaN"], ids=lambda said: said[:8])
def test_a_value_that_no_target_file_can_forbid_is_allowed(said: bytes) -> None:
    assert judge_of().error_of(answered(b'{"data": 1, "status": ' + said + b"}")) is None


@pytest.mark.parametrize(("first", "last", "error"), [("ok", "error", "content"), ("error", "ok", None)])
def test_of_a_key_that_comes_twice_the_last_counts(first: str, last: str, error: str | None) -> None:
    body = f'{{"data": 1, "status": "{first}", "status": "{last}"}}'
    assert judge_of().error_of(answered(body.encode())) == error


@pytest.mark.parametrize("bad", [b'"\xff"', b'{"a": 1,}', b"01", b"'a'", b'"a\nb"', b"tru"], ids=repr)
def test_a_body_damaged_far_behind_its_keys_is_an_error(bad: bytes) -> None:
    body = b'{"data": 1, "rows": [' + b"1, " * 5000 + bad + b"]}"
    assert judge_of().error_of(answered(body)) == "content"


def test_a_wrong_body_after_good_ones_is_an_error_at_once() -> None:
    judge, wrong = judge_of(), WELL.replace(b'"ok"', b'"error"')
    errors = [judge.error_of(answered(body)) for body in (WELL, WELL, wrong, WELL, wrong)]
    assert errors == [None, None, "content", None, "content"]


TEXTS = st.sampled_from(["data", "status", "error", '"data": 1', "}", "\\", "größe", "\ud800"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
EDITS = st.none() | st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 3))


def fits(body: bytes) -> bool:
    """What the standard library says of a body."""
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and "data" in document and document.get("status") != "error"


@settings(deadline=None)
@given(document=JSON | st.dictionaries(TEXTS, JSON, max_size=4), escaped=st.booleans(), edit=EDITS)
def test_every_body_is_judged_as_the_standard_library_reads_it(
    document: object, escaped: bool, edit: tuple[float, bytes, int] | None
) -> None:
    body = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    if edit is not None:
        where, new, dropped = edit
        at = int(where * len(body))
        body = body[:at] + new + body[at + dropped :]
    assert judge_of().error_of(answered(body)) == (None if fits(body) else "content")


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


ENCODERS = [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]


@pytest.mark.parametrize(("name", "encode"), ENCODERS, ids=["gzip", "x-gzip", "deflate", "deflate without a header"])
def test_an_encoded_body_is_judged_as_what_it_encodes(name: str, encode: Any) -> None:
    judge = judge_of()
    assert judge.error_of(answered(encode(WELL), Content_Encoding=name)) is None
    assert judge.error_of(answered(encode(b'{"other": 1}'), Content_Encoding=name)) == "content"
    assert judge.error_of(answered(encode(WELL)[:-9], Content_Encoding=name)) == "content"
    assert judge.error_of(answered(WELL, Content_Encoding=name)) == "content"


def test_an_encoded_body_is_not_unpacked_beyond_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MAX_ANSWER_BYTES", 1000)
    bomb = gzip.compress(b'{"data": "' + b"x" * 100_000 + b'"}')
    assert judge_of().error_of(answered(bomb, Content_Encoding="gzip")) == "content"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
def test_a_body_in_an_encoding_not_known_here_is_not_held_against_the_server(encoding: str) -> None:
    judge = judge_of()
    assert judge.error_of(answered(b"packed", Content_Encoding=encoding)) is None
    assert judge.error_of(answered(b"packed", status=500, Content_Encoding=encoding)) == "status"
    assert judge.error_of(answered(b"packed", content_type="text/html", Content_Encoding=encoding)) == "content"
    assert judge.error_of(answered(b"packed")) == "content"


def test_a_body_that_cannot_be_judged_is_told() -> None:
    judge, exchange = judge_of(), answered(b"packed", Content_Encoding="dcb")
    assert (judge.error_of(exchange), exchange.reason) == (None, "content not checked (dcb)")


@pytest.mark.parametrize("codec", ["brotli", "zstd"])
def test_brotli_and_zstandard_are_judged_as_what_they_encode(codec: str) -> None:
    name, judge = {"brotli": "br"}.get(codec, codec), judge_of()

    def packed(body: bytes) -> bytes:
        return bytes(pa.Codec(codec).compress(body, asbytes=True))

    well = answered(packed(WELL), Content_Encoding=name)
    assert (judge.error_of(well), well.reason) == (None, "")
    assert judge.error_of(answered(packed(b'{"other": 1}'), Content_Encoding=name)) == "content"


REASONS = {
    "is text/html, not application/json": answered(content_type="text/html; charset=utf-8"),
    "is without a content type, not application/json": answered(content_type=""),
    "expected key 'data' is missing; there are 'detail', 'code'": answered(b'{"detail": "x", "code": 1}'),
    "expected key 'data' is missing; there is 'detail'": answered(b'{"detail": "x"}'),
    "expected key 'data' is missing; there are none": answered(b"{}"),
    "expected key 'data' is missing; there are '0', '1', '2', '3', '4', 4 more": answered(
        json.dumps({str(number): 0 for number in range(9)}).encode()
    ),
    "status is 'error'": answered(b'{"data": 1, "status": "error"}'),
    "is JSON, but no object": answered(b'[{"data": 1}]'),
    "is no JSON": answered(b"<html>"),
    "is empty": answered(b""),
    "is JSON nested too deep to be read": answered(b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "is no valid gzip": answered(WELL, Content_Encoding="gzip"),
}


@pytest.mark.parametrize(("reason", "exchange"), REASONS.items(), ids=REASONS)
def test_a_wrong_answer_says_what_is_wrong(reason: str, exchange: Exchange) -> None:
    assert (judge_of().error_of(exchange), exchange.reason) == ("content", reason)


def test_a_reason_holds_no_value_of_the_body_and_no_control_character() -> None:
    exchange = answered(json.dumps({"a" * 500: "s3cret", "\x1b[31m": "s3cret"}).encode())
    assert judge_of().error_of(exchange) == "content"
    assert "s3cret" not in exchange.reason
    assert exchange.reason.isprintable()
    assert len(exchange.reason) < 200


@pytest.mark.parametrize("content_type", ["application/hal+json", "Application/Problem+JSON; charset=utf-8"])
def test_a_type_that_is_made_of_json_is_json(content_type: str) -> None:
    assert judge_of().error_of(answered(content_type=content_type)) is None
    assert judge_of(Expect(content_type="text/html")).error_of(answered(content_type=content_type)) == "content"


def test_parameters_of_the_expected_type_do_not_matter_either() -> None:
    assert judge_of(Expect(content_type="Application/JSON; charset=UTF-8")).error_of(answered()) is None


@pytest.mark.parametrize("charset", ["iso-8859-1", '"ISO-8859-1"', "windows-1252", "utf-16", "shift_jis"])
def test_json_in_the_charset_that_it_tells_is_read(charset: str) -> None:
    text = '{"data": "ｱ"}' if charset == "shift_jis" else '{"data": "Müller"}'
    body = text.encode(charset.strip('"'))
    assert judge_of().error_of(answered(body, content_type=f"application/json; charset={charset}")) is None


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset", "hex", "ascii", ""])
def test_json_that_does_not_fit_its_charset_is_an_error(charset: str) -> None:
    body = '{"data": "Müller"}'.encode("latin-1")
    assert judge_of().error_of(answered(body, content_type=f"application/json; charset={charset}")) == "content"


def test_an_endpoint_without_expected_keys_takes_any_body() -> None:
    assert judge_of(Expect(status=200)).error_of(answered(b"<html>")) is None


@pytest.mark.parametrize(("value", "cold"), [("MISS", True), ("miss", True), ("HIT", False)])
def test_a_cold_answer_shows_in_its_header(value: str, cold: bool) -> None:
    judge = judge_of(cold=Cold(header="X-Cache", equals="Miss"))
    assert judge.is_cold(answered(x_cache=value)) is cold
    assert not judge.is_cold(answered())


DEEP = b'{"data": {"items": [{"id": 7, "a/b": {"c~d": 1}}], "none": null}, "data.flat": 1, "errors": []}'
STATUSES: list[tuple[Any, int, bool]] = [
    (200, 200, True),
    ("2xx", 299, True),
    ("2xx", 300, False),
    ([200, 304, "4xx"], 304, True),
    ([200, 304, "4xx"], 451, True),
    ([200, 304, "4xx"], 201, False),
]


@pytest.mark.parametrize(("said", "status", "fits"), STATUSES, ids=repr)
def test_a_status_fits_a_number_a_class_or_one_of_a_list(said: Any, status: int, fits: bool) -> None:
    assert judge_of(Expect(status=said)).error_of(answered(status=status)) == (None if fits else "status")


@pytest.mark.parametrize("said", [None, 404])
def test_what_the_target_allows_is_the_default_of_an_endpoint_that_says_no_status(said: Any) -> None:
    whole = {"name": "t", "base_url": "http://h", "allowed_status": ["2xx", 304]}
    target = Target.parse({**whole, "endpoints": [{"path": "/", "expect": {"status": said}}]}, "t")
    judge = Judge(target.with_defaults(target.endpoints[0]))
    errors = [judge.error_of(answered(status=status)) for status in (201, 304, 404)]
    assert errors == ([None, None, "status"] if said is None else ["status", "status", None])


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        ((200, 404), 404, None),  # another answer, another content
        ((200, 304), 304, None),
        ((200, 204), 204, None),
        ("2xx", 204, "content"),
        ((200, 201), 201, "content"),
        (404, 404, "content"),
        (("4xx", "5xx"), 500, "content"),
    ],
)
def test_content_is_asked_of_the_successes_among_the_allowed_statuses(
    said: Any, status: int, error: str | None
) -> None:
    judge = judge_of(Expect(status=said, keys=("data",)))
    assert judge.error_of(answered(b"{}", status)) == error


THERE = (
    *("data", "data.items", "data.items.0.id", "data.flat", "data.none", "errors"),
    *("/data", "/data/items", "/data/items/0/id", "/data/items/0/a~1b/c~0d", "/data.flat"),
)


@pytest.mark.parametrize("key", THERE)
def test_a_key_may_be_a_name_a_dotted_path_or_a_json_pointer(key: str) -> None:
    for body in (DEEP, DEEP.replace(b"7", b"NaN")):  # the second one is read by another parser
        assert judge_of(Expect(keys=(key,))).error_of(answered(body)) is None


@pytest.mark.parametrize("key", ["/0/id", "0.id"])
def test_a_path_leads_into_a_list_at_the_top_level(key: str) -> None:
    judge = judge_of(Expect(keys=(key,)))
    assert judge.error_of(answered(b'[{"id": 1}]')) is None
    assert judge.error_of(empty := answered(b"[]")) == "content"
    assert empty.reason == f"expected key {key!r} is missing; it is a list of 0"


MISSING = {
    "data.other": "in 'data' there are 'items', 'none'",
    "data.items.1.id": "'data.items' is a list of 1",
    "/data/items/00": "'data.items' is a list of 1",
    "/data/items/-1": "'data.items' is a list of 1",
    "data.none.id": "'data.none' is null",
    "data.items.0.id.x": "'data.items.0.id' is a number",
    "/other/x": "there are 'data', 'data.flat', 'errors'",
}


@pytest.mark.parametrize(("key", "instead"), MISSING.items(), ids=MISSING)
def test_a_missing_path_says_what_stands_in_its_place(key: str, instead: str) -> None:
    exchange = answered(DEEP)
    assert judge_of(Expect(keys=(key,))).error_of(exchange) == "content"
    assert exchange.reason == f"expected key {key!r} is missing; {instead}"


@pytest.mark.parametrize(("place", "value"), [("data.items.0.id", 7), ("/data/items/0/id", 7), ("data.flat", 1)])
def test_a_forbidden_value_may_stand_at_a_path(place: str, value: int) -> None:
    assert judge_of(Expect(forbid={place: value})).error_of(exchange := answered(DEEP)) == "content"
    assert exchange.reason == f"{place} is {value}"
    assert judge_of(Expect(forbid={place: value + 1})).error_of(answered(DEEP)) is None


@pytest.mark.parametrize("said", ["null", "[]", "[ ]", "{}", None])
@pytest.mark.parametrize("place", ["errors", "/result/errors"])
def test_what_is_missing_null_or_empty_is_absent(said: str | None, place: str) -> None:
    inner = '"data": 1' + (f', "errors": {said}' if said else "")
    body = f'{{"result": {{{inner}}}, {inner}}}'
    assert judge_of(Expect(absent=(place,))).error_of(answered(body.encode())) is None


@pytest.mark.parametrize(
    ("said", "kind"),
    [('[{"message": "s3cret"}]', "a list of 1"), ('"s3cret"', "text"), ("0", "a number"), ("false", "true or false")],
)
def test_graphql_that_answers_200_with_errors_has_failed(said: str, kind: str) -> None:
    exchange = answered(f'{{"data": null, "errors": {said}}}'.encode())
    assert judge_of(Expect(keys=("data",), absent=("errors",))).error_of(exchange) == "content"
    assert exchange.reason == f"'errors' is {kind}, and should be absent"


CHARSETS = [("utf-8", "; charset=utf-8"), ("latin-1", "; charset=ISO-8859-1"), ("utf-16", "; charset=utf-16")]


@pytest.mark.parametrize(
    ("codec", "told"), [*CHARSETS, ("utf-8-sig", ""), ("utf-16", ""), ("latin-1", ""), ("utf-8", "")]
)
def test_a_text_is_looked_for_in_any_charset(codec: str, told: str) -> None:
    judge, page = judge_of(Expect(contains="Größe")), "<p>Größe: 7</p>".encode(codec)
    assert judge.error_of(answered(page, content_type=f"text/html{told}")) is None
    assert judge.error_of(other := answered(page[:6], content_type=f"text/html{told}")) == "content"
    assert other.reason == "does not contain 'Größe'"


def test_a_text_and_a_size_are_those_of_the_unpacked_body() -> None:
    judge, packed = judge_of(Expect(contains="xxx", min_bytes=1000, max_bytes=2000)), gzip.compress(b"x" * 1500)
    assert len(packed) < 100
    assert judge.error_of(answered(packed, Content_Encoding="gzip")) is None


@pytest.mark.parametrize(
    ("size", "reason"), [(9, "has 9 bytes, not 10 or more"), (10, ""), (20, ""), (21, "has 21 bytes, not 20 or less")]
)
def test_a_body_has_its_bounds(size: int, reason: str) -> None:
    exchange = answered(b"x" * size)
    error = judge_of(Expect(min_bytes=10, max_bytes=20)).error_of(exchange)
    assert (error, exchange.reason) == ("content" if reason else None, reason)
