"""An image archive's members, to be read by name as streams. Nothing is extracted to a path.

The archive is read once: its headers say where each member's bytes are. What can be sought in is
read again from where it is; a pipe and a compressed archive go to an unnamed file as they are read.
A link in the archive is a name for another member and never more than that (CVE-2026-20613).
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator
from typing import IO, Any, Final, cast

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.compression import CHUNK, Readable, decompressed
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.tar.entry import LINK, REGULAR, SYMLINK, ByteStream, TarEntry
from dockmagic_runtime.images.tar.reader import ArchiveReader
from dockmagic_runtime.linux.closeable import Closing

_DOCUMENT_LIMIT: Final = 4 << 20
_MAX_LINKS: Final = 8
_MARGIN: Final = 64 << 20  # of the disk, left free by an archive that has to be kept meanwhile
_MAGIC: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"BZh")


def is_compressed(head: bytes) -> bool:
    return head.startswith(_MAGIC)


class Members(Closing):
    """The regular files of one archive. A context manager."""

    def __init__(self, source: Readable, scratch: str) -> None:
        """Raises InvalidInput for what is no tar, or has names that lead out of it."""
        self._found: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        file = _plain_file(source)
        self._base = os.lseek(file.fileno(), 0, os.SEEK_CUR) if file else 0
        self._spool: IO[bytes] | None = None
        if file is not None:
            self._fd = os.dup(file.fileno())
            chunks = _from(self._fd, self._base)
        else:
            self._spool = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed with us
            self._fd = os.dup(self._spool.fileno())
            chunks = _kept(source, self._spool)
        try:
            self._scan(chunks, Limits(size=_free(scratch) if self._spool else 1 << 62))
        except BaseException:
            self.close()
            raise

    def _scan(self, chunks: Iterator[bytes], limits: Limits) -> None:
        stream = ByteStream(chunks, limits.size, hashed=False)
        for entry in ArchiveReader(stream, limits):
            name = _name(entry.name)
            if entry.kind == REGULAR and entry.segments is None:
                self._found[name] = (self._base + stream.position, entry.size)
                self._links.pop(name, None)
            elif entry.kind in (SYMLINK, LINK):
                self._links[name] = _target(name, entry)
                self._found.pop(name, None)
        stream.drain()  # a writer into a pipe is not to be cut off in its trailer

    def __contains__(self, name: str) -> bool:
        return self._resolve(name) in self._found

    def _resolve(self, name: str) -> str:
        name = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                return name
            name = self._links[name]
        raise InvalidInput(f"{name!r} in the archive is a link without end")

    def open(self, name: str) -> Member:
        """Raises InvalidInput if there is no such file."""
        place = self._found.get(self._resolve(name))
        if place is None:
            raise InvalidInput(f"the archive has no file {name!r}", hint="it may be incomplete")
        return Member(self._fd, *place)

    def document(self, name: str) -> bytes:
        """A small file, whole."""
        member = self.open(name)
        if member.size > _DOCUMENT_LIMIT:
            raise InvalidInput(f"{name!r} in the archive has more than {_DOCUMENT_LIMIT} bytes")
        return member.read()

    def close(self) -> None:
        os.close(self._fd)
        if self._spool is not None:
            self._spool.close()


class Member:
    """One file's bytes, from their beginning."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._offset = offset
        self._end = offset + size
        self.size = size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._offset
        wanted = left if size < 0 else min(size, left)
        data = os.pread(self._fd, wanted, self._offset)
        if wanted and not data:
            raise InvalidInput("the archive was cut short while it was read")
        self._offset += len(data)
        return data


def _plain_file(source: Readable) -> Any:
    """`source`, if it is an uncompressed archive in a file, at the place it is to be read from."""
    try:
        file = cast("IO[bytes]", source)
        if not file.seekable():
            return None
        position = file.tell()
        head = os.pread(file.fileno(), 8, position)
        os.lseek(file.fileno(), position, os.SEEK_SET)  # buffering may have read ahead
    except (AttributeError, OSError):
        return None  # bytes in memory, or a pipe
    return None if is_compressed(head) else file


def _from(fd: int, position: int) -> Iterator[bytes]:
    while chunk := os.pread(fd, CHUNK, position):
        position += len(chunk)
        yield chunk


def _kept(source: Readable, spool: IO[bytes]) -> Iterator[bytes]:
    for chunk in decompressed(source):
        spool.write(chunk)
        spool.flush()
        yield chunk


def _free(directory: str) -> int:
    status = os.statvfs(directory)
    return max(status.f_bavail * status.f_frsize - _MARGIN, 0)


def _name(name: str) -> str:
    path = posixpath.normpath(name)
    if path.startswith(("/", "../")) or path == ".." or "\0" in path:
        raise InvalidInput(
            f"{name!r} in the archive leads out of it", hint="no program for images writes such"
        )
    return path


def _target(name: str, entry: TarEntry) -> str:
    """What a link stands for: relative to its directory, a hard link to the archive's top."""
    folder = posixpath.dirname(name) if entry.kind == SYMLINK else ""
    return _name(posixpath.join(folder, entry.link))
