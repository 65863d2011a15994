"""The bytes of one process with a terminal, on their way to and from the pages that show it.

Output is sent in packets of at most 64 KiB, one every 25 ms, and a page acknowledges what its
terminal has drawn. While the slowest page is a window behind, nothing more is read from the
process, whose own terminal then makes it wait: `yes` neither hangs the browser nor grows the
kernel. A page that acknowledges nothing for some seconds is gone or asleep; it is no longer waited
for, and gets a replay when it speaks again. Without a page the output goes on into the replay only.

Three threads serve a process, because each may block on its own: the reader on the process, the
sender on the pages, the writer on a program that does not read what was typed. All end with it.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from dockmagic_runtime import ProcessApi

PACKET: Final = 64 * 1024
INTERVAL: Final = 0.025  # seconds between two packets
WINDOW: Final = 4 * PACKET  # sent and not yet acknowledged: what still comes after ctrl-c
BACKLOG: Final = 2 * PACKET  # read and not yet sent
KEPT: Final = 256 * 1024  # bytes of output for a replay
PATIENCE: Final = 5.0  # seconds without an acknowledgement after which a page is not waited for
TYPED: Final = 1024 * 1024  # bytes of input that may wait for the program

_LONGEST = 40  # bytes of a sequence that sets modes
_MODES = re.compile(rb"\x1b\[\?([0-9;]{1,32})([hl])")


class Keys(Protocol):
    """Looks for the detach keys; `feed` returns what the process gets."""

    @property
    def found(self) -> bool: ...

    def feed(self, data: bytes) -> bytes: ...


class Pages(Protocol):
    """What the stream calls, from its own threads."""

    def output(self, at: int, data: bytes) -> None:
        """`data` follows the first `at` bytes of the output."""

    def ended(self, code: int | None) -> None:
        """The process has ended with `code`, or was left running (None). Called once."""


class Replay:
    """The last output, and the terminal modes that were set before its beginning."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._data = bytearray()
        self._modes: dict[bytes, bytes] = {}  # number → h or l, the last that was dropped
        self._tail = b""
        self.total = 0  # bytes of output so far

    def add(self, data: bytes) -> None:
        self._data += data
        self.total += len(data)
        excess = len(self._data) - self._kept
        if excess > 0:
            self._note_modes(bytes(self._data[:excess]))
            del self._data[:excess]

    def _note_modes(self, dropped: bytes) -> None:
        scanned = self._tail + dropped
        self._tail = scanned[-_LONGEST:]  # a sequence that is cut in two
        for numbers, action in _MODES.findall(scanned):
            for number in numbers.split(b";")[:8]:
                if number in self._modes or len(self._modes) < 64:
                    self._modes[number] = action

    def since(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on; it must still be kept."""
        start = len(self._data) - (self.total - offset)
        return bytes(self._data[start : start + limit])

    def until(self, offset: int) -> bytes:
        """All that is kept up to `offset`, for a terminal that begins with nothing: from the
        beginning of a line, with the modes of the output before it."""
        data = bytes(self._data[: len(self._data) - (self.total - offset)])
        if self.total > len(self._data):
            data = data[data.find(b"\n") + 1 :]
        modes = b"".join(b"\x1b[?" + number + self._modes[number] for number in self._modes)
        return modes + data


class TerminalStream:
    """One process. Thread-safe; `start` begins, `leave`, `end` or the process's end finishes."""

    def __init__(
        self,
        process: ProcessApi,
        keys: Keys,
        pages: Pages,
        *,
        owned: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        """`owned`: it was started for this terminal, and ends with the notebook."""
        self._process = process
        self._owned = owned
        self._keys = keys
        self._pages = pages
        self._patience = patience
        self._changed = threading.Condition()
        self._replay = Replay()
        self._sent = 0
        self._acknowledged: dict[str, int] = {}  # offset that each page has drawn up to
        self._typed: deque[bytes] = deque()
        self._is_left = False  # detached: the process goes on
        self._is_over = False
        self._code: int | None = None
        self._threads = [
            threading.Thread(target=target, name=f"dockmagic-terminal-{name}", daemon=True)
            for name, target in (
                ("reader", self._read), ("sender", self._send), ("writer", self._write),
            )
        ]  # fmt: skip

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for its threads; whether all have ended."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(t.is_alive() for t in self._threads if t is not threading.current_thread())

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def code(self) -> int | None:
        """The exit code, once it is over; None for one that was left running."""
        return self._code

    def transcript(self) -> bytes:
        """The end of the output so far."""
        with self._changed:
            return self._replay.until(self._replay.total)

    # Called by pages.

    def open(self, page: str) -> tuple[int, bytes]:
        """A page begins: what it draws first, and the offset of the output that follows."""
        with self._changed:
            if not self._acknowledged:  # all that came before is in the replay
                self._sent = self._replay.total
            self._acknowledged[page] = self._sent
            self._changed.notify_all()
            return self._sent, self._replay.until(self._sent)

    def acknowledge(self, page: str, offset: int) -> bool:
        """Drawn up to `offset`. False for a page that is not waited for: it needs `open`."""
        with self._changed:
            if page not in self._acknowledged:
                return self._is_over
            self._acknowledged[page] = max(self._acknowledged[page], min(offset, self._sent))
            self._changed.notify_all()
            return True

    def close(self, page: str) -> None:
        """It is not looked at there any more."""
        with self._changed:
            self._acknowledged.pop(page, None)
            self._changed.notify_all()

    def type(self, data: bytes) -> bool:
        """Input for the process. False if it was dropped: too much waits for the program."""
        with self._changed:
            if sum(map(len, self._typed)) + len(data) > TYPED:
                return False
            self._typed.append(data)
            self._changed.notify_all()
            return True

    def resize(self, rows: int, columns: int, *, redraw: bool = False) -> None:
        """The size of its terminal. A program draws itself anew when it changes: `redraw` sees to
        it that it does."""
        if self._is_over:
            return
        if redraw:
            self._process.resize(rows + 1, columns)
        self._process.resize(rows, columns)

    # Called by the notebook.

    def leave(self) -> None:
        """Leave the process running."""
        with self._changed:
            if self._is_over:
                return
            self._is_left = True
            self._changed.notify_all()
        self._process.detach()

    def end(self) -> None:
        """Close the connection at once: what was started for this terminal ends, too."""
        with self._changed:
            if self._is_over or self._is_left:
                return
            self._is_left = True
            self._changed.notify_all()
        if self._owned:
            self._process.signal("HUP")  # an exec would go on without its client
        self._process.close()

    def hang_up(self, grace: float) -> None:
        """End it as a terminal that is closed does; kill it after `grace` seconds. Returns at
        once."""
        if not self._is_over:
            self._process.signal("HUP")
            threading.Thread(
                target=self._kill_after, args=(grace,), name="dockmagic-terminal-end", daemon=True
            ).start()

    def _kill_after(self, grace: float) -> None:
        with self._changed:
            is_over = self._changed.wait_for(lambda: self._is_over or self._is_left, grace)
        if not is_over:
            self._process.signal("KILL")

    # The threads.

    def _read(self) -> None:
        code = None
        try:
            for _, data in self._process.output():
                self._take(data)
            code = None if self._is_left else self._process.wait()
        finally:
            with self._changed:
                self._is_over, self._code = True, None if self._is_left else code
                self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        with self._changed:
            while self._backlog + len(data) > BACKLOG and self._backlog and not self._is_left:
                self._changed.wait()
            self._replay.add(data)
            self._changed.notify_all()

    @property
    def _backlog(self) -> int:
        return self._replay.total - self._sent

    def _send(self) -> None:
        while (packet := self._next_packet()) is not None:
            at, data = packet
            if data:
                self._pages.output(at, data)
                self._pause()
        self._threads[0].join()
        self._pages.ended(self._code)

    def _next_packet(self) -> tuple[int, bytes] | None:
        """The next bytes to send and their offset, none if there is no page; None at the end."""
        with self._changed:
            while not self._backlog:
                if self._is_over:
                    return None
                self._changed.wait()
            if self._acknowledged:
                self._await_pages()
            at = max(self._sent, self._replay.total - KEPT)
            if not self._acknowledged:
                self._sent = self._replay.total
                self._changed.notify_all()
                return at, b""
            data = self._replay.since(at, PACKET)
            self._sent = at + len(data)
            self._changed.notify_all()
            return at, data

    def _await_pages(self) -> None:
        """Until the slowest page is less than a window behind, or is given up."""
        deadline = time.monotonic() + self._patience
        slowest = min(self._acknowledged.values())
        while self._acknowledged and self._sent - slowest >= WINDOW and not self._is_left:
            if not self._changed.wait(deadline - time.monotonic()):
                self._acknowledged = {
                    page: offset
                    for page, offset in self._acknowledged.items()
                    if self._sent - offset < WINDOW
                }
            latest = min(self._acknowledged.values(), default=self._sent)
            if latest > slowest:
                deadline = time.monotonic() + self._patience
            slowest = latest

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._is_left, INTERVAL)

    def _write(self) -> None:
        while (data := self._next_typed()) is not None:
            passed = self._keys.feed(data)
            if passed:
                self._process.write(passed)
            if self._keys.found:
                self.leave()
                return

    def _next_typed(self) -> bytes | None:
        with self._changed:
            while not self._typed:
                if self._is_over or self._is_left:
                    return None
                self._changed.wait()
            return self._typed.popleft()
