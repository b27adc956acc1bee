"""Places in a JSON body lead where RFC 6901 says, however the body is written."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perflib.load.document import NOWHERE, document_of, opened, value_at

NAMES = st.text(st.sampled_from('a~/.0"é \\'), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def pointers(value: Any, at: str = "") -> dict[str, Any]:
    """All that a document holds, by the pointer to it: the RFC's own rule, applied from the top."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {at: value} if at else {}
    for key, one in inner:
        found |= pointers(one, f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return found


@settings(deadline=None)
@given(document=st.dictionaries(NAMES, JSON) | st.lists(JSON), indent=st.sampled_from([None, 1]), plain=st.booleans())
def test_every_pointer_leads_to_its_value(document: Any, indent: int | None, plain: bool) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=plain).encode()
    read = document_of(body, b"")
    assert isinstance(read, dict | list)
    for pointer, value in pointers(document).items():
        if not (isinstance(document, dict) and pointer in document):  # a key of this very name comes first
            found = opened(value_at(read, pointer))
            assert isinstance(found, type(value))
            assert len(found) == len(value) if isinstance(value, dict | list) else found == value
        assert value_at(read, f"{pointer}/no such key") is NOWHERE
