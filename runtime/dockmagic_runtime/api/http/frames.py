"""Output of a process on one connection: raw for a terminal, else in frames that name the stream.

A frame's head has eight bytes: the stream (1 standard output, 2 standard error, 3 an error of the
engine's), three zeros, and the length of what follows, big-endian. Source: Docker's Engine API,
"Stream format" of `POST /containers/{id}/attach`.
"""

from __future__ import annotations

import struct
from typing import Final

RAW: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
_NUMBERS: Final = {"stdin": 0, "stdout": 1, "stderr": 2, "system": 3}
_HEAD: Final = struct.Struct(">BxxxL")


def frame(stream: str, data: bytes) -> bytes:
    return _HEAD.pack(_NUMBERS[stream], len(data)) + data


def media_type(*, is_raw: bool, version: tuple[int, int]) -> str:
    """Before API 1.42 both kinds of stream are said to be raw."""
    return RAW if is_raw or version < (1, 42) else MULTIPLEXED
