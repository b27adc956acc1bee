"""Saving: values of an answer that later requests ask with."""

from collections.abc import Mapping
from typing import Any

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.document import document_of, opened, value_at
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange


def save(exchange: Exchange, pointers: Mapping[str, str]) -> None:
    """Keep the values at JSON pointers in the exchange; an answer that lacks one has failed."""
    found = values_in(exchange, pointers)
    missing = next((name for name in pointers if not isinstance(found[name], str | int | float)), None)
    if missing is None:
        exchange.saved = found
    else:
        exchange.error, exchange.reason = "content", f"has no value to save at {pointers[missing]}"


def values_in(exchange: Exchange, pointers: Mapping[str, str]) -> dict[str, Any]:
    """What stands at each of the JSON pointers in an answer; None for nothing, or an object."""
    body, document = b"".join(exchange.body), None
    try:
        codings = codings_of(exchange.header(b"content-encoding") or b"")
        document = document_of(decoded(body, codings, MAX_ANSWER_BYTES), exchange.header(b"content-type") or b"")
    except (DamagedError, UncheckedError):
        pass
    if not isinstance(document, dict | list):
        return dict.fromkeys(pointers)
    places = {name: opened(value_at(document, pointer)) for name, pointer in pointers.items()}
    return {name: value if isinstance(value, str | int | float) else None for name, value in places.items()}
