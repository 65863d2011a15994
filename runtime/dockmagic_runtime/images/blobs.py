"""`BlobStore`: bytes under their digest, as registries and OCI layouts exchange them.

A blob is written to a temporary file while it is hashed and takes its name by a rename, so what
has the name is whole. There is no fsync: a blob can be fetched again, and `open` verifies while
it reads, so a file that a power failure cut short is found out and not passed on.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from dockmagic_runtime.errors import NotFound, RemoteFailed
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.model.reference import digest_hex, is_digest
from dockmagic_runtime.store.area import Area

_CHUNK: Final = 1 << 20


class BlobStore:
    """The blobs of one Docker area. Safe for several processes: same name, same bytes."""

    def __init__(self, area: Area) -> None:
        self._directory = str(area.blobs)
        self._scratch = str(area.scratch)

    def put(self, stream: Readable, *, digest: str = "", size: int | None = None) -> str:
        """Keep everything `stream` has; its digest.

        Idempotent. Raises RemoteFailed, and keeps nothing, if it is not what `digest` and `size`
        promise; more than `size` bytes are not even read.
        """
        with self.writer(digest=digest, size=size) as writer:
            while chunk := stream.read(_CHUNK):
                writer.write(chunk)
            return writer.commit()

    def writer(
        self, *, digest: str = "", size: int | None = None, hashed: bool = True
    ) -> BlobWriter:
        """For who pushes the bytes: `write` and then `commit`, inside a `with`.

        Not `hashed`: whoever commits knows the digest, and it is not computed twice.
        """
        if digest:
            digest_hex(digest)
        fd, path = tempfile.mkstemp(prefix="blob-", dir=self._scratch)
        return BlobWriter(self, fd, path, digest, size, hashed=hashed)

    def open(self, digest: str) -> BlobReader:
        """A reader that verifies. Raises NotFound."""
        try:
            return BlobReader(io.FileIO(self.path(digest)), digest)
        except FileNotFoundError:
            raise NotFound(f"No such blob: {digest}") from None

    def path(self, digest: str) -> str:
        """Where a blob is or would be. Raises InvalidInput for what is no digest."""
        return f"{self._directory}/{digest_hex(digest)}"

    def has(self, digest: str) -> bool:
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"No such blob: {digest}") from None

    def age(self, digest: str) -> float:
        """Seconds since it was brought; 0 if it is not there."""
        try:
            return time.time() - os.stat(self.path(digest)).st_mtime
        except FileNotFoundError:
            return 0.0

    def delete(self, digest: str) -> int:
        """The bytes it took; 0 if it was not there."""
        try:
            size = os.stat(self.path(digest)).st_size
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size

    def digests(self) -> Iterator[str]:
        for name in os.listdir(self._directory):
            if is_digest(f"sha256:{name}"):
                yield f"sha256:{name}"


class BlobWriter:
    """One blob on its way in. Leaving the `with` without `commit` removes what was written."""

    def __init__(
        self,
        store: BlobStore,
        fd: int,
        path: str,
        digest: str,
        size: int | None,
        *,
        hashed: bool = True,
    ) -> None:
        self._store = store
        self._file = io.FileIO(fd, "wb")
        self._path = path
        self._digest = digest
        self._expected = size
        self._hash = hashlib.sha256()
        self.hashed = hashed  # may be changed before the first write
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._expected is not None and self.size > self._expected:
            raise RemoteFailed(
                f"{self._digest or 'the blob'} has more than the {self._expected} bytes promised"
            )
        if self.hashed:
            self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]

    def commit(self, digest: str = "") -> str:
        """Check, and give it its name. The digest, which is `digest` where none was computed."""
        if self.hashed:
            digest = f"sha256:{self._hash.hexdigest()}"
        if self._expected not in (None, self.size):
            raise RemoteFailed(
                f"{self._digest or 'the blob'} has {self.size} bytes, "
                f"{self._expected} were promised"
            )
        if self._digest not in ("", digest):
            raise RemoteFailed(f"the content of {self._digest} is damaged: it hashes to {digest}")
        self._file.close()
        os.replace(self._path, self._store.path(digest))
        self._path = ""
        return digest

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._path:
            os.unlink(self._path)


class BlobReader:
    """Reads a blob; at its end, raises RemoteFailed if it is not what its name says."""

    def __init__(self, file: io.FileIO, digest: str) -> None:
        self._file = file
        self._digest = digest
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        if size < 0 or (size and not data):
            self._verify()
        return data

    def _verify(self) -> None:
        if f"sha256:{self._hash.hexdigest()}" != self._digest:
            raise RemoteFailed(
                f"the stored content of {self._digest} is damaged",
                hint="remove the image and pull it again",
            )

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
