"""What is read from and written to a tar: its members, and the stream of their bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.limits import refusal

BLOCK: Final = 512
REGULAR: Final = b"0"
LINK: Final = b"1"
SYMLINK: Final = b"2"
CHARACTER: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"


class TarEntry(Struct):
    """One member. `name` and `link` as they were written; `kind` is one of this module's."""

    name: str
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: str
    device: int
    xattrs: dict[str, bytes] = field(default_factory=dict)
    segments: list[tuple[int, int]] | None = None  # (offset, length) of a sparse file's data


class ByteStream:
    """Decompressed chunks as one stream: counted, hashed, handed out without copying twice."""

    def __init__(self, chunks: Iterator[bytes], limit: int, *, hashed: bool = True) -> None:
        self._chunks = chunks
        self._limit = limit
        self._hashed = hashed
        self._chunk = b""
        self._position = 0
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def position(self) -> int:
        """How many bytes were handed out."""
        return self.size - len(self._chunk) + self._position

    def _refill(self) -> bool:
        chunk = next(self._chunks, b"")
        self.size += len(chunk)
        if self.size > self._limit:
            raise refusal(f"the layer unpacks to more than {self._limit} bytes", "size")
        if self._hashed:
            self._hash.update(chunk)
        self._chunk, self._position = chunk, 0
        return bool(chunk)

    def block(self) -> bytes:
        """The next 512 bytes; b"" at the end."""
        start = self._position
        if start + BLOCK <= len(self._chunk):
            self._position = start + BLOCK
            return self._chunk[start : start + BLOCK]
        if start == len(self._chunk) and not self._refill():
            return b""
        return self.take(BLOCK)

    def take(self, size: int) -> bytes:
        return b"".join(self._pieces(size))

    def skip(self, size: int) -> None:
        for _ in self._pieces(size):
            pass

    def skip_padding(self, size: int) -> None:
        """Some writers leave the last member's padding out, with all that should follow it."""
        while size and (self._position < len(self._chunk) or self._refill()):
            step = min(size, len(self._chunk) - self._position)
            self._position += step
            size -= step

    def copy(self, fd: int, size: int) -> None:
        for piece in self._pieces(size):
            while piece:
                piece = piece[os.write(fd, piece) :]

    def _pieces(self, size: int) -> Iterator[memoryview]:
        while size:
            if self._position == len(self._chunk) and not self._refill():
                raise InvalidInput("the archive ends in the middle of a member")
            piece = memoryview(self._chunk)[self._position : self._position + size]
            self._position += len(piece)
            size -= len(piece)
            yield piece

    def drain(self) -> str:
        """Read to the end; the digest of everything."""
        while self._refill():
            pass
        return f"sha256:{self._hash.hexdigest()}"
