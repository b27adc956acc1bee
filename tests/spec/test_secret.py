"""A secret is struck out of any text, however it is written there."""

import base64
import html
import json
import urllib.parse

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perflib.spec.secret import Strike

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=6, max_size=40)
WAYS = {
    "as it is": str,
    "in a URL": lambda secret: urllib.parse.quote(secret, safe=""),
    "in a URL, in small letters": lambda secret: urllib.parse.quote(secret, safe="").lower(),
    "in a form": urllib.parse.quote_plus,
    "in a URL in a URL": lambda secret: urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe=""),
    "each character escaped": lambda secret: "".join(f"%{ord(char):02X}" for char in secret),
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON in JSON": lambda secret: json.dumps(json.dumps(secret))[3:-3],
    "in JSON by number": lambda secret: "".join(f"\\u{ord(char):04x}" for char in secret),
    "in JSON with slashes escaped": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "in Python": lambda secret: repr(secret)[1:-1],
    "in HTML": html.escape,
    "in HTML by number": lambda secret: "".join(f"&#{ord(char)};" for char in secret),
    "in HTML twice": lambda secret: html.escape(html.escape(secret)),
}


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None)
@given(secret=PRINTABLE)
@example(secret=r"00\X00ab")
@example(secret=r"secret/\u0041b")
def test_no_spelling_of_a_secret_remains(way: str, secret: str) -> None:
    spelled = WAYS[way](secret)
    assert Strike([secret])(f"é<{spelled}>é") == "é<***>é"


@settings(deadline=None)
@given(secret=PRINTABLE, before=st.integers(0, 4), after=st.text(max_size=4))
def test_what_a_secret_alone_decides_of_a_base64_text_does_not_remain(secret: str, before: int, after: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        coded = encode(b" " * before + secret.encode() + after.encode()).decode()
        left = Strike([secret])(f"<{coded}>")
        assert "***" in left
        assert sum(char.isalnum() for char in left) <= 4 * (before + len(after.encode()) + 2)
        assert all(coded[at : at + 8] not in left for at in range(4 * before, len(coded) - 8 - 4 * len(after.encode())))


@settings(deadline=None)
@given(secret=PRINTABLE.filter(lambda text: "*" not in text), cut=st.integers(0, 60), filling=st.sampled_from("·é€"))
def test_a_cut_through_a_secret_leaves_no_part_of_it(secret: str, cut: int, filling: str) -> None:
    text = f"{filling * 20}{secret}{filling * 20}"
    after = min(20, max(0, cut - 20 - len(secret)))
    assert Strike([secret])(text, cut) == filling * min(cut, 20) + "***" * (cut > 20) + filling * after


def test_text_that_holds_no_secret_stays_as_it_is() -> None:
    assert Strike([])("any text") == "any text"
    assert Strike(["a-secret", ""])("any text, a-secre") == "any text, a-secre"


def test_a_long_secret_and_a_text_made_to_be_slow_to_search_take_no_time() -> None:
    strike = Strike(["-\\" * 200, "a" * 500])
    assert strike("\\" * 3000 + "-\\" * 199 + "%25" * 3000 + "&amp;" * 3000 + "a" * 499).count("***") == 0
