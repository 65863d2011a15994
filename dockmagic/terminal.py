"""The terminal's side of a container in the foreground.

With `-t` the caller's terminal is made raw, so that every key reaches the container's own
terminal, and is put back whatever happens. Without it, signals are caught and passed on. The
detach keys are looked for in what is typed: they end the connection and leave the container.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from dockmagic.commands.container.foreground import Foreground
from dockmagic.commands.options.detach_keys import parse_keys
from dockmagic.commands.output.result import Attached, Finished

if TYPE_CHECKING:
    from dockmagic_runtime import ProcessApi

# Those that a terminal or a service manager sends; KILL and STOP cannot be caught.
_PASSED_ON = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "CONT", "ALRM")


class KeyWatch:
    """Looks for a sequence of keys in what is typed; `feed` returns what may be passed on."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.found = False

    def feed(self, data: bytes) -> bytes:
        """Bytes that are no part of the sequence; a beginning of it is held back."""
        passed = bytearray()
        for value in data:
            if self.found:
                break
            passed += self._take(bytes([value]))
        return bytes(passed)

    def _take(self, value: bytes) -> bytes:
        held = self._held + value
        if not self._keys or not self._keys.startswith(held):
            self._held = b""
            if value == self._keys[:1]:  # ctrl-p ctrl-p ctrl-q detaches too
                self._held, held = value, held[:-1]
            return held
        self.found = held == self._keys
        self._held = b"" if self.found else held
        return b""


def attach(attached: Attached) -> Finished:
    """Join the caller's streams with the process's until it ends or is left."""
    keys = KeyWatch(parse_keys(attached.detach_keys))
    raw = attached.tty and attached.stdin and has_terminal()
    with ExitStack() as stack:
        if raw:
            stack.enter_context(raw_terminal(sys.stdin.fileno()))
        if attached.tty and sys.stdout.isatty():
            stack.enter_context(followed_size(attached.process, redraw=attached.joined))
        if attached.proxy_signals and not raw:
            stack.enter_context(passed_signals(attached.process))
        foreground = Foreground(attached)
        if attached.stdin:
            stack.enter_context(typist(attached.process, keys))
        return _show(foreground, keys)


def has_terminal() -> bool:
    """Whether standard input is one; it may also be closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def _show(foreground: Foreground, keys: KeyWatch) -> Finished:
    try:
        for stream, data in foreground.output():
            _write(2 if stream == "stderr" else 1, data)
    except KeyboardInterrupt as interrupt:
        # signals are not passed on: the caller leaves, the process stays
        foreground.process.detach()
        if hasattr(interrupt, "exit_code"):
            raise
        return Finished(foreground.attached.name, 0, detached=True)
    if keys.found:
        return _left(foreground.attached)
    return foreground.finish()


def _left(attached: Attached) -> Finished:
    """As Docker's client: 'attach' and 'exec' fail, 'run' and 'start' do not."""
    if attached.detach_code:
        _write(2, b"read escape sequence\n")
    return Finished(attached.name, attached.detach_code, detached=True)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextmanager
def typist(process: ProcessApi, keys: KeyWatch) -> Iterator[None]:
    """What is typed goes to the process until the end of the block."""
    end, wake = os.pipe2(os.O_CLOEXEC)  # a blocked read could not be called off otherwise
    thread = threading.Thread(target=_type, args=(process, keys, end), name="dockmagic-input")
    thread.start()
    try:
        yield
    finally:
        os.close(wake)
        thread.join()
        os.close(end)


def _type(process: ProcessApi, keys: KeyWatch, end: int) -> None:
    while True:
        data = _typed(end)
        if data is None:
            return None
        if not data:
            return process.close_stdin()
        process.write(keys.feed(data))
        if keys.found:
            return process.detach()


def _typed(end: int) -> bytes | None:
    """Some bytes of standard input, none at its end; None when the pipe `end` has ended before."""
    if sys.stdin is None:
        return b""  # closed (`<&-`)
    fd = sys.stdin.fileno()
    try:
        ready, _, _ = select.select([fd, end], [], [])
        return None if end in ready else os.read(fd, 64 * 1024)
    except OSError:
        return b""  # a directory, a terminal that has hung up


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Every key goes through as it is, until the end of the block."""
    saved = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, saved)


@contextmanager
def followed_size(process: ProcessApi, *, redraw: bool = False) -> Iterator[None]:
    """The container's terminal has the size of the caller's, now and after each change.

    A program draws itself anew when the size changes: `redraw` sees to it that it does.
    """

    def resize(*_: Any) -> None:
        columns, rows = _size()
        process.resize(rows, columns)

    if redraw:
        columns, rows = _size()
        process.resize(rows + 1, columns)
    resize()
    with _handlers({signal.SIGWINCH: resize}):
        yield


def _size() -> tuple[int, int]:
    """Columns and rows of the caller's terminal."""
    import shutil  # costs 3 ms

    columns, rows = shutil.get_terminal_size()
    return columns, rows


@contextmanager
def passed_signals(process: ProcessApi) -> Iterator[None]:
    """What is sent to the caller is sent to the process instead."""

    def pass_on(number: int, _: FrameType | None) -> None:
        process.signal(signal.Signals(number).name)

    with _handlers({getattr(signal, f"SIG{name}"): pass_on for name in _PASSED_ON}):
        yield


@contextmanager
def _handlers(handlers: dict[int, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    saved = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
