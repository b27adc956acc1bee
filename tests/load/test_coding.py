"""Content codings: every legal form is undone, what is not known here is told, what is damaged says how."""

import gzip
import zlib

import pyarrow as pa
import pytest

from perflib.load.coding import DamagedError, UncheckedError, codings_of, decoded

J = b'{"data": [1, 2]}'
CAP = 2**20


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def brotli(body: bytes) -> bytes:
    packed: bytes = pa.Codec("brotli").compress(body, asbytes=True)
    return packed


def zstd(body: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(body, asbytes=True)
    return packed


def zstd_without_size(body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


LEGAL = {
    "gzip": (b"gzip", gzipped(J)),
    "GZIP": (b" GZIP ", gzipped(J)),
    "x-gzip": (b"x-gzip", gzipped(J)),
    "gzip of two members": (b"gzip", gzipped(J[:5]) + gzipped(J[5:])),
    "gzip, the first member empty": (b"gzip", gzipped(b"") + gzipped(J)),
    "gzip with trailing zeros": (b"gzip", gzipped(J) + b"\0" * 512),
    "gzip of two members with trailing zeros": (b"gzip", gzipped(J[:5]) + gzipped(J[5:]) + b"\0" * 512),
    "gzip with something behind it": (b"gzip", gzipped(J) + b"junk"),
    "deflate": (b"deflate", zlib.compress(J)),
    "deflate without zlib's header": (b"deflate", raw_deflate(J)),
    "br": (b"br", brotli(J)),
    "BR": (b"BR", brotli(J)),
    "zstd": (b"zstd", zstd(J)),
    "zstd of two frames": (b"zstd", zstd(J[:5]) + zstd(J[5:])),
    "zstd without a size": (b"zstd", zstd_without_size(J)),
    "zstd behind a skippable frame": (b"zstd", b"\x50\x2a\x4d\x18\4\0\0\0abcd" + zstd(J)),
    "gzip, br": (b"gzip, br", brotli(gzipped(J))),
    "br,gzip": (b"br,gzip", gzipped(brotli(J))),
    "gzip, gzip": (b"gzip, gzip", gzipped(gzipped(J))),
    "identity": (b"identity", J),
    "identity, gzip": (b"identity, gzip", gzipped(J)),
    "an empty list": (b" , ", J),
    "gzip below br, of which one header is left": (b"br", brotli(gzipped(J))),
}


@pytest.mark.parametrize(("header", "body"), LEGAL.values(), ids=LEGAL)
def test_a_legal_coding_is_undone(header: bytes, body: bytes) -> None:
    assert decoded(body, codings_of(header), CAP) == J


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, br", b"compress"])
def test_an_empty_body_is_an_empty_body(coding: bytes) -> None:
    assert decoded(b"", codings_of(coding), CAP) == b""


@pytest.mark.parametrize("coding", [b"compress", b"dcb", b"exi", b"utf-8", b"gzip, aes128gcm"])
def test_a_coding_that_is_unknown_here_is_told_by_its_name(coding: bytes) -> None:
    with pytest.raises(UncheckedError, match=codings_of(coding)[-1].decode()):
        decoded(J, codings_of(coding), CAP)


@pytest.mark.parametrize("coding", [b"br", b"zstd"])
def test_what_a_library_refuses_is_not_called_damaged(coding: bytes) -> None:
    with pytest.raises(UncheckedError, match=coding.decode()):
        decoded(b"packed", codings_of(coding), CAP)


@pytest.mark.parametrize(
    ("coding", "body", "how"),
    [
        (b"gzip", J, "is no valid gzip"),
        (b"gzip", gzipped(J)[:-9], "its gzip is cut short"),
        (b"gzip", gzipped(J) + gzipped(J)[:-9], "its gzip is cut short"),
        (b"gzip", gzipped(J)[:-6] + b"\0" * 6, "is no valid gzip"),
        (b"deflate", J, "is no valid deflate"),
        (b"deflate", zlib.compress(J)[:-9], "deflate"),
    ],
)
def test_a_damaged_body_says_how(coding: bytes, body: bytes, how: str) -> None:
    with pytest.raises(DamagedError, match=how):
        decoded(body, codings_of(coding), CAP)


BOMB = b"x" * (CAP + 1)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzipped(BOMB)),
        (b"gzip", gzipped(BOMB[:100]) + gzipped(BOMB)),
        (b"gzip", gzipped(BOMB[:1000]) * (CAP // 1000 + 1)),
        (b"deflate", raw_deflate(BOMB)),
        (b"br", brotli(BOMB)),
        (b"zstd", zstd(BOMB)),
        (b"gzip, br", brotli(gzipped(BOMB))),
    ],
)
def test_nothing_is_unpacked_beyond_the_cap(coding: bytes, body: bytes) -> None:
    with pytest.raises(DamagedError, match="more than 1 MiB"):
        decoded(body, codings_of(coding), CAP)


def test_a_body_of_just_the_cap_is_whole() -> None:
    for coding, body in ((b"gzip", gzipped(BOMB[1:])), (b"br", brotli(BOMB[1:])), (b"zstd", zstd(BOMB[1:]))):
        assert decoded(body, codings_of(coding), CAP) == BOMB[1:]
