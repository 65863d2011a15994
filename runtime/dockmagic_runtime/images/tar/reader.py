"""Reads the tar of a layer: headers become `TarEntry` values, contents go straight to the file.

Strategy: one pass over decompressed chunks, which are hashed whole (the layer's diff id covers
padding and trailer too). All that Go's archive/tar reads is read: ustar, PAX and GNU long names,
base-256 numbers, sparse files. Numbers are never negative (CVE-2025-8194), names hold no NUL, and
everything that costs is bounded by `Limits`.
Sources: pax(1), "ustar Interchange Format"; tar(5); GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.limits import Limits, refusal
from dockmagic_runtime.images.tar import pax, sparse
from dockmagic_runtime.images.tar.entry import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    LINK,
    REGULAR,
    SYMLINK,
    ByteStream,
    TarEntry,
)
from dockmagic_runtime.images.tar.pax import number

_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"
_GNU_LONG_NAME: Final = b"L"
_GNU_LONG_LINK: Final = b"K"
_GNU_SPARSE: Final = b"S"
_REGULAR_KINDS: Final = (b"0", b"\0", b"7", _GNU_SPARSE)
_BARE_KINDS: Final = (LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS: Final = bytes(BLOCK)


class ArchiveReader:
    """The members of a tar. What the caller does not `copy` of one is skipped."""

    def __init__(self, stream: ByteStream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._global: dict[str, bytes] = {}
        self._count = 0
        self._left = 0  # bytes of the current member's data, then of its padding
        self._padding = 0

    def __iter__(self) -> Iterator[TarEntry]:
        while (entry := self._next()) is not None:
            yield entry

    def copy(self, fd: int, entry: TarEntry) -> None:
        """Write the current member's contents to a new file."""
        if entry.segments is None:
            self._stream.copy(fd, self._left)
        else:
            self._copy_sparse(fd, entry.segments, entry.size)
        self._left = 0

    def _copy_sparse(self, fd: int, segments: list[tuple[int, int]], size: int) -> None:
        os.ftruncate(fd, size)
        for offset, length in segments:
            os.lseek(fd, offset, os.SEEK_SET)
            self._stream.copy(fd, length)

    def _next(self) -> TarEntry | None:
        records: dict[str, bytes] = {}
        while True:
            self._stream.skip(self._left)
            self._stream.skip_padding(self._padding)
            self._left = self._padding = 0
            header = self._stream.block()
            if not header or header == _ZEROS:
                return None
            self._count += 1
            if self._count > self._limits.entries:
                raise refusal(f"the layer has more than {self._limits.entries} entries", "entries")
            kind, size = self._begin(header)
            if kind == _PAX:
                records.update(pax.records(self._extra(size)))
            elif kind == _PAX_GLOBAL:
                self._global.update(pax.records(self._extra(size)))
            elif kind == _GNU_LONG_NAME:
                records["path"] = self._extra(size).split(b"\0", 1)[0]
            elif kind == _GNU_LONG_LINK:
                records["linkpath"] = self._extra(size).split(b"\0", 1)[0]
            else:
                return self._entry(header, {**self._global, **records} if self._global else records)

    def _begin(self, header: bytes) -> tuple[bytes, int]:
        """Kind and size of the header's member, once its checksum is right."""
        checksum = number(header[148:156])
        if sum(header) - sum(header[148:156]) + 8 * 0x20 != checksum:
            raise InvalidInput("the archive is damaged: a header's checksum is wrong")
        size = number(header[124:136])
        self._expect(size)
        return header[156:157], size

    def _expect(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _extra(self, size: int) -> bytes:
        if size > self._limits.header:
            raise refusal(f"an extended header has more than {self._limits.header} bytes", "header")
        self._left = 0
        return self._stream.take(size)

    def _entry(self, header: bytes, records: dict[str, bytes]) -> TarEntry:
        (
            name, mode, uid, gid, size, mtime, _, kind, link, magic, _, _, major, minor, prefix
        ) = _HEADER.unpack(header)  # fmt: skip
        name = name.split(b"\0", 1)[0]
        if prefix[0] and magic == b"ustar\x0000":
            name = prefix.split(b"\0", 1)[0] + b"/" + name
        entry = TarEntry(
            os.fsdecode(name),
            kind,
            number(mode) & 0o7777,
            number(uid),
            number(gid),
            number(size),
            number(mtime, signed=True) * 1_000_000_000,
            os.fsdecode(link.split(b"\0", 1)[0]),
            os.makedev(number(major), number(minor)) if kind in (b"3", b"4") else 0,
        )
        if records:
            self._apply(records, entry)
        self._finish(header, records, entry)
        return entry

    def _apply(self, records: dict[str, bytes], entry: TarEntry) -> None:
        size = entry.size
        pax.apply(records, entry)
        if entry.size != size:
            self._expect(entry.size)

    def _finish(self, header: bytes, records: dict[str, bytes], entry: TarEntry) -> None:
        if max(len(entry.name), len(entry.link)) >= self._limits.path:
            raise refusal(f"a path in the layer is longer than {self._limits.path} bytes", "path")
        if entry.kind in _REGULAR_KINDS:
            self._finish_regular(header, records, entry)
        elif entry.kind in _BARE_KINDS:
            self._expect(0)  # some writers put the target's size into a hard link's header
            entry.size = 0
        else:
            raise InvalidInput(f"{entry.name!r} in the layer is of unknown kind {entry.kind!r}")

    def _finish_regular(self, header: bytes, records: dict[str, bytes], entry: TarEntry) -> None:
        if entry.kind == _GNU_SPARSE:
            sparse.old_gnu(header, self._stream, entry)
        elif sparse.is_sparse(records):
            self._left -= sparse.from_pax(records, self._stream, entry)
        if entry.size > self._limits.size:  # a sparse file may claim any size
            raise refusal(
                f"{entry.name!r} in the layer has more than {self._limits.size} bytes", "size"
            )
        is_directory = entry.kind == b"\0" and entry.name.endswith("/")  # before ustar
        entry.kind = DIRECTORY if is_directory else REGULAR
