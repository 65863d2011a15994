from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dockmagic_runtime.containers.plan.init import _is_static


def elf(*kinds: int, bits: int = 2) -> bytes:
    """A header and a program header for each kind (3 is PT_INTERP)."""
    header = bytearray(64)
    header[:5] = b"\x7fELF" + bytes([bits])
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, len(kinds))
    return bytes(header) + b"".join(struct.pack("<I52x", kind) for kind in kinds)


@pytest.mark.parametrize(
    ("content", "is_static"),
    [
        (elf(1, 1), True),
        (elf(6, 3, 1), False),
        (elf(1, bits=1), False),
        (b"#!/bin/sh\n", False),
        (b"", False),
        (elf(1, 1)[:80], False),
    ],
)
def test_only_a_program_without_an_interpreter_will_do(
    tmp_path: Path, content: bytes, is_static: bool
) -> None:
    (tmp_path / "tini").write_bytes(content)
    assert _is_static(str(tmp_path / "tini")) is is_static


def test_what_is_not_there_will_not_do(tmp_path: Path) -> None:
    assert not _is_static(str(tmp_path / "tini"))
