"""The files of a log as they are at one moment, and positions in them.

A log is one file and, when it is rotated, older ones with the endings `.1`, `.2` and so on. All of
them are opened at once, so a reader sees the log as it was when it asked, however fast the writer
goes on. Positions are found without reading what lies before them: the last lines from the end,
a time by bisection, since every entry carries its time.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from dockmagic_runtime.containers.logs.entries import decode
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.store import log_follower
from dockmagic_runtime.supervisor.logs.json_file import timestamp

BLOCK: Final = 512 * 1024
LONGEST_ENTRY: Final = 1024 * 1024  # bytes; the writer's have a sixth of that at most
_STEP: Final = 64 * 1024
_SAMPLES: Final = 32
_CLOCK_TICK: Final = 1_000_000_000  # nanoseconds, more than a file's time may lag behind the clock
# where an entry ends a line: a newline as JSON writes it, not a backslash and an n
_END_OF_LINE: Final = re.compile(
    rb'(?<!\\)(?:\\\\)*\\n","stream":"[a-z]+",(?:"attrs":{.*},)?"time":"[^"]+"}\n'
)
_TIME: Final = re.compile(rb'["}],"time":"([0-9TZ:.+-]{20,40})"}\n')


class Segment(Struct):
    """The part of one file that is read, from `start` to `end`.

    A compressed file is decompressed, into the directory `unpack_to`, when something of it is
    needed: mostly the lines are in files that are newer.
    """

    fd: int
    start: int
    end: int
    modified: int = 0  # nanoseconds since the epoch
    unpack_to: str = ""

    def load(self) -> None:
        if self.unpack_to:
            self.fd = _decompressed(self.fd, self.unpack_to)
            self.start, self.end, self.unpack_to = 0, os.fstat(self.fd).st_size, ""

    def skip(self) -> None:
        self.start, self.unpack_to = self.end, ""


class LogFiles(Closing):
    """The open files of the log at `path`, oldest first. Owns the descriptors."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.segments = list(_newest_first(path))[::-1]

    def __del__(self) -> None:
        self.close()  # of a log that was asked for and never read

    def close(self) -> None:
        while self.segments:
            os.close(self.segments.pop().fd)

    def take_newest(self) -> int:
        """The descriptor of the newest file, positioned at the end of what is read of it; -1
        without any. The caller owns it."""
        if not self.segments:
            return -1
        newest = self.segments.pop()
        newest.load()
        os.lseek(newest.fd, newest.end, os.SEEK_SET)
        return newest.fd

    def blocks(self) -> Iterator[bytes]:
        """The contents in blocks of whole entries, about half a megabyte each."""
        for segment in self.segments:
            yield from _blocks(segment)

    # ------------------------------------------------------------------ positions

    def skip_to_tail(self, count: int) -> None:
        """Leaves the last `count` lines, and the pieces of lines that have no end yet."""
        # the line before the first has an end too; one without an end is the last of the tail
        wanted = max(count + 1 - self._unfinished(), 1) if count else 0
        for segment in reversed(self.segments):
            if wanted <= 0:
                segment.skip()
                continue
            wanted = _skip_to_line(segment, wanted)
        if not count:
            return

    def skip_to_time(self, first: str) -> None:
        """Leaves the entries from about the time `first` on: at most 64 KiB before it.

        Entries are in order unless the clock was set back. A sample of their times decides;
        without order everything is left.
        """
        for segment in self.segments:  # what was written last says that all of it is older
            if segment.unpack_to and timestamp(segment.modified + _CLOCK_TICK) < first:
                segment.skip()
        times = [list(_sampled_times(segment)) for segment in self.segments]
        flat = [time for sample in times for time in sample]
        if flat != sorted(flat):
            return
        for segment in self.segments:
            _skip_to_time(segment, first)

    def _unfinished(self) -> int:
        """The number of streams (0 to 2) with a last line that has no end yet."""
        if not self.segments:
            return 0
        newest = self.segments[-1]
        newest.load()
        start = max(newest.end - 2 * _STEP, newest.start)
        block = os.pread(newest.fd, newest.end - start, start)
        first = block.find(b"\n") + 1 if start else 0
        entries, _ = decode(block[first : block.rfind(b"\n") + 1])
        last = {entry.stream: entry.log for entry in entries}
        return sum(not text.endswith("\n") for text in last.values())


