"""A command's output on its way into a cell: cleaned, bounded, and a copy kept.

A notebook keeps what a cell shows, and a page redraws it: a container that floods its output would
fill the file and stop the page. Short outputs go to the cell as they come. Of a long one the cell
shows the beginning and, live, the last lines; when it ends, the notebook keeps the beginning, the
end, and a line that says how many are left out and where they are.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

from msgspec import Struct, field

from dockmagic.widgets.live_output import LiveOutput
from dockmagic.widgets.live_output import publish as _publisher
from dockmagic.widgets.sanitize import Cleaner

KEPT = 1 << 20  # characters of output that the returned object keeps
SAVED = 200  # lines at the beginning, and at the end, of an output that is too long
_LONGEST = 4096  # characters of a line that is shown
_HEAD = 256 * 1024  # characters that the beginning may have
_FLUSH = 1 / 30  # seconds between two updates of a cell's output
_REDRAW = 0.2  # seconds between two drawings of the last lines


class Limits(Struct, frozen=True):
    """How a cell bounds its output. `lines` is how many it shows while it grows, 0 for all."""

    lines: int = 0
    live: bool = False  # the front end can replace an output


class CellOutput:
    """The standard streams of a cell, bounded. `rest` says how to get what is left out."""

    def __init__(self, limits: Limits, rest: str = "") -> None:
        self._limits = limits
        self._rest = rest
        self._lines = 0
        self._characters = 0
        self._flushed = 0.0
        self._tail: Tail | None = None

    def write(self, stream: str, text: str) -> None:
        if self._tail is not None:
            self._tail.add(stream, text)
            return
        passed, left = self._split(text)
        if passed:
            self._write(stream, passed)
        if left:
            self._tail = Tail(self._limits, min(self._lines, SAVED))
            self._tail.add(stream, left)

    def _split(self, text: str) -> tuple[str, str]:
        """What may go to the cell at once, and what comes after it."""
        if not self._limits.lines:
            return text, ""
        begin = 0
        while begin < len(text):
            end = text.find("\n", begin) + 1 or len(text)
            self._lines += (text[end - 1] == "\n") + (end - begin) // _LONGEST
            self._characters += end - begin
            if self._lines > SAVED or self._characters > _HEAD:
                break
            begin = end
        return text[:begin], text[begin:]

    def _write(self, stream: str, text: str) -> None:
        write(stream, text)
        now = time.monotonic()
        if now - self._flushed >= _FLUSH:  # a kernel's streams flush what is left by themselves
            self._flushed = now
            _target(stream).flush()

    def close(self) -> None:
        if self._tail is not None:
            self._tail.close(self._rest)
            self._tail = None
        for stream in ("stdout", "stderr"):
            _target(stream).flush()


class Tail:
    """The end of an output that is too long."""

    def __init__(self, limits: Limits, shown: int) -> None:
        self._limits = limits
        self._lines: deque[tuple[str, str]] = deque(maxlen=max(SAVED, limits.lines))
        self._count = 0
        self._shown = shown  # lines that the cell has already
        self._open = ""  # a line that has not ended
        self._stream = "stdout"  # in which it is
        self._lock = threading.Lock()
        self._output = LiveOutput(self._bundle, _publisher) if limits.live else None
        self._over = threading.Event()
        self._drawer: threading.Thread | None = None
        if self._output is not None:
            self._drawer = threading.Thread(
                target=copy_context().run,
                args=(self._draw,),
                name="dockmagic-output-tail",
                daemon=True,
            )
            self._drawer.start()

    def add(self, stream: str, text: str) -> None:
        with self._lock:
            self._stream = stream
            whole = self._open + text
            count = whole.count("\n")
            most = self._lines.maxlen or 0
            *lines, self._open = whole.rsplit("\n", most)
            self._open = self._open[-_LONGEST:]
            self._count += count
            # Of a flood the lines before the last ones are not even split.
            for line in lines[1:] if count > most else lines:
                self._lines.append((stream, _last_state(line)))

    def _draw(self) -> None:
        """Until the end; a pause of the output does not keep its last lines from the page."""
        while not self._over.wait(_REDRAW):
            assert self._output is not None
            self._output.show()

    def _bundle(self) -> dict[str, Any]:
        with self._lock:
            left_out = self._count - len(self._lines)
            lines = [text for _, text in self._lines]
        head = [f"… {left_out:,} lines before these …"] if left_out else []
        return {"text/plain": "\n".join([*head, *lines])}

    def close(self, rest: str) -> None:
        self._over.set()
        if self._drawer is not None:
            self._drawer.join()
        if self._open:
            self.add(self._stream, "\n")
        lines = list(self._final(rest))
        if self._output is None:
            for stream, text in lines:
                write(stream, f"{text}\n")
            return
        self._output.show()
        self._output.end({"text/plain": "\n".join(text for _, text in lines)})

    def _final(self, rest: str) -> Iterator[tuple[str, str]]:
        """All of it if the cell could show that, else the last lines below a note."""
        kept = list(self._lines)
        if self._shown + self._count > self._limits.lines:
            kept = kept[-SAVED:]
            left_out = self._count - len(kept)
            yield "stdout", f"… {left_out:,} lines not shown{rest and f': {rest}'} …"
        yield from kept


def _last_state(line: str) -> str:
    """A line as a terminal leaves it: a progress bar rewrites its own."""
    text = line.removesuffix("\r").rpartition("\r")[2]
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _target(stream: str) -> Any:
    return sys.stderr if stream == "stderr" else sys.stdout


def write(stream: str, text: str) -> None:
    _target(stream).write(text)


class Streams(Struct):
    """Where a command's output goes: cleaned, to the cell or to variables, and a copy kept."""

    cell: CellOutput = field(default_factory=lambda: CellOutput(Limits()))
    captured: frozenset[str] = frozenset()
    tty: bool = False
    _cleaners: dict[str, Cleaner] = field(default_factory=dict)
    _kept: dict[str, list[str]] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)

    def write(self, stream: str, data: bytes, *, final: bool = False) -> None:
        cleaner = self._cleaners.setdefault(stream, Cleaner(crlf=self.tty))
        text = cleaner.feed(data, final=final)
        if not text:
            return
        self._keep(stream, text)
        if stream not in self.captured:
            self.cell.write(stream, text)

    def close(self) -> None:
        for stream in list(self._cleaners):
            self.write(stream, b"", final=True)
        self.cell.close()

    def _keep(self, stream: str, text: str) -> None:
        kept = self._kept.setdefault(stream, [])
        kept.append(text)
        self._sizes[stream] = self._sizes.get(stream, 0) + len(text)
        if self._sizes[stream] > 2 * KEPT and stream not in self.captured:
            kept[:] = [self.text(stream)[-KEPT:]]
            self._sizes[stream] = KEPT

    def text(self, stream: str) -> str:
        return "".join(self._kept.get(stream, []))


def bounded(text: str, limit: int, rest: str) -> str:
    """A text that is whole already, in the same bounds."""
    lines = text.split("\n")
    if not limit or len(lines) <= limit:
        return text
    left_out = len(lines) - 2 * SAVED
    note = f"… {left_out:,} lines not shown{rest and f': {rest}'} …"
    return "\n".join([*lines[:SAVED], note, *lines[-SAVED:]])
