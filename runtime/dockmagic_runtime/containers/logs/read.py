"""`logs`: the output of a container, from a position on, and what it goes on to write.

`lines` yields lines with their times, long ones joined again; `stream` yields bytes as fast as the
file can be decoded. Without `follow` both end where the log ended when they were called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from dockmagic_runtime.containers.logs import entries
from dockmagic_runtime.containers.logs.entries import Entry, Joiner
from dockmagic_runtime.containers.logs.files import LogFiles
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.model.container import LogLine, Status
from dockmagic_runtime.store.log_follower import RotatedReader
from dockmagic_runtime.supervisor.logs.json_file import timestamp

_POLL: Final = 0.05  # seconds between looks at a log that is followed


class Selection(Struct, frozen=True, kw_only=True):
    """Which lines are read. `tail` counts from the end; times are seconds since the epoch, 0 open.

    As with Docker, `since` and `until` choose among the lines of the tail.
    """

    follow: bool = False
    tail: int | None = None
    since: float = 0
    until: float = 0

    @property
    def first(self) -> str:
        return timestamp(int(self.since * 1e9)) if self.since else ""

    @property
    def last(self) -> str:
        return timestamp(int(self.until * 1e9)) if self.until else ""


def lines(store: ContainerStore, record: Record, selection: Selection) -> Iterator[LogLine]:
    """Log lines in order. Raises Unsupported for a container that logs nowhere."""
    reader = _reader(store, record, selection)
    return _between(reader.lines(), selection.first, selection.last)


def _between(lines: Iterator[LogLine], first: str, last: str) -> Iterator[LogLine]:
    return (line for line in lines if first <= line.time and (not last or line.time <= last))


def stream(
    store: ContainerStore,
    record: Record,
    selection: Selection,
    *,
    timestamps: bool = False,
    is_cancelled: Callable[[], bool] | None = None,
) -> LogReader:
    """The bytes in order, by stream; with `timestamps` each line begins with its time.

    A follower ends when `is_cancelled`, which is called several times a second, returns True.

    Raises Unsupported for a container that logs nowhere.
    """
    return _reader(store, record, selection, timestamps=timestamps, is_cancelled=is_cancelled)


def _reader(
    store: ContainerStore,
    record: Record,
    selection: Selection,
    *,
    timestamps: bool = False,
    is_cancelled: Callable[[], bool] | None = None,
) -> LogReader:
    _require_file(record)
    store.state(record.id)  # what it wrote without a supervisor is written down by the next one

    def is_over() -> bool:
        # asked before the file is read: what was written before the end is then certainly in it
        if is_cancelled is not None and is_cancelled():
            return True
        alive = selection.follow and Status(store.state(record.id).status).is_alive
        return not alive or bool(selection.until and time.time() > selection.until)

    return LogReader(store.log(record.id), selection, is_over, timestamps=timestamps)


def _require_file(record: Record) -> None:
    if record.spec.log_driver in ("json-file", "local"):
        return
    from dockmagic_runtime.supervisor.logs.options import log_options  # of few containers

    if not log_options(record.spec.log_driver, record.spec.log_options).has_file:
        raise Unsupported("configured logging driver does not support reading")


class LogReader:
    """Reads one log. Iterating yields (stream, bytes); `lines` is the other way to read it.

    `damaged` counts the lines of the file that are no entries, so far.
    """

    def __init__(
        self,
        path: str,
        selection: Selection,
        is_over: Callable[[], bool],
        *,
        timestamps: bool = False,
    ) -> None:
        self.damaged = 0
        self._timestamps = timestamps
        self._selection = selection
        self._is_over = is_over
        self._over = is_over()
        self._files = LogFiles(path)
        if selection.tail is not None:
            self._files.skip_to_tail(selection.tail)
        elif selection.first:
            self._files.skip_to_time(selection.first)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        first, last = self._selection.first, self._selection.last
        stamper = entries.Stamper() if self._timestamps else None
        for read in self._entries():
            chosen = entries.between(read, first, last)
            yield from stamper.chunks(chosen) if stamper else entries.chunks(chosen)
        if stamper:
            yield from stamper.rest()

    def lines(self) -> Iterator[LogLine]:
        """All lines of the selection's tail; their times are the caller's to compare.

        Each is whole up to 64 MiB. With `follow` it comes in parts of 1 MiB, as it is written.
        """
        following = self._selection.follow
        joiner = Joiner(entries.LONGEST_PART if following else entries.LONGEST_LINE)
        for read in self._entries():
            yield from joiner.lines(read)
        yield from joiner.rest()

    def _entries(self) -> Iterator[list[Entry]]:
        for block in self._blocks():
            decoded, damaged = entries.decode(block)
            self.damaged += damaged
            yield decoded

    def _blocks(self) -> Iterator[bytes]:
        try:
            yield from self._files.blocks()
            if self._over:
                return
            reader = RotatedReader(self._files.path, self._files.take_newest())
            try:
                yield from self._follow(reader)
            finally:
                reader.close()
        finally:
            self._files.close()

    def _follow(self, reader: RotatedReader) -> Iterator[bytes]:
        while True:
            over = self._is_over()
            while block := reader.take_block():
                yield block
            if over:
                return
            time.sleep(_POLL)