def _newest_first(path: str) -> Iterator[Segment]:
    """Each file once. While the writer moves them up, one number may be missing."""
    seen: list[os.stat_result] = []
    number = missing = 0
    while missing < 2:
        fd, is_compressed = _open(log_follower.name_of(path, number))
        number += 1
        if fd < 0:
            missing += 1
            continue
        status = os.fstat(fd)
        if any(os.path.samestat(status, earlier) for earlier in seen):
            os.close(fd)  # moved up since it was opened
            continue
        missing = 0
        seen.append(status)
        if stat.S_ISREG(status.st_mode):
            directory = os.path.dirname(path) if is_compressed else ""
            yield Segment(fd, 0, status.st_size, status.st_mtime_ns, directory)
        else:
            os.close(fd)  # damaged: nothing can be read of it


def _open(name: str) -> tuple[int, bool]:
    """A descriptor, -1 without such a file, and whether it is compressed."""
    for ending in ("", ".gz", ""):  # it may be replaced by its compressed form in between
        fd = log_follower.open_if_there(f"{name}{ending}")
        if fd >= 0:
            return fd, bool(ending)
    return -1, False


def _decompressed(fd: int, directory: str) -> int:
    """The contents as a file without a name: on the disk, or in memory where that is read-only.
    What is damaged, or does not fit on the disk, is left out. Closes `fd`."""
    import gzip  # most logs are not compressed

    with os.fdopen(fd, "rb") as file, gzip.open(file) as source:
        target = _nameless_file(directory)
        with os.fdopen(os.dup(target), "wb") as stream:
            try:
                import shutil  # for a compressed file

                shutil.copyfileobj(source, stream)
                stream.flush()
            except (OSError, EOFError):
                pass
    return target


def _nameless_file(directory: str) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise
        return os.memfd_create("log", os.MFD_CLOEXEC)


def _blocks(segment: Segment) -> Iterator[bytes]:
    segment.load()
    rest, position = b"", segment.start
    while position < segment.end:
        data = os.pread(segment.fd, min(BLOCK, segment.end - position), position)
        if not data:
            return  # truncated meanwhile
        position += len(data)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield rest + data[:cut]
            rest = data[cut:]
        elif len(rest) < LONGEST_ENTRY:  # else it is no entry: its end is found all the same
            rest += data


def _skip_to_line(segment: Segment, wanted: int) -> int:
    """Starts the segment after the end of the `wanted`th line from its end.

    Returns how many ends were missing: then the segment starts where it did.
    """
    segment.load()
    position, size = segment.end, _STEP
    while position > segment.start:
        start = max(position - size, segment.start)
        block = os.pread(segment.fd, position - start, start)
        first = block.find(b"\n") + 1 if start > segment.start else 0  # where an entry begins
        if start > segment.start and first in (0, len(block)):
            if size < LONGEST_ENTRY:
                size *= 2  # one entry is longer than the block
            else:
                position = start  # no entry at all
            continue
        ends = [match.end() for match in _END_OF_LINE.finditer(block, first)]
        if len(ends) >= wanted:
            segment.start = start + ends[-wanted]
            return 0
        wanted, position, size = wanted - len(ends), start + first, _STEP
    return wanted


def _sampled_times(segment: Segment) -> Iterator[str]:
    """The times of some entries, evenly spread, and of the last one."""
    segment.load()
    length = segment.end - segment.start
    for number in range(_SAMPLES):
        where = _entry_after(segment, segment.start + length * number // _SAMPLES)
        if where is not None:
            yield where[1]


def _skip_to_time(segment: Segment, first: str) -> None:
    low, high = segment.start, segment.end
    while high - low > _STEP:
        middle = (low + high) // 2
        where = _entry_after(segment, middle)
        if where is None or where[0] >= high or where[1] >= first:
            high = middle
        else:
            low = where[0]
    segment.start = low


def _entry_after(segment: Segment, position: int) -> tuple[int, str] | None:
    """Where the first entry at or after `position` begins, and its time."""
    start, size = max(position - 1, segment.start), 4096
    while size <= 2 * LONGEST_ENTRY:
        block = os.pread(segment.fd, min(size, segment.end - start), start)
        first = 0 if position == segment.start else block.find(b"\n") + 1
        if first or position == segment.start:
            match = _TIME.search(block, first)
            if match:
                return start + first, match[1].decode()
        if start + len(block) >= segment.end:
            return None
        size *= 8
    return None
