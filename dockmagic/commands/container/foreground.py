"""A process in the foreground: its output, and how it is asked to end.

The output is read by a thread. A signal's exception then arrives in the main thread between two
pieces of output and cannot tear a half-read message, so what comes after the interrupt is still
shown and the exit code is still known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue

from dockmagic.commands.output.result import Attached, Finished

Sink = Callable[[str, bytes], None]
_WAITING = 64  # pieces of output that may wait for a slow reader before the process has to


class Foreground:
    """What an attached process writes, and its end."""

    def __init__(self, attached: Attached) -> None:
        self.attached = attached
        self.process = attached.process
        self._pieces: Queue[tuple[str, bytes] | BaseException | None] = Queue(_WAITING)
        self._reader = threading.Thread(target=self._read, name="dockmagic-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for piece in self.process.output():
                self._pieces.put(piece)
        except BaseException as error:
            self._pieces.put(error)
        else:
            self._pieces.put(None)

    def output(self, deadline: float | None = None) -> Iterator[tuple[str, bytes]]:
        """Pieces until the process has ended. Raises TimeoutError at the deadline."""
        while True:
            piece = self._next(deadline)
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            if piece[0] in self.attached.streams:
                yield piece

    def _next(self, deadline: float | None) -> tuple[str, bytes] | BaseException | None:
        if deadline is None:
            return self._pieces.get()
        try:
            return self._pieces.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            raise TimeoutError from None

    def feed(self, data: bytes) -> None:
        """Give it all of its standard input, then the end of it."""
        threading.Thread(
            target=self._feed, args=(data,), name="dockmagic-input", daemon=True
        ).start()

    def _feed(self, data: bytes) -> None:
        self.process.write(data)
        self.process.close_stdin()

    def finish(self) -> Finished:
        self._reader.join()
        return Finished(self.attached.name, self.process.wait())

    def end(self, sink: Sink, grace: float) -> Finished:
        """Interrupt it, and kill it when the grace is over or at the next interrupt.

        One that was there before is left running instead: the result is `detached` then.
        """
        if self.attached.proxy_signals:
            self.process.signal("INT")
        elif self.attached.joined:
            grace = 0.0
        try:
            for stream, data in self.output(time.monotonic() + grace):
                sink(stream, data)
        except (TimeoutError, KeyboardInterrupt):
            if self.attached.joined:
                self.process.detach()
                self._reader.join()  # it has ended, or the connection has
                return Finished(self.attached.name, 0, detached=True)
            self.process.signal("KILL")
            for stream, data in self.output():
                sink(stream, data)
        return self.finish()


class Interrupted(KeyboardInterrupt):
    """The caller was interrupted; `finished` is what has become of the process."""

    def __init__(self, finished: Finished) -> None:
        super().__init__()
        self.finished = finished


def watch(attached: Attached, sink: Sink, *, stdin: bytes = b"", grace: float = 3.0) -> Finished:
    """Pass its output on until it ends. Raises Interrupted after an interrupt has ended it."""
    foreground = Foreground(attached)
    if attached.stdin:
        foreground.feed(stdin)
    try:
        for stream, data in foreground.output():
            sink(stream, data)
    except KeyboardInterrupt:
        raise Interrupted(foreground.end(sink, grace)) from None
    return foreground.finish()
