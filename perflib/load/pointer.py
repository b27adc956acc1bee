"""JSON pointers (RFC 6901): a value within an answer."""

from typing import Any


def value_at(document: Any, pointer: str) -> Any:
    """The value that a pointer leads to; None: there is none.

    >>> value_at({"data": [{"id": 7}]}, "/data/0/id")
    7
    """
    if not pointer:
        return None
    found = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isdecimal() and len(key) < 10 and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found
