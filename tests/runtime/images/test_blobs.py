"""Blobs are whole or not there, and are what their names say."""

from __future__ import annotations

import hashlib
import io
import os

import pytest

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.store.data_root import DataRoot

DATA = b"some content" * 100_000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def blobs(data_root: DataRoot) -> BlobStore:
    return BlobStore(data_root)


def kept(data_root: DataRoot) -> tuple[list[str], list[str]]:
    return os.listdir(data_root.blobs), os.listdir(data_root.scratch)


def test_what_is_put_is_got(data_root: DataRoot, blobs: BlobStore) -> None:
    assert blobs.put(io.BytesIO(DATA)) == DIGEST
    assert blobs.put(io.BytesIO(DATA), digest=DIGEST, size=len(DATA)) == DIGEST
    assert kept(data_root) == ([DIGEST[7:]], [])
    assert (blobs.has(DIGEST), blobs.size(DIGEST), list(blobs.digests())) == (
        True,
        len(DATA),
        [DIGEST],
    )
    with blobs.open(DIGEST) as reader:
        assert b"".join(iter(lambda: reader.read(70_000), b"")) == DATA
    with blobs.open(DIGEST) as reader:
        assert reader.read() == DATA


def test_row32_another_content_than_promised_leaves_nothing(
    data_root: DataRoot, blobs: BlobStore
) -> None:
    flipped = b"S" + DATA[1:]
    for data, size, words in (
        (flipped, len(DATA), "damaged"),
        (DATA[:-1], len(DATA), "were promised"),
        (DATA + b"x", len(DATA), "promised"),
    ):
        with pytest.raises(RemoteFailed, match=words):
            blobs.put(io.BytesIO(data), digest=DIGEST, size=size)
    assert kept(data_root) == ([], [])


def test_row32_no_more_than_promised_is_read(blobs: BlobStore) -> None:
    class Endless:
        count = 0

        def read(self, size: int = -1, /) -> bytes:
            self.count += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(RemoteFailed, match="promised"):
        blobs.put(endless, size=1000)
    assert endless.count < 4 << 20


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "../x", "sha512:" + "0" * 64])
def test_row32_what_is_no_digest_never_becomes_a_path(blobs: BlobStore, digest: str) -> None:
    for action in (blobs.open, blobs.has, blobs.size, blobs.delete, blobs.path):
        with pytest.raises(InvalidInput, match="invalid digest"):
            action(digest)
    with pytest.raises(InvalidInput, match="invalid digest"):
        blobs.put(io.BytesIO(b""), digest=digest)


def test_damage_on_disk_is_found_while_reading(data_root: DataRoot, blobs: BlobStore) -> None:
    blobs.put(io.BytesIO(DATA))
    os.truncate(data_root.blobs / DIGEST[7:], 1000)
    with blobs.open(DIGEST) as reader:
        assert reader.read(1000) == DATA[:1000]
        with pytest.raises(RemoteFailed, match="damaged"):
            reader.read(1000)
    with blobs.open(DIGEST) as reader, pytest.raises(RemoteFailed, match="damaged"):
        reader.read()


def test_a_writer_that_is_not_committed_leaves_nothing(
    data_root: DataRoot, blobs: BlobStore
) -> None:
    with blobs.writer() as writer:
        writer.write(DATA)
    assert kept(data_root) == ([], [])


def test_deleting_tells_the_bytes_and_is_idempotent(blobs: BlobStore) -> None:
    blobs.put(io.BytesIO(DATA))
    assert (blobs.delete(DIGEST), blobs.delete(DIGEST)) == (len(DATA), 0)
    assert not blobs.has(DIGEST)
    assert blobs.age(DIGEST) == 0
    for action in (blobs.open, blobs.size):
        with pytest.raises(NotFound, match="No such blob"):
            action(DIGEST)
