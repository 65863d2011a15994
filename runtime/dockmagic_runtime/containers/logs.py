"""`logs`: reading the json-file log, also while it grows."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.model.container import LogLine, Status
from dockmagic_runtime.supervisor.log import timestamp

_POLL = 0.05  # seconds between looks at a log that is followed


def logs(
    registry: Registry,
    record: Record,
    *,
    follow: bool,
    tail: int | None,
    since: float,
    until: float,
) -> Iterator[LogLine]:
    """Log lines in order. `tail` counts lines from the end; times are seconds since the epoch."""
    path = registry.log(record.id)
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(fd, "rb") as stream:
        lines = _between(_decoded(stream), since, until)
        if tail is not None:
            lines = iter(deque(lines, maxlen=max(tail, 0)))
        yield from lines
        while follow:
            # the state first: what was written before the end is then certainly in the file
            alive = Status(registry.state(record.id).status).is_alive
            yield from _between(_decoded(stream), since, until)
            if not alive or (until and time.time() > until):
                return
            time.sleep(_POLL)


def _decoded(stream: BinaryIO) -> Iterator[LogLine]:
    """Whole lines from where the stream stands; a line half written is left for the next time."""
    while True:
        start = stream.tell()
        line = stream.readline()
        if not line.endswith(b"\n"):
            stream.seek(start)
            return
        entry = json.loads(line)
        yield LogLine(entry["stream"], entry["time"], entry["log"].encode())


def _between(lines: Iterator[LogLine], since: float, until: float) -> Iterator[LogLine]:
    first = timestamp(int(since * 1e9)) if since else ""
    last = timestamp(int(until * 1e9)) if until else "~"  # RFC 3339 in UTC sorts as text
    return (line for line in lines if first <= line.time <= last)
