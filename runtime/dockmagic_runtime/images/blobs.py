"""`BlobStore`: bytes under their digest, as registries and OCI layouts exchange them.

A blob is written to a temporary file while it is hashed and takes its name by a rename, so what
has the name is whole. There is no fsync: a blob can be fetched again, and `open` verifies while
it reads, so a file that a power failure cut short is found out and not passed on.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

from dockmagic_runtime.errors import NotFound, RemoteFailed
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.images.scratch_gc import PARTIAL, PIN, age_of
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.model.reference import digest_hex, is_digest
from dockmagic_runtime.store.data_root import DataRoot
from dockmagic_runtime.store.locks import held_file
from dockmagic_runtime.store.scratch import scratch_file

_CHUNK: Final = 1 << 20
_MARGIN: Final = 64 << 20


class BlobStore:
    """The blobs of one Docker area. Safe for several processes: same name, same bytes."""

    def __init__(self, data_root: DataRoot) -> None:
        self._directory = str(data_root.blobs)
        self._scratch = str(data_root.scratch)

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
        """A context manager for push-style writers: call `write`, then `commit`.

        Not `hashed`: the caller gives `commit` the digest, and it is not computed twice.
        """
        if digest:
            digest_hex(digest)
        fd, path = scratch_file(self._scratch, "blob")
        return BlobWriter(self, fd, path, digest, size, hashed=hashed)

    @contextmanager
    def partial(self, digest: str, pause: Callable[[float], object]) -> Iterator[BinaryIO]:
        """The partial download of `digest`, locked for this process and positioned at offset 0.

        Its bytes stay for the next attempt, also if this process is killed, until `complete` or
        `discard_partial`. `pause` waits for another process, as in `locks.held_file`.
        """
        with held_file(self._partial(digest), pause) as fd:
            try:
                yield cast("BinaryIO", io.FileIO(fd, "r+b", closefd=False))
            finally:
                if not os.fstat(fd).st_size and os.path.exists(self._partial(digest)):
                    self.discard_partial(digest)  # nothing came, or it was here already

    def complete(self, stream: Readable, digest: str, file: BinaryIO) -> str:
        """Appends `stream` to the partial download and publishes the blob; a pin, as from `pin`.

        `stream` must raise at its end unless all of it is `digest`.
        """
        file.seek(0, os.SEEK_END)
        while chunk := stream.read(_CHUNK):
            _write(file, chunk)
        pin = self._pin(self._partial(digest))
        os.replace(self._partial(digest), self.path(digest))
        return pin

    def pin(self, digest: str) -> str:
        """A second name for the blob, which it keeps when it is deleted; "" if it is not there.

        It protects a blob that is needed before a row names it. `unpin` removes the name.
        """
        try:
            return self._pin(self.path(digest))
        except FileNotFoundError:
            return ""

    def _pin(self, path: str) -> str:
        pin = f"{self._scratch}/{PIN}{os.urandom(8).hex()}"
        os.link(path, pin)
        return pin

    def restore(self, digest: str, pin: str) -> None:
        """Let a pinned blob have its own name again, if it was deleted."""
        try:
            os.link(pin, self.path(digest))
        except FileExistsError:
            pass  # it was not deleted

    @staticmethod
    def unpin(pin: str) -> None:
        os.unlink(pin)

    def discard_partial(self, digest: str) -> None:
        """Removes the partial download. Only inside `partial`."""
        os.unlink(self._partial(digest))

    def _partial(self, digest: str) -> str:
        return f"{self._scratch}/{PARTIAL}{digest_hex(digest)}"

    def open_raw(self, digest: str) -> io.FileIO:
        """A reader that does not verify: for contents with another check. Raises NotFound."""
        try:
            return io.FileIO(self.path(digest))
        except FileNotFoundError:
            raise NotFound(f"No such blob: {digest}") from None

    def open(self, digest: str) -> BlobReader:
        """A reader that verifies. Raises NotFound."""
        return BlobReader(self.open_raw(digest), digest)

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
        return age_of(self.path(digest))

    def delete(self, digest: str) -> int:
        """The bytes it took; 0 if it was not there."""
        try:
            size = os.stat(self.path(digest)).st_size
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size

    def free(self) -> int:
        """The bytes that the disk has left, but for a margin."""
        status = os.statvfs(self._directory)
        return max(status.f_bavail * status.f_frsize - _MARGIN, 0)

    def digests(self) -> Iterator[str]:
        for name in os.listdir(self._directory):
            if is_digest(f"sha256:{name}"):
                yield f"sha256:{name}"


class BlobWriter(Closing):
    """One blob on its way in. Closing it without `commit` removes what was written."""

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
        _write(self._file, data)

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

    def close(self) -> None:
        self._file.close()
        if self._path:
            os.unlink(self._path)


class BlobReader(Closing):
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


def _write(file: BinaryIO | io.FileIO, data: bytes) -> None:
    """All of it: a raw file may take less than it is offered."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
