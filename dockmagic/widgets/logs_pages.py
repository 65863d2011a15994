"""A log that is followed, and the pages that look at it.

A page is sent what it looks at: the last lines that match its query, older ones when it asks, and
new ones as it has drawn the ones before, so that a flood of lines neither fills the page nor waits
for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from dockmagic.widgets.logs_buffer import Line, LogBuffer, Query, StampedLines

PIECE: Final = 500  # lines in one message
INTERVAL: Final = 0.1  # seconds between two messages to a page
_FIRST_SAVE, _SAVE_EVERY = 2.0, 30.0  # seconds between two changes of the output below

FAST: Final = 20_000  # lines in a second, above which a log is not read whole
_JUMP: Final = 1_000  # last lines that are read of it instead

# Opens the log from a number of last lines on (None: the beginning that was asked for); it is
# given what says whether to stop.
Source = Callable[[Callable[[], bool], int | None], Iterable[tuple[str, bytes]]]


class Page:
    """What one page looks at. `sent` is the number after the last line that it was sent."""

    def __init__(self) -> None:
        self.query = Query()
        self.is_following = True
        self.is_drawing = False  # it has not answered the last message yet
        self.sent = 0


class LogFollower:
    """Reads a log in a thread of its own, until the log ends or `stop`."""

    def __init__(self, source: Source, on_change: Callable[[], None]) -> None:
        self.buffer = LogBuffer()
        self.is_over = False
        self.error: Exception | None = None
        self._stopped = threading.Event()
        self._source = source
        self._on_change = on_change
        self._last_time = ""
        self._thread = threading.Thread(target=self._run, name="dockmagic-logs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    @property
    def was_stopped(self) -> bool:
        return self._stopped.is_set()

    def join(self, timeout: float | None) -> bool:
        """Wait for its end; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            tail = None
            while self._read(tail):
                tail = _JUMP
        except Exception as error:  # of the thread: it is raised where the end is waited for
            self.error = error
        finally:
            self.is_over = True
            self._on_change()

    def _read(self, tail: int | None) -> bool:
        """Read on to the end of the log; True when it grows too fast for that."""
        lines, seen = StampedLines(), self._last_time
        began, count = time.monotonic(), 0
        for stream, data in self._source(self._stopped.is_set, tail):
            count += self._add(lines.feed(stream, data), seen)
            if self._stopped.is_set():
                return False
            if time.monotonic() - began > 1:
                began, count = time.monotonic(), 0
            elif count > FAST:
                self.buffer.note("lines come too fast: some are left out here, not in the log")
                return not self._stopped.wait(1)
        self._add(lines.rest(), seen)
        return False

    def _add(self, lines: Iterable[tuple[str, str, bytes]], seen: str) -> int:
        """Lines after the time `seen`; how many there were."""
        count = 0
        for stream, stamp, text in lines:
            count += 1
            if stamp > seen:
                self.buffer.add(stream, stamp, text)
                self._last_time = stamp
        self._on_change()
        return count


class LogPages:
    """Sends the lines of a follower to pages, in a thread of its own that ends with the log."""

    def __init__(self, source: Source, send: Callable[[dict[str, Any]], None]) -> None:
        self._changed = threading.Condition()
        self._news = 0
        self._pages: dict[str, Page] = {}
        self._message = send
        self._save: Callable[[], None] = lambda: None
        self._end: Callable[[], None] = lambda: None
        self.follower = LogFollower(source, self._notify)
        self._sender = threading.Thread(
            target=self._send, name="dockmagic-logs-sender", daemon=True
        )

    def start(self, save: Callable[[], None], end: Callable[[], None]) -> None:
        """`save` replaces the output below, now and then; `end` for the last time."""
        self._save, self._end = save, end
        self.follower.start()
        self._sender.start()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the log and of both threads; whether they have ended."""
        if not self.follower.join(timeout):
            return False
        self._sender.join(timeout)
        return not self._sender.is_alive()

    # The thread that sends.

    def _notify(self) -> None:
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    def _send(self) -> None:
        seen, saved = 0, time.monotonic() + _FIRST_SAVE - _SAVE_EVERY
        unsaved = False
        while not self.follower.is_over:
            with self._changed:
                due = saved + _SAVE_EVERY - time.monotonic() if unsaved else None
                self._changed.wait_for(self._is_news(seen), due)
                unsaved = unsaved or self._news != seen
                seen = self._news
            self._push()
            if unsaved and time.monotonic() - saved >= _SAVE_EVERY:
                self._save()
                saved, unsaved = time.monotonic(), False
            with self._changed:
                self._changed.wait_for(lambda: self.follower.is_over, INTERVAL)
        self._push(last=True)
        self._end()

    def _is_news(self, seen: int) -> Callable[[], bool]:
        return lambda: self._news != seen or self.follower.is_over

    def _push(self, *, last: bool = False) -> None:
        """New lines, for each page that follows and has drawn the ones before."""
        with self._changed:
            ready = [
                (name, page)
                for name, page in self._pages.items()
                if page.is_following and (last or not page.is_drawing)
            ]
        for name, page in ready:
            lines = self.follower.buffer.since(page.sent)
            page.sent = self.follower.buffer.total
            chosen = [line for line in lines if page.query.matches(line)]
            if chosen:
                page.is_drawing = True
                skipped = max(0, len(chosen) - PIECE)
                self._lines(name, chosen[-PIECE:], "end", skipped=skipped)

    def _lines(self, page: str, lines: list[Line], place: str, *, skipped: int = 0) -> None:
        buffer = self.follower.buffer
        self._message(
            {
                "kind": "lines", "page": page, "place": place, "skipped": skipped,
                "lines": [line.message() for line in lines],
                "first": buffer.first, "total": buffer.total,
            }
        )  # fmt: skip

    # From pages.

    def receive(self, message: dict[str, Any]) -> None:
        kind, name = str(message.get("kind")), str(message.get("page"))
        if kind == "stop":
            self.follower.stop()
        elif kind == "close":
            with self._changed:
                self._pages.pop(name, None)
        elif kind == "look":
            self._look(name, message)
        elif kind == "older":
            page = self._pages.get(name)
            if page is not None:
                before = int(message["before"])
                self._lines(
                    name, self.follower.buffer.last(PIECE, page.query, before=before), "start"
                )
        elif kind == "drawn":
            self._drawn(name)

    def _look(self, name: str, message: dict[str, Any]) -> None:
        """A page begins, changes its query, or follows again: the last lines for it."""
        page = Page()
        page.query = Query(str(message.get("text", ""))[:200], str(message.get("stream", "")))
        page.is_following = bool(message.get("following", True))
        page.sent = self.follower.buffer.total
        page.is_drawing = True
        lines = [ln for ln in self.follower.buffer.last(PIECE, page.query) if ln.number < page.sent]
        with self._changed:
            self._pages[name] = page
        self._lines(name, lines, "all")

    def _drawn(self, name: str) -> None:
        page = self._pages.get(name)
        if page is not None:
            page.is_drawing = False
            self._notify()
