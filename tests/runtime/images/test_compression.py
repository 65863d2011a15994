"""Compressed streams of all kinds become the same bytes, in bounded pieces."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.compression import CHUNK, decompressed


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
}
compressors = pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS.keys())


class Dribble:
    """A stream that gives at most `size` bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._stream = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(self._size if size < 0 else min(size, self._size))


def plain(data: bytes, piece: int = 1 << 20) -> bytes:
    return b"".join(decompressed(Dribble(data, piece)))


@compressors
def test_contents_come_back_however_they_arrive(compress: Callable[[bytes], bytes]) -> None:
    data = b"".join(b"%d" % n for n in range(20_000))
    for piece in (1, 7, 4096, 1 << 20):
        assert plain(compress(data), piece) == data


@compressors
def test_chunks_are_bounded(compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(20 << 20))
    chunks = list(decompressed(io.BytesIO(bomb)))
    assert max(map(len, chunks)) <= CHUNK
    assert min(map(len, chunks)) > 0
    assert sum(map(len, chunks)) == 20 << 20


@compressors
def test_nothing_is_nothing(compress: Callable[[bytes], bytes]) -> None:
    assert plain(compress(b"")) == b""


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2", "zstd"])
def test_members_in_a_row_are_one_stream(name: str) -> None:
    compress = COMPRESSORS[name]
    parts = [b"one", b"", b"two" * 1000, b"three"]
    data = b"".join(map(compress, parts))
    for piece in (1, 1000):
        assert plain(data, piece) == b"".join(parts)


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2"])
def test_zeros_after_the_last_member_are_padding(name: str) -> None:
    assert plain(COMPRESSORS[name](b"data") + bytes(700)) == b"data"


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2"])
def test_what_is_cut_off_or_damaged_is_refused(name: str) -> None:
    whole = COMPRESSORS[name](bytes(range(256)) * 50)
    with pytest.raises(InvalidInput, match="ends early"):
        plain(whole[:-9])
    with pytest.raises(InvalidInput, match="damaged"):
        plain(whole[:40] + bytes(20) + whole[60:])
    with pytest.raises(InvalidInput, match="damaged"):
        plain(whole + b"garbage behind it")


def test_damaged_zstd_is_refused() -> None:
    whole = zstd(bytes(range(256)) * 50)
    with pytest.raises(InvalidInput, match="damaged"):
        plain(whole[:8] + b"\xff" * 8 + whole[16:])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"]), st.binary())
def test_any_bytes_are_decoded_or_refused(magic: bytes, rest: bytes) -> None:
    try:
        plain(magic + rest)
    except InvalidInput:
        pass


def test_raw_deflate_is_not_guessed() -> None:
    data = zlib.compress(b"data")
    assert plain(data) == data
