"""Saving: values of an answer that later steps of a journey ask with."""

from collections.abc import Mapping
from typing import Any

from msgspec import DecodeError
from msgspec.json import decode

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded
from perflib.load.exchange import MAX_ANSWER_BYTES, Exchange
from perflib.load.pointer import value_at


def save(exchange: Exchange, pointers: Mapping[str, str]) -> None:
    """Keep the values at JSON pointers in the exchange; an answer that lacks one has failed."""
    document = document_of(exchange)
    found = {name: value_at(document, pointer) for name, pointer in pointers.items()}
    missing = next((name for name, value in found.items() if not isinstance(value, str | int | float)), None)
    if missing is None:
        exchange.saved = found
    else:
        exchange.error, exchange.reason = "content", f"has no value to save at {pointers[missing]}"


def document_of(exchange: Exchange) -> Any:
    """The JSON of an answer; None: it has none."""
    try:
        codings = codings_of(exchange.header(b"content-encoding") or b"")
        return decode(decoded(b"".join(exchange.body), codings, MAX_ANSWER_BYTES))
    except (DecodeError, DamagedError, UncheckedError, UnicodeDecodeError):
        return None
