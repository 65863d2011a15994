"""What a layer may cost, so that a small download cannot fill the disk or the memory.

The limits are far above what honest images need. An environment variable raises them for a trusted
image that needs more: DOCKMAGIC_LAYER_LIMITS=size=200g,entries=20000000,depth=1000.
"""

from __future__ import annotations

import os
import re
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput

VARIABLE: Final = "DOCKMAGIC_LAYER_LIMITS"
_VALUE: Final = re.compile(r"([1-9][0-9]*)([kmgt]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_RATIO: Final = 200  # of unpacked to compressed bytes: the best ones of real layers are near 100
_FLOOR: Final = 256 << 20  # small layers of zeros have better ones


class Limits(Struct, frozen=True):
    """Bytes of tar, members, bytes of an extended header, of a path, and directories deep."""

    size: int = 64 << 30
    entries: int = 5_000_000
    header: int = 1 << 20
    path: int = 4096
    depth: int = 255

    @classmethod
    def configured(cls) -> Limits:
        """These, with what the environment says. Raises InvalidInput."""
        return replace(cls(), **_configured())

    @classmethod
    def for_blob(cls, compressed_size: int, free: int) -> Limits:
        """Room for any honest layer of `compressed_size` bytes, on a disk with `free` bytes."""
        said = _configured()
        allowed = said.get("size", max(compressed_size * _RATIO, _FLOOR))
        return replace(cls(), **{**said, "size": min(allowed, free)})


def _configured() -> dict[str, int]:
    text = os.environ.get(VARIABLE, "")
    return dict(_read(part.strip()) for part in text.split(",") if part.strip())


def _read(part: str) -> tuple[str, int]:
    name, _, value = part.partition("=")
    known = Limits.__struct_fields__
    match = _VALUE.fullmatch(value)
    if name not in known or match is None:
        raise InvalidInput(
            f"{VARIABLE} is malformed: {part!r}", hint=f"NAME=NUMBER, names: {', '.join(known)}"
        )
    return name, int(match[1]) << _UNITS[match[2].lower()]


def refusal(message: str, name: str) -> InvalidInput:
    """The error of a layer that is over the limit `name`."""
    return InvalidInput(message, hint=f"if you trust it, raise the limit by {VARIABLE}={name}=…")
