"""The journal of events: lines of JSON that any process of the area appends to.

A supervisor has no SQLite, and an event is worth no fsync: one O_APPEND write each. Writers share
a lock on the file for the moment of the write; a writer that finds it full takes the lock alone
and renames it, so no process writes to a file that has been renamed, and a reader that has read a
file to its end can leave it. Two files are kept, and with them at least the last `LIMIT` bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from dockmagic_runtime.model import lenient_json
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.store.log_follower import RotatedReader, is_at

LIMIT: Final = 1024 * 1024
_NAME: Final = "events.json"
_POLL: Final = 0.05  # seconds between looks at a journal that is followed
# an area that is being removed, a full or a read-only disk: no event is worth a failed verb
_BEYOND_US: Final = (errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def emit(directory: str, event: Event) -> None:
    """Append the event to the journal of the area at `directory`."""
    line = lenient_json.encode(event.to_json()) + b"\n"
    path = f"{directory}/{_NAME}"
    try:
        while not _append(path, line):
            pass  # it has just been renamed: there is a new one
    except OSError as error:
        if error.errno not in _BEYOND_US:
            raise


def _append(path: str, line: bytes) -> bool:
    """Whether the line was written to the file that `path` names."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if not is_at(fd, path):
            return False
        os.write(fd, line)
        if os.lseek(fd, 0, os.SEEK_CUR) > LIMIT:
            _rotate(fd, path)
        return True
    finally:
        os.close(fd)  # and drop the lock


def _rotate(fd: int, path: str) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX)  # gives the shared one back first: no deadlock, but a gap
    if is_at(fd, path):
        os.rename(path, f"{path}.1")


def read(directory: str, since: float = 0, until: float = 0) -> Iterator[Event]:
    """What the journal has, oldest first, of that span of time: seconds since the epoch, 0 open."""
    return follow(directory, since, until, over=lambda: True)


def follow(
    directory: str, since: float = 0, until: float = 0, *, over: Callable[[], bool] | None = None
) -> Iterator[Event]:
    """The same, and then what is written, until `until` has passed or `over()`.

    What was written before `over` became true is still yielded.
    """
    start, end = int(since * 1e9), int(until * 1e9)
    for line in _lines(f"{directory}/{_NAME}", lambda: _is_past(until) or bool(over and over())):
        event = _decode(line)
        if event is not None and event.time_ns >= start and not 0 < end < event.time_ns:
            yield event


def _is_past(moment: float) -> bool:
    return bool(moment) and time.time() > moment


def _decode(line: bytes) -> Event | None:
    try:
        return Event.from_json(lenient_json.decode(line))
    except (ValueError, KeyError, TypeError):
        return None  # a line that met a full disk


def _lines(path: str, over: Callable[[], bool]) -> Iterator[bytes]:
    """Every line of the two files and of those that come after, in order."""
    reader = RotatedReader(path)
    try:
        while True:
            is_last_look = over()  # first this, then the file: see `follow`
            while lines := reader.take():
                yield from lines
            if is_last_look:
                return
            time.sleep(_POLL)
    finally:
        reader.close()
