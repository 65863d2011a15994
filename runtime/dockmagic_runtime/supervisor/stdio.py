"""The standard streams of a supervised process: pipes, or the master of a terminal."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.linux.event_loop import READ, WRITE, EventLoop

CHUNK: Final = 64 * 1024
# beyond this the client that sends standard input is not read until the program has read
INPUT_LIMIT: Final = 1024 * 1024
_END_KEY: Final = b"\x04"
_KEY_REPEAT: Final = 0.25  # seconds

Sink = Callable[[str, bytes], None]


class StdioPipes(Struct):
    """Both ends of the streams, opened before the fork. `child` become 0, 1 and 2 in the child;
    `input` (-1 for none) and `outputs` (descriptor: stream) are the supervisor's."""

    terminal: bool
    child: list[int]
    input: int = -1
    outputs: dict[int, str] = field(default_factory=dict)

    @classmethod
    def open(
        cls, *, terminal: bool, open_stdin: bool, survives_supervisor: bool = False
    ) -> StdioPipes:
        """`survives_supervisor`: without its supervisor the program waits for a reader instead of
        being killed by SIGPIPE."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if terminal:
            return cls(terminal, [null, null, null])  # replaced by the slave inside
        theirs, ours = null, -1
        if open_stdin:
            theirs, ours = os.pipe2(os.O_CLOEXEC)
            os.close(null)
        pipe = _surviving_pipe if survives_supervisor else _pipe
        (out, out_child), (err, err_child) = pipe(), pipe()
        return cls(terminal, [theirs, out_child, err_child], ours, {out: "stdout", err: "stderr"})

    def install_in_child(self) -> None:
        """In the child: the ends become 0, 1 and 2."""
        for standard, fd in enumerate(self.child):
            os.dup2(fd, standard)

    def close_child(self) -> None:
        for fd in set(self.child):
            os.close(fd)
        self.child = []

    def set_terminal(self, master: int) -> None:
        """The child has opened its terminal and sent the master."""
        self.input = os.dup(master)
        self.outputs = {master: "stdout"}

    def close(self) -> None:
        self.close_child()
        for fd in (*self.outputs, *([self.input] if self.input >= 0 else [])):
            os.close(fd)


class Stdio:
    """The supervisor's ends, served by a loop. Output goes to `sink(stream, data)`."""

    def __init__(
        self, loop: EventLoop, sink: Sink, outputs: dict[int, str], input: int, *, terminal: bool
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._outputs = outputs
        self._input = input
        self._pending = bytearray()
        self._close_after_pending = False
        self._paused = False
        self._awaiting_room: list[Callable[[], None]] = []
        self.terminal = terminal
        for fd in (*outputs, *([input] if input >= 0 else [])):
            os.set_blocking(fd, False)
        self._watch()

    def _watch(self) -> None:
        for fd in self._outputs:
            self._loop.watch(fd, READ, self._reader(fd))

    def read(self) -> None:
        """Read what is there now; from then on the loop reports when there is more."""
        for fd in list(self._outputs):
            self._read(fd)

    def _reader(self, fd: int) -> Callable[[int], None]:
        return lambda _events: self._read(fd)

    def _read(self, fd: int) -> None:
        data = _read_some(fd)
        if data:
            self._sink(self._outputs[fd], data)
        elif data is not None:
            self._end_output(fd)

    def _end_output(self, fd: int) -> None:
        self._loop.forget(fd)
        os.close(fd)
        del self._outputs[fd]

    def pause_output(self, paused: bool) -> None:
        """Stop reading, so that the program waits instead of our memory growing."""
        if paused == self._paused:
            return
        self._paused = paused
        if paused:
            for fd in self._outputs:
                self._loop.forget(fd)
        else:
            self._watch()

    def drain(self) -> None:
        """After the exit: what is left in the pipes, without waiting for more."""
        for fd, stream in list(self._outputs.items()):
            while data := _read_some(fd):
                self._sink(stream, data)
            self._end_output(fd)

    def write(self, data: bytes) -> bool:
        """False when the program is far behind: the sender should wait, see `when_room`."""
        if self._input < 0:
            return True  # closed, or never open: a program without -i has no standard input
        self._pending += data
        self._flush()
        return len(self._pending) <= INPUT_LIMIT

    def when_room(self, action: Callable[[], None]) -> None:
        """Call `action` once, when the program has read what was written."""
        self._awaiting_room.append(action)

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
                self._pending.clear()  # it has no reader any more
                break
            del self._pending[:written]
        self._loop.forget(self._input)
        if self._close_after_pending:
            self.close_input()
        self._make_room()

    def _make_room(self) -> None:
        waiting, self._awaiting_room = self._awaiting_room, []
        for action in waiting:
            action()

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
        self._pending.clear()
        self._make_room()


def _pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC)


def _surviving_pipe() -> tuple[int, int]:
    """A pipe with a writing end that is open for reading too, so that it always has a reader: when
    the supervisor is killed, the program is not killed by SIGPIPE, but waits once it is full."""
    reader, writer = _pipe()
    try:
        return reader, os.open(f"/proc/self/fd/{writer}", os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(writer)


def _read_some(fd: int) -> bytes | None:
    """Data, b"" at the end, None when there is nothing now."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:  # a terminal: its last slave was closed
            return b""
        raise
