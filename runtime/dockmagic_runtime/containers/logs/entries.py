"""The entries of a log file: JSON to text, in blocks, and pieces of long lines joined.

A log may have hundreds of megabytes, so nothing that is done for every line runs in Python where
a whole block can be done at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from dockmagic_runtime.model.container import LogLine

# Bytes of a line that are joined before it comes in parts: a program may never end a line.
LONGEST_LINE: Final = 64 * 1024 * 1024
LONGEST_PART: Final = 1024 * 1024  # of what is shown while it is written, or goes by as bytes


class Entry(msgspec.Struct, gc=False):
    """One line of the file. `log` ends in a newline unless it is a piece of a longer line."""

    log: str
    stream: str
    time: str
    attrs: dict[str, str] = {}


_DECODER: Final = msgspec.json.Decoder(Entry)


def decode(block: bytes) -> tuple[list[Entry], int]:
    """The entries of a block of whole lines, and how many lines are none."""
    try:
        return _DECODER.decode_lines(block), 0
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _decode_each(block)


def _decode_each(block: bytes) -> tuple[list[Entry], int]:
    entries: list[Entry] = []
    damaged = 0
    for line in filter(None, block.split(b"\n")):
        try:
            entries.append(_DECODER.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            damaged += 1
    return entries, damaged


def between(entries: list[Entry], first: str, last: str) -> list[Entry]:
    """Those of that span of time; RFC 3339 in UTC sorts as text."""
    if not first and not last:
        return entries
    return [entry for entry in entries if first <= entry.time and (not last or entry.time <= last)]


def chunks(entries: Sequence[Entry]) -> Iterator[tuple[str, bytes]]:
    """The bytes of each run of entries of one stream, pieces as they are."""
    for stream, run in groupby(entries, attrgetter("stream")):
        yield stream, as_bytes("".join([entry.log for entry in run]))


def as_bytes(text: str) -> bytes:
    """UTF-8; JSON may have escapes that are no characters."""
    return text.encode("utf-8", "replace")


class Joiner:
    """Makes lines of entries; keeps the begun line of each stream until its end comes.

    A line of more than about `longest` bytes comes in parts of that size.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._begun: dict[str, _Begun] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no line is begun."""
        return not self._begun

    def lines(self, entries: Sequence[Entry]) -> Iterator[LogLine]:
        """The lines that end in these entries."""
        for entry in entries:
            if entry.log.endswith("\n") and entry.stream not in self._begun:
                yield LogLine(entry.stream, entry.time, as_bytes(entry.log), entry.attrs)
                continue
            begun = self._begun.setdefault(entry.stream, _Begun(entry.time, entry.attrs))
            begun.add(entry.log)
            if entry.log.endswith("\n") or begun.size > self._longest:
                yield self._finish(entry.stream)

    def rest(self) -> Iterator[LogLine]:
        """The lines without an end."""
        for stream in list(self._begun):
            yield self._finish(stream)

    def _finish(self, stream: str) -> LogLine:
        begun = self._begun.pop(stream)
        return LogLine(stream, begun.time, b"".join(begun.pieces), begun.attrs)


class Stamper:
    """Makes bytes in which each line begins with its time."""

    def __init__(self) -> None:
        self._joiner = Joiner(LONGEST_PART)

    def chunks(self, entries: Sequence[Entry]) -> Iterator[tuple[str, bytes]]:
        """The lines that end in these entries, by runs of one stream."""
        if self._joiner.is_idle and all(entry.log.endswith("\n") for entry in entries):
            for stream, run in groupby(entries, attrgetter("stream")):
                yield stream, as_bytes("".join([f"{entry.time} {entry.log}" for entry in run]))
        else:
            yield from map(_stamped, self._joiner.lines(entries))

    def rest(self) -> Iterator[tuple[str, bytes]]:
        """The lines without an end."""
        return map(_stamped, self._joiner.rest())


def _stamped(line: LogLine) -> tuple[str, bytes]:
    return line.stream, b"%s %s" % (line.time.encode(), line.text)


class _Begun:
    """The pieces so far of one line, which has the time of the first."""

    def __init__(self, time: str, attrs: dict[str, str]) -> None:
        self.time = time
        self.attrs = attrs
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: str) -> None:
        self.pieces.append(as_bytes(piece))
        self.size += len(self.pieces[-1])
