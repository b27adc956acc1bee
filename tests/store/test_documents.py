"""Foreign JSON and YAML: read by the rules of JSON, and never at the price of more than their text."""

from typing import Any

import pytest

from perflib.store.documents import read_document

BOMB = b"a0: &a0 [1]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 30)
)
MERGES = b"a0: &a0 {x: 1}\n" + b"".join(
    b"a%d: &a%d {<<: [%s]}\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 300)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"a: on\nb: 2020-01-01\nc: 12:30\nd: 0x10", {"a": "on", "b": "2020-01-01", "c": "12:30", "d": "0x10"}),
        (b"200: ok\non: 1\n~: 2", {"200": "ok", "on": 1, "~": 2}),
        (b"a: 1\na: 2", {"a": 2}),
        (b"a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: *x", {"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": {"b": 1}}),
        (b'{a: [1, 1.5, "1", true, null, ~]} # YAML', {"a": [1, 1.5, "1", True, None, None]}),
        (b"a: 1\n---\nb: 2", {"a": 1}),
        (b'{"a": "\\ud800"}', {"a": "?"}),
    ],
)
def test_yaml_is_read_as_its_json_would_be(text: bytes, value: Any) -> None:
    assert read_document(text) == value


def test_aliases_of_aliases_take_no_more_room_than_their_text() -> None:
    assert len(read_document(BOMB)) == 30
    assert read_document(MERGES)["a299"] == {"x": 1}


@pytest.mark.parametrize(
    "text", [b"- " * 10**6, b"{a: " * 10**5, b"[" * 10**5, b"a: &a {b: *a}", b"a: *b", b"\t", b"\xff"]
)
def test_what_is_made_to_exhaust_a_reader_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^\S.*") as refused:
        read_document(text)
    assert str(refused.value).isprintable()
