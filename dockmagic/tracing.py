"""`dockmagic --trace COMMAND`: where the time of one command went, on standard error.

It is printed when the command has ended, so that what it writes stays what it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from dockmagic.commands.container.explain import Explained
from dockmagic.session import Session
from dockmagic_runtime.model.explanation import Explanation


@contextmanager
def traced(session: Session, stream: TextIO) -> Iterator[None]:
    """Write the operations of every start in this block to `stream`, and how long all took."""
    began = time.perf_counter()
    starts: list[Explanation] = []
    engine = session.engine
    opened = time.perf_counter()
    engine.system.trace_starts(starts.append)
    try:
        yield
    finally:
        ended = time.perf_counter()
        stream.write(f"{_ms(opened - began)} to open the Docker area\n")
        for operation in starts:
            stream.write(f"{_ms(operation.seconds)} to start {operation.container_id[:12]}:\n")
            stream.write(f"{Explained(operation, calls=True).text()}\n")
        stream.write(f"{_ms(ended - opened)} for the command, until its last output\n")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"
