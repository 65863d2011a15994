"""A layer's stream, written down as a blob while it is read.

A tar of another program cannot be packed again byte for byte, so it is kept as it came. One pass
does it all: of a plain tar the digest is the diff id, which unpacking computes anyway; only a
compressed stream is hashed here.
"""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.linux.closeable import Closing

TAR: Final = "application/vnd.oci.image.layer.v1.tar"
_KINDS: Final = {  # by magic number; OCI knows no layers in xz and bzip2
    b"\x1f\x8b": f"{TAR}+gzip",
    b"\x28\xb5\x2f\xfd": f"{TAR}+zstd",
    b"\xfd7zXZ\x00": f"{TAR}+xz",
    b"BZh": f"{TAR}+bzip2",
}
_LONGEST: Final = max(map(len, _KINDS))
_CHUNK: Final = 1 << 20


def media_type(head: bytes) -> str:
    """The media type of a layer that begins with these bytes."""
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), TAR)


class BlobTee(Closing):
    """Readable and a context manager. Without `commit`, nothing is kept.

    `digest` and `size` are what is promised of the stream, if anything.
    """

    def __init__(
        self, blobs: BlobStore, source: Readable, *, digest: str = "", size: int | None = None
    ) -> None:
        self._source = source
        self._writer = blobs.writer(digest=digest, size=size, hashed=False)
        self.media_type = ""

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        if not self.media_type:
            data = self._begin(data)
        self._writer.write(data)
        return data

    def _begin(self, data: bytes) -> bytes:
        while len(data) < _LONGEST and (piece := self._source.read(_LONGEST)):
            data += piece
        self.media_type = media_type(data)
        self._writer.hashed = self.media_type != TAR
        return data

    def commit(self, diff_id: str) -> str:
        """The blob's digest, once the stream turned out to be the tar `diff_id`."""
        while self.read(_CHUNK):
            pass  # what a decompressor has left is part of the blob
        return self._writer.commit(diff_id)

    def close(self) -> None:
        self._writer.close()
