"""Tar headers as they are written: ustar, and an extended header where ustar is too small.

Numeric owners, whole seconds, no access times: the bytes are a function of the entry alone.
Source: pax(1), "ustar Interchange Format".
"""

from __future__ import annotations

import os
from typing import Final

from dockmagic_runtime.images.tar import pax
from dockmagic_runtime.images.tar.entry import BLOCK, TarEntry

SECOND: Final = 1_000_000_000
_OCTAL_SIZE: Final = 8**11
_OCTAL_ID: Final = 8**7
_NAME: Final = 100
_PREFIX: Final = 155


def member(entry: TarEntry) -> bytes:
    """All that comes before the contents of `entry`."""
    records = {pax.xattr_key(key): value for key, value in entry.xattrs.items()}
    header = _header(entry, records)
    if not records:
        return header
    data = b"".join(pax.record(key, records[key]) for key in sorted(records))
    extra = TarEntry("PaxHeaders/0", b"x", 0o644, 0, 0, len(data), 0, "", 0)
    return b"".join((_header(extra, {}), data, bytes(-len(data) % BLOCK), header))


def _split(name: bytes, records: dict[str, bytes]) -> tuple[bytes, bytes]:
    """ustar's prefix and name for a long path, or a PAX record where no slash is in reach."""
    cut = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if cut > 0 and len(name) - cut - 1 <= _NAME:
        return name[:cut], name[cut + 1 :]
    records["path"] = name
    return b"", name[:_NAME]


def _fitting(key: str, value: int, limit: int, records: dict[str, bytes]) -> int:
    """The value if its field can hold it, else 0 and a record."""
    if 0 <= value < limit:
        return value
    records[key] = str(value).encode()
    return 0


def _header(entry: TarEntry, records: dict[str, bytes]) -> bytes:
    """A ustar header; what does not fit into it is added to `records`."""
    name, link, prefix = os.fsencode(entry.name), os.fsencode(entry.link), b""
    if len(name) > _NAME:
        prefix, name = _split(name, records)
    if len(link) > _NAME:
        records["linkpath"], link = link, link[:_NAME]
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name.ljust(_NAME, b"\0"),
        entry.mode,
        _fitting("uid", entry.uid, _OCTAL_ID, records),
        _fitting("gid", entry.gid, _OCTAL_ID, records),
        _fitting("size", entry.size, _OCTAL_SIZE, records),
        _fitting("mtime", entry.mtime_ns // SECOND, _OCTAL_SIZE, records),
    )
    tail = b"%b%bustar\x0000%b%07o\0%07o\0%b" % (
        entry.kind,
        link.ljust(_NAME, b"\0"),
        bytes(64),  # user and group have no names
        os.major(entry.device),
        os.minor(entry.device),
        prefix.ljust(_PREFIX + 12, b"\0"),
    )
    return b"%b%06o\0 %b" % (head, sum(head) + sum(tail) + 8 * 0x20, tail)
