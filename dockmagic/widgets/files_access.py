"""The files of a container or an image, in pieces for a page: read, downloaded, uploaded."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import PathStat

SHOWN: Final = 256 * 1024  # bytes of a file that are shown
PIECE: Final = 1024 * 1024  # bytes in one message
LARGEST: Final = 64 * 1024 * 1024  # bytes of an upload


class Archive(Protocol):
    """A tar in chunks."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Chunks(io.RawIOBase):
    """Chunks as a file, for `tarfile`."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class Parts:
    """Bytes with what is to be closed after them, also if none is ever read."""

    def __init__(self, parts: Iterator[bytes], *closers: Callable[[], object]) -> None:
        self._parts = parts
        self._closers = list(closers)

    def __iter__(self) -> Parts:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        close: Callable[[], None] = getattr(self._parts, "close", lambda: None)
        close()
        while self._closers:
            self._closers.pop(0)()


def pieces(archive: Archive, stat: PathStat) -> Iterator[bytes]:
    """The content of a file, or the tar of anything else. Closes the archive at its end."""
    try:
        if stat.is_directory or stat.is_link:
            yield from archive
            return
        with tarfile.open(fileobj=io.BufferedReader(Chunks(archive)), mode="r|") as tar:
            member = tar.next()
            content = tar.extractfile(member) if member is not None else None
            while content is not None and (data := content.read(PIECE)):
                yield data
    finally:
        archive.close()


def head(parts: Iterator[bytes], most: int = SHOWN) -> bytes:
    """The first bytes; the rest is not read."""
    data = b""
    for part in parts:
        data += part
        if len(data) >= most:
            break
    close: Callable[[], None] = getattr(parts, "close", lambda: None)
    close()
    return data[:most]


def is_text(data: bytes) -> bool:
    """Whether it reads as UTF-8 without control characters; its end may cut a character."""
    if b"\0" in data:
        return False
    text = data.decode("utf-8", "replace")
    return text[:-1].count("\ufffd") * 100 <= len(text)


def packed(name: str, data: bytes) -> bytes:
    """A tar with one file."""
    if not name or "/" in name or name in (".", ".."):
        raise Conflict(f"no file can have the name '{name}'")
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), time.time(), 0o644
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
