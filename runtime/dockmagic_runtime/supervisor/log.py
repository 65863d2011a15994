"""The json-file log: one JSON object a line, `{"log", "stream", "time"}`, as Docker writes it.

Lines longer than 16 KiB are cut into pieces without a newline, which a reader joins again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Final

PIECE: Final = 16 * 1024


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nine digits and Z, Docker's form."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


class JsonLog:
    """Appends to the log file. Each stream keeps its unfinished line until the rest comes."""

    __slots__ = ("_fd", "_pending")

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._pending: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        data = self._pending.pop(stream, b"") + data
        pieces, rest = _pieces(data)
        if rest:
            self._pending[stream] = rest
        if pieces:
            self._append(stream, pieces)

    def _append(self, stream: str, pieces: list[bytes]) -> None:
        now = timestamp(time.time_ns())
        lines = [
            json.dumps({"log": piece.decode("utf-8", "replace"), "stream": stream, "time": now})
            for piece in pieces
        ]
        os.write(self._fd, ("\n".join(lines) + "\n").encode())

    def close(self) -> None:
        """Write what has no newline yet, as Docker does when the program ends."""
        for stream, rest in self._pending.items():
            self._append(stream, [rest])
        self._pending.clear()
        os.close(self._fd)


def _pieces(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole lines, cut at 16 KiB, and what is left without a newline (shorter than a piece)."""
    pieces: list[bytes] = []
    for line in _lines(data):
        pieces += [line[at : at + PIECE] for at in range(0, len(line), PIECE)]
    rest = b""
    if pieces and not pieces[-1].endswith(b"\n") and len(pieces[-1]) < PIECE:
        rest = pieces.pop()
    return pieces, rest


def _lines(data: bytes) -> Iterator[bytes]:
    """Split at newlines only: bytes.splitlines would split at a carriage return as well."""
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        yield data[at : end + 1]
        at = end + 1
    if at < len(data):
        yield data[at:]
