"""Where a value stands in a JSON document: by a name, a dotted path, or a JSON pointer (RFC 6901)."""

from functools import lru_cache


@lru_cache(1024)
def steps_of(place: str) -> tuple[str, ...]:
    """The keys and indices that lead there.

    >>> steps_of("data"), steps_of("rows.0.id"), steps_of("/a~1b/c.d")
    (('data',), ('rows', '0', 'id'), ('a/b', 'c.d'))
    """
    if place.startswith("/"):
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in place[1:].split("/"))
    return tuple(place.split("."))
