"""The standard streams of a supervised process: pipes, or the master of a terminal."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Final

from dockmagic_runtime.supervisor.loop import READ, WRITE, Loop

CHUNK: Final = 64 * 1024
# beyond this the client that sends standard input is not read until the program has read
INPUT_LIMIT: Final = 1024 * 1024
_END_KEY: Final = b"\x04"
_KEY_REPEAT: Final = 0.25  # seconds

Sink = Callable[[str, bytes], None]


class Stdio:
    """Owns the supervisor's ends. `child_fds` are the child's; `close_child_ends` after the fork.

    Output goes to `sink(stream, data)`; when all output has ended, `on_end()` is called once.
    """

    def __init__(self, loop: Loop, *, terminal: bool, open_stdin: bool) -> None:
        self._loop = loop
        self._input = -1
        self._pending = bytearray()
        self._close_after_pending = False
        self._outputs: dict[int, str] = {}
        self.terminal = terminal
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if terminal:
            self.child_fds = [null, null, null]  # replaced by the slave inside
            return
        if open_stdin:
            theirs, self._input = os.pipe2(os.O_CLOEXEC)
            os.close(null)
        else:
            theirs = null
        out, out_child = os.pipe2(os.O_CLOEXEC)
        err, err_child = os.pipe2(os.O_CLOEXEC)
        self.child_fds = [theirs, out_child, err_child]
        self._outputs = {out: "stdout", err: "stderr"}

    def install_in_child(self) -> None:
        """In the child: the ends become 0, 1 and 2."""
        for standard, fd in enumerate(self.child_fds):
            os.dup2(fd, standard)

    def close_child_ends(self) -> None:
        for fd in set(self.child_fds):
            os.close(fd)
        self.child_fds = []

    def adopt_terminal(self, master: int) -> None:
        """The child has made its terminal and sent the master."""
        self._input = os.dup(master)
        os.set_inheritable(self._input, False)
        self._outputs = {master: "stdout"}

    def serve(self, sink: Sink, on_end: Callable[[], None]) -> None:
        for fd, stream in self._outputs.items():
            os.set_blocking(fd, False)
            self._loop.watch(fd, READ, self._reader(fd, stream, sink, on_end))
        if self._input >= 0:
            os.set_blocking(self._input, False)

    def _reader(
        self, fd: int, stream: str, sink: Sink, on_end: Callable[[], None]
    ) -> Callable[[int], None]:
        return lambda _events: self._read(fd, stream, sink, on_end)

    def _read(self, fd: int, stream: str, sink: Sink, on_end: Callable[[], None]) -> None:
        data = _read_some(fd)
        if data:
            sink(stream, data)
        elif data is not None:
            self._end_output(fd)
            if not self._outputs:
                on_end()

    def _end_output(self, fd: int) -> None:
        self._loop.forget(fd)
        os.close(fd)
        del self._outputs[fd]

    def pause_output(self, paused: bool) -> None:
        """Stop reading, so that the program waits instead of our memory growing."""
        for fd in self._outputs:
            key = self._loop.selector.get_map().get(fd)
            if key is not None:
                self._loop.selector.modify(fd, 0 if paused else READ, key.data)

    def drain(self, sink: Sink) -> None:
        """After the last process has gone: what still lies in the pipes, without waiting."""
        for fd, stream in list(self._outputs.items()):
            while data := _read_some(fd):
                sink(stream, data)
            self._end_output(fd)

    def write(self, data: bytes) -> None:
        if self._input < 0:
            return  # closed, or never open: a program without -i has no standard input
        self._pending += data
        self._flush()

    @property
    def is_full(self) -> bool:
        return len(self._pending) > INPUT_LIMIT

    def close_input(self) -> None:
        if self._pending:
            self._close_after_pending = True
        elif self._input >= 0 and self.terminal:
            self._press_end()
        elif self._input >= 0:
            self._loop.forget(self._input)
            os.close(self._input)
            self._input = -1

    def _press_end(self) -> None:
        """On a terminal the end of input is a key, ctrl-D, held down: a shell that is just
        setting up its line editor throws away what was typed before."""
        if self._input >= 0:
            self.write(_END_KEY)
            self._loop.after(_KEY_REPEAT, self._press_end)

    def _flush(self) -> None:
        while self._pending:
            try:
                written = os.write(self._input, self._pending)
            except BlockingIOError:
                self._loop.watch(self._input, WRITE, lambda _events: self._flush())
                return
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise
                self._pending.clear()  # nobody will ever read it
                break
            del self._pending[:written]
        self._loop.forget(self._input)
        if self._close_after_pending:
            self.close_input()

    def resize(self, rows: int, columns: int) -> None:
        if self.terminal and self._input >= 0:
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        for fd in list(self._outputs):
            self._end_output(fd)
        if self._input >= 0:
            self._loop.forget(self._input)
            os.close(self._input)
            self._input = -1


def _read_some(fd: int) -> bytes | None:
    """Data, b"" at the end, None when there is nothing now."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:  # a terminal whose last slave was closed
            return b""
        raise
