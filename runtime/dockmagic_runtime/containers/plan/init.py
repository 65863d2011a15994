"""`--init`: the program of the host that becomes the container's first process, if there is one.

It has to be linked statically, since it runs on the container's files. Without one, the child of
the start process stays as the first process and does the same (`sandbox.reaper`).
"""

from __future__ import annotations

import struct
from functools import cache
from typing import BinaryIO, Final

PATH: Final = "/sbin/docker-init"  # where Docker mounts its own
_CANDIDATES: Final = (
    "/usr/bin/docker-init",
    "/usr/bin/tini-static",
    "/usr/bin/catatonit",
    "/usr/libexec/podman/catatonit",
    "/usr/bin/tini",
)
_PROGRAM_HEADER: Final = struct.Struct("<I")
_PT_INTERP: Final = 3


@cache
def find() -> str:
    """The path of the first usable candidate; empty if there is none."""
    return next(filter(_is_static, _CANDIDATES), "")


def _is_static(path: str) -> bool:
    """A 64-bit ELF program that asks for no interpreter."""
    try:
        with open(path, "rb") as stream:
            return _asks_for_none(stream)
    except OSError:
        return False


def _asks_for_none(stream: BinaryIO) -> bool:
    header = stream.read(64)
    if len(header) < 64 or header[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    stream.seek(table)
    entries = [stream.read(size) for _ in range(count)]
    if any(len(entry) < _PROGRAM_HEADER.size for entry in entries):
        return False  # not a whole file
    return all(_PROGRAM_HEADER.unpack_from(entry)[0] != _PT_INTERP for entry in entries)
