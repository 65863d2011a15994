"""Frames between an engine and a supervisor, on a stream socket.

Docker's own framing of attached streams (8 bytes: kind, three zeros, length as big-endian uint32)
with one kind more: CONTROL, with a JSON object that has a "verb" as its payload. Both directions
use it: an engine sends STDIN and CONTROL, a supervisor STDOUT, STDERR and CONTROL. An empty STDIN
frame closes the program's standard input. Source of the framing: Docker Engine API, "Attach to a
container", stream format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.model import lenient_json

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
CONTROL: Final = 3
TREE: Final = 4  # to the launcher: operations that mount a tree (`supervisor.rootfs`)
KINDS: Final = {"stdout": STDOUT, "stderr": STDERR}  # of the frames of a stream

_HEADER: Final = struct.Struct(">BxxxI")
MAXIMUM: Final = 16 * 1024 * 1024  # a plan with a long environment is far below


def frame(kind: int, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


def control(verb: str, **values: Any) -> bytes:
    return frame(CONTROL, lenient_json.encode({"verb": verb, **values}))


class FrameReader:
    """Bytes in, whole frames out, however the bytes were cut."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the frames that `data` completes. Raises EngineBug for a kind or length that is not
        of this protocol."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if kind > TREE or length > MAXIMUM:
                raise EngineBug(f"a frame of kind {kind} and {length} bytes came over a socket")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield kind, payload
