"""Sparse members: GNU tar's old format and its three in PAX headers (0.0, 0.1, 1.0).

Each says the real size and where in the file the stored data belongs.
Source: GNU tar manual, appendix "Storing Sparse Files".
"""

from __future__ import annotations

import os
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.images.tar import pax
from dockmagic_runtime.images.tar.entry import BLOCK, ByteStream, TarEntry
from dockmagic_runtime.images.tar.pax import number

_MAX_SEGMENTS: Final = 100_000
Segments = list[tuple[int, int]]


def is_sparse(records: dict[str, bytes]) -> bool:
    return any(key.startswith("GNU.sparse.") for key in records)


def old_gnu(header: bytes, stream: ByteStream, entry: TarEntry) -> None:
    """Kind `S`: four segments in the header, 21 in each extension block behind it."""
    pairs, more = header[386:482], header[482]
    segments = _pairs(pairs)
    while more:
        block = stream.take(BLOCK)
        pairs, more = block[:504], block[504]
        segments += _pairs(pairs)
        if len(segments) > _MAX_SEGMENTS:
            raise InvalidInput(f"{entry.name!r} in the layer has too many sparse segments")
    _finish(entry, segments, number(header[483:495]), entry.size)


def _pairs(data: bytes) -> Segments:
    pairs = []
    for start in range(0, len(data), 24):
        if not data[start]:
            break
        pairs.append((number(data[start : start + 12]), number(data[start + 12 : start + 24])))
    return pairs


def from_pax(records: dict[str, bytes], stream: ByteStream, entry: TarEntry) -> int:
    """The PAX forms. Returns how many bytes of the member's data the map itself took."""
    used, stored = 0, entry.size
    if records.get("GNU.sparse.major") == b"1":
        numbers, used = _leading_map(stream, stored)
    else:
        # 0.0 repeats GNU.sparse.offset and .numbytes, of which a dictionary keeps the last only;
        # no tar since 2006 writes it
        numbers = [pax.integer(n) for n in records.get("GNU.sparse.map", b"").split(b",") if n]
    if len(numbers) % 2 or (not numbers and stored > used):
        raise InvalidInput(f"{entry.name!r} in the layer has a malformed sparse map")
    if name := records.get("GNU.sparse.name"):
        entry.name = os.fsdecode(name)
    size = records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size") or b""
    segments = list(zip(numbers[::2], numbers[1::2], strict=True))
    _finish(entry, segments, pax.integer(size), stored - used)
    return used


def _leading_map(stream: ByteStream, stored: int) -> tuple[list[int], int]:
    """1.0: decimal numbers, one a line, count first, before the data and padded to a block."""
    text, used, wanted = b"", 0, 1
    while text.count(b"\n") < wanted:
        if used + BLOCK > stored or wanted > 2 * _MAX_SEGMENTS:
            raise InvalidInput("the archive is damaged: a malformed sparse map")
        text += stream.take(BLOCK)
        used += BLOCK
        if b"\n" in text:
            wanted = 1 + 2 * pax.integer(text.split(b"\n", 1)[0])
    return [pax.integer(line) for line in text.split(b"\n")[1:wanted]], used


def _finish(entry: TarEntry, segments: Segments, size: int, stored: int) -> None:
    position = 0
    for offset, length in segments:
        if offset < position or offset + length > size:
            raise InvalidInput(f"{entry.name!r} in the layer has a malformed sparse map")
        position = offset + length
    if sum(length for _, length in segments) != stored:
        raise InvalidInput(f"{entry.name!r} in the layer has a malformed sparse map")
    entry.segments, entry.size = segments, size
