"""Saving: values of an answer that later requests ask with."""

from collections.abc import Mapping
from typing import Any

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.document import NOWHERE, document_of, opened, value_at
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange


def save(exchange: Exchange, pointers: Mapping[str, str]) -> None:
    """Keep the values at JSON pointers in the exchange; an answer that lacks one has failed."""
    found = values_in(exchange, pointers)
    missing = next((name for name, value in found.items() if not isinstance(value, str | int | float)), None)
    if missing is None:
        exchange.saved = found
    else:
        exchange.error, exchange.reason = "content", f"has no value to save at {pointers[missing]}"


def values_in(exchange: Exchange, pointers: Mapping[str, str]) -> dict[str, Any]:
    """The values of an answer at JSON pointers, by their names; None: it has none."""
    try:
        codings = codings_of(exchange.header(b"content-encoding") or b"")
        body = decoded(exchange.content, codings, MAX_ANSWER_BYTES)
    except (DamagedError, UncheckedError):
        body = b""
    document = document_of(body, exchange.header(b"content-type") or b"")
    found = {name: value_at({} if isinstance(document, str) else document, at) for name, at in pointers.items()}
    return {name: None if value is NOWHERE else opened(value) for name, value in found.items()}
