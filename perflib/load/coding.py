"""Content codings: a body without them (RFC 9110, 8.4)."""

import gzip
import io
import zlib
from contextlib import suppress
from functools import lru_cache

_GZIP = zlib.MAX_WBITS + 16
_DEFLATE = (zlib.MAX_WBITS, -zlib.MAX_WBITS)  # servers send it with zlib's header and without
_GZIP_BEGIN = b"\x1f\x8b"
_ALIASES = {b"x-gzip": b"gzip", b"brotli": b"br", b"x-br": b"br", b"zst": b"zstd"}
_OF_ARROW = {b"br": "brotli", b"zstd": "zstd"}
_PIECE_BYTES = 65536


class DamagedError(Exception):
    """A body that is not what its coding says; the text tells in what way."""


class UncheckedError(Exception):
    """A body whose coding cannot be undone here; the text names the coding."""


@lru_cache(64)
def codings_of(header: bytes) -> tuple[bytes, ...]:
    """The codings in the order in which they were applied, "identity" left out.

    >>> codings_of(b"GZIP, br, identity")
    (b'gzip', b'br')
    """
    named = (one.strip().lower() for one in header.split(b","))
    return tuple(_ALIASES.get(one, one) for one in named if one not in (b"", b"identity"))


def decoded(body: bytes, codings: tuple[bytes, ...], most_bytes: int) -> bytes:
    """The body without its codings.

    Raises:
        DamagedError: where it is damaged, cut short, or larger than `most_bytes`.
        UncheckedError: for a coding that is unknown here, or is undone by a library that refuses it.
    """
    for coding in reversed(codings) if body else ():
        if coding == b"gzip":
            body = _gunzipped(body, most_bytes)
        elif coding == b"deflate":
            body = _inflated(body, most_bytes)
        else:
            body = _by_arrow(body, coding, most_bytes)
        if len(body) > most_bytes:
            raise DamagedError(f"unpacks to more than {most_bytes / 2**20:g} MiB")
    if codings and body.startswith(_GZIP_BEGIN):  # of a header that came twice, only the last value is here
        return decoded(body, (b"gzip",), most_bytes)
    return body


def _gunzipped(body: bytes, most_bytes: int) -> bytes:
    """All members (RFC 1952, 2.2). Zeros and anything else behind the last one are left out, as browsers do."""
    first = zlib.decompressobj(_GZIP)
    whole = _unpacked(first, body, most_bytes + 1, "gzip")
    if not first.unused_data.startswith(_GZIP_BEGIN):
        return whole
    pieces, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as members:
            while size <= most_bytes and (piece := members.read(_PIECE_BYTES)):
                pieces.append(piece)
                size += len(piece)
    except EOFError:
        raise DamagedError("its gzip is cut short") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        if "Not a gzipped file" not in str(error):
            raise DamagedError("is no valid gzip") from None
    return b"".join(pieces)


def _inflated(body: bytes, most_bytes: int) -> bytes:
    for bits in _DEFLATE[:-1]:
        with suppress(DamagedError):
            return _unpacked(zlib.decompressobj(bits), body, most_bytes + 1, "deflate")
    return _unpacked(zlib.decompressobj(_DEFLATE[-1]), body, most_bytes + 1, "deflate")


def _unpacked(unpacker: "zlib._Decompress", body: bytes, most_bytes: int, coding: str) -> bytes:
    try:
        whole = unpacker.decompress(body, most_bytes)
    except zlib.error:
        raise DamagedError(f"is no valid {coding}") from None
    if not unpacker.eof and len(whole) < most_bytes:
        raise DamagedError(f"its {coding} is cut short")
    return whole


def _by_arrow(body: bytes, coding: bytes, most_bytes: int) -> bytes:
    """What Arrow's streams unpack: Brotli, and Zstandard in frames with a size and without.

    What it refuses is not held against the server: a dictionary or a window that Arrow lacks looks like damage.
    """
    name = _OF_ARROW.get(coding)
    if name is None:
        raise UncheckedError(coding.decode("latin-1"))
    import pyarrow as pa  # only here: it takes a worker a tenth of a second

    pieces, size = [], 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), name) as stream:
            while size <= most_bytes and (piece := stream.read(_PIECE_BYTES)):
                pieces.append(piece)
                size += len(piece)
    except OSError:
        raise UncheckedError(coding.decode("latin-1")) from None
    return b"".join(pieces)
