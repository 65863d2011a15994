"""Output cut into lines, for destinations that take messages."""

from __future__ import annotations

from typing import Final, Protocol

PIECE: Final = 16 * 1024  # bytes; longer lines are cut into pieces


class LineSink(Protocol):
    """`text` has no newline. A piece of a line that goes on is not whole."""

    def line(self, stream: str, text: bytes, *, is_whole: bool) -> None: ...
    def close(self) -> None: ...


class LineLog:
    """Writes to a sink; keeps the unfinished line of each stream until the rest comes."""

    is_behind = False  # it runs where a write may take long

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        self._pending: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._pending.pop(stream, b"") + data).split(b"\n")
        for line in lines:
            self._sink.line(stream, self._cut(stream, line), is_whole=True)
        if rest := self._cut(stream, rest):
            self._pending[stream] = rest

    def _cut(self, stream: str, line: bytes) -> bytes:
        """Write the pieces of a long line but the last, which is returned."""
        while len(line) > PIECE:
            self._sink.line(stream, line[:PIECE], is_whole=False)
            line = line[PIECE:]
        return line

    def flush(self) -> None:
        for stream, rest in self._pending.items():
            self._sink.line(stream, rest, is_whole=True)
        self._pending.clear()

    def close(self) -> None:
        self.flush()
        self._sink.close()
