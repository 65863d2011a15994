"""`logs`: reading a container's log, also while it grows and its files are rotated.

Every piece of a line that was cut at 16 KiB is joined again. The tail is found from the end: the
lines before it are not read.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.model.container import LogLine, Status
from dockmagic_runtime.store import log_follower
from dockmagic_runtime.store.log_follower import RotatedReader
from dockmagic_runtime.supervisor.log import timestamp

_POLL: Final = 0.05  # seconds between looks at a log that is followed
_BLOCK: Final = 64 * 1024
_LONGEST: Final = 1024 * 1024  # of a line that is joined: a program may never end one
# where an entry ends a line: a newline as JSON writes it, not a backslash and an n
_END_OF_LINE: Final = re.compile(rb'(?<!\\)(?:\\\\)*\\n","stream":"[a-z]+","time":"[^"]+"}\n')


class _Entry(msgspec.Struct, gc=False):
    log: str
    stream: str
    time: str


_DECODER: Final = msgspec.json.Decoder(_Entry)


def logs(
    store: ContainerStore,
    record: Record,
    *,
    follow: bool,
    tail: int | None,
    since: float,
    until: float,
) -> Iterator[LogLine]:
    """Log lines in order. `tail` counts lines from the end; times are seconds since the epoch.

    As with Docker, `since` and `until` choose among the lines of the tail. Raises Unsupported for
    a container that logs nowhere.
    """
    if record.spec.log_driver == "none":
        raise Unsupported("configured logging driver does not support reading")

    store.state(record.id)  # what it wrote without a supervisor is written down by the next one

    def is_over() -> bool:
        # asked before the file is read: what was written before the end is then certainly in it
        alive = follow and Status(store.state(record.id).status).is_alive
        return not alive or bool(until and time.time() > until)

    lines = read(store.log(record.id), tail=tail, is_over=is_over)
    return _between(lines, since, until)


def _between(lines: Iterator[LogLine], since: float, until: float) -> Iterator[LogLine]:
    first = timestamp(int(since * 1e9)) if since else ""
    last = timestamp(int(until * 1e9)) if until else "~"  # RFC 3339 in UTC sorts as text
    return (line for line in lines if first <= line.time <= last)


def read(path: str, *, tail: int | None, is_over: Callable[[], bool]) -> Iterator[LogLine]:
    """The lines of the log at `path` from the last `tail` on, until `is_over()`."""
    reader = RotatedReader(path, -1 if tail is None else _open_tail(path, tail))
    joiner = _Joiner()
    try:
        over = is_over()
        lines = joiner.lines(reader, is_last=over)
        yield from lines if tail is None else deque(lines, maxlen=tail)
        while not over:
            time.sleep(_POLL)
            over = is_over()
            yield from joiner.lines(reader, is_last=over)
    finally:
        reader.close()


class _Joiner:
    """Makes lines of entries; keeps what has come of a line whose end has not, by stream."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}

    def lines(self, reader: RotatedReader, *, is_last: bool) -> Iterator[LogLine]:
        """What there is to read now; with `is_last` also what has no end."""
        while found := reader.take():
            for line in found:
                yield from self._add(line)
        if is_last:
            for stream in list(self._begun):
                yield self._finish(stream)

    def _add(self, line: bytes) -> Iterator[LogLine]:
        try:
            entry = _DECODER.decode(line)
        except msgspec.MsgspecError:
            return  # a line that met a full disk
        if entry.log.endswith("\n") and entry.stream not in self._begun:
            yield LogLine(entry.stream, entry.time, entry.log.encode())
            return
        begun = self._begun.setdefault(entry.stream, _Begun(entry.time))
        begun.add(entry.log)
        if entry.log.endswith("\n") or begun.size > _LONGEST:
            yield self._finish(entry.stream)

    def _finish(self, stream: str) -> LogLine:
        begun = self._begun.pop(stream)
        return LogLine(stream, begun.time, "".join(begun.pieces).encode())


class _Begun:
    """The pieces so far of one line; it has the time of the first."""

    def __init__(self, time: str) -> None:
        self.time = time
        self.pieces: list[str] = []
        self.size = 0

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.size += len(piece)


def _open_tail(path: str, count: int) -> int:
    """A descriptor that stands `count` lines before the end of the log, or at its beginning.

    A line without an end may come on top. -1 when there is no log.
    """
    oldest = -1
    wanted = count + 1  # the line we stand after has an end as well
    for fd in _newest_first(path):
        log_follower.close(oldest)
        oldest = fd
        wanted = _seek_back(fd, wanted)
        if wanted == 0:
            break
    return oldest


def _newest_first(path: str) -> Iterator[int]:
    seen: list[os.stat_result] = []
    number = 0
    while (fd := log_follower.open_if_there(log_follower.name_of(path, number))) >= 0:
        found = os.fstat(fd)
        if any(os.path.samestat(found, one) for one in seen):
            os.close(fd)  # moved up since we opened it
        else:
            seen.append(found)
            yield fd
        number += 1


def _seek_back(fd: int, wanted: int) -> int:
    """Let `fd` stand after the end of the `wanted`th line from the end; how many were missing.

    At the beginning of the file, if there are not that many.
    """
    position, size = os.lseek(fd, 0, os.SEEK_END), _BLOCK
    while position > 0:
        start = max(position - size, 0)
        block = os.pread(fd, position - start, start)
        first = block.find(b"\n") + 1 if start else 0  # where an entry begins
        if start and first in (0, len(block)):
            size *= 2  # one entry is longer than the block
            continue
        ends = [one.end() for one in _END_OF_LINE.finditer(block, first)]
        if len(ends) >= wanted:
            os.lseek(fd, start + ends[-wanted], os.SEEK_SET)
            return 0
        wanted, position, size = wanted - len(ends), start + first, _BLOCK
    os.lseek(fd, 0, os.SEEK_SET)
    return wanted
