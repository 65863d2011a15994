"""Compression by threads, judged by Python's gzip."""

from __future__ import annotations

import gzip
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.images.gzip import BLOCK, GzipWriter


def compressed(*pieces: bytes, threads: int = 2) -> bytes:
    out = io.BytesIO()
    with GzipWriter(out, threads=threads) as writer:
        for piece in pieces:
            writer.write(piece)
    return out.getvalue()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=300)))
def test_it_comes_back_as_it_was(pieces: list[bytes]) -> None:
    assert gzip.decompress(compressed(*pieces)) == b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 7])
def test_at_the_edges_of_blocks(size: int) -> None:
    data = (os.urandom(1000) + bytes(3000)) * (size // 4000 + 1)
    assert gzip.decompress(compressed(data[:size])) == data[:size]


def test_the_bytes_depend_on_the_contents_only() -> None:
    data = os.urandom(1000) * 3000
    expected = compressed(data, threads=1)
    assert compressed(data, threads=4) == expected
    assert compressed(*(data[n : n + 999] for n in range(0, len(data), 999))) == expected


def test_it_is_small() -> None:
    assert len(compressed(bytes(10 * BLOCK))) < BLOCK // 20


def test_an_error_leaves_the_stream_unfinished() -> None:
    out = io.BytesIO()

    def broken() -> None:
        with GzipWriter(out) as writer:
            writer.write(b"x" * BLOCK * 2)
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    with pytest.raises(EOFError):
        gzip.decompress(out.getvalue())
