"""The last lines of a log, for pages that look at them: bounded, filtered, in pieces.

A log may have any size and any content. What is kept here are its last lines, cleaned of all
sequences but colours, each up to a length; what is older stays in the engine's log file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from dockmagic.widgets.sanitize import Cleaner
from dockmagic.widgets.terminal_colors import Run, css, runs

KEPT_LINES: Final = 10_000
KEPT_CHARACTERS: Final = 4 * 1024 * 1024
LONGEST: Final = 4096  # characters of a line that are shown


class Line(Struct, frozen=True):
    """One line; `number` counts from the first that was read."""

    number: int
    time: str
    stream: str
    text: str  # with SGR sequences
    plain: str
    style: Run  # at its beginning: that of the end of the line before

    def runs(self) -> list[Run]:
        return runs(self.text, self.style)[0]

    def message(self) -> list[Any]:
        """As a page gets it: texts, and styles that are ours."""
        pieces = [[run.text, css(run)] if css(run) else [run.text] for run in self.runs()]
        return [self.number, self.time, int(self.stream == "stderr"), pieces]


class Query(Struct, frozen=True):
    """Which lines to show: those with all words, in any case, of one stream or of both."""

    text: str = ""
    stream: str = ""

    def matches(self, line: Line) -> bool:
        if self.stream and line.stream != self.stream:
            return False
        return all(word in line.plain.lower() for word in self.text.lower().split())


_ALL: Final = Query()
_PLAIN: Final = Run("")


class LogBuffer:
    """Thread-safe."""

    def __init__(self, lines: int = KEPT_LINES, characters: int = KEPT_CHARACTERS) -> None:
        self._most_lines = lines
        self._most_characters = characters
        self._lines: deque[Line] = deque()
        self._characters = 0
        self._styles: dict[str, Run] = {}
        self._lock = threading.Lock()
        self.total = 0  # lines that were added

    def add(self, stream: str, time: str, data: bytes) -> None:
        text = Cleaner().feed(data, final=True).rstrip("\n").removesuffix("\r")
        text = text.rsplit("\r", 1)[-1]  # a progress line shows what it was drawn over with last
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]}…"
        with self._lock:
            style = self._styles.get(stream, _PLAIN)
            pieces, self._styles[stream] = runs(text, style)
            plain = "".join(run.text for run in pieces)
            self._lines.append(Line(self.total, time, stream, text, plain, style))
            self.total += 1
            self._characters += len(text)
            while self._is_full:
                self._characters -= len(self._lines.popleft().text)

    def note(self, text: str) -> None:
        """A line of ours between the others."""
        self.add("note", "", f"\x1b[90m… {text}\x1b[0m".encode())

    @property
    def _is_full(self) -> bool:
        too_many = len(self._lines) > self._most_lines
        return too_many or (self._characters > self._most_characters and len(self._lines) > 1)

    @property
    def first(self) -> int:
        """The number of the oldest line that is kept."""
        with self._lock:
            return self.total - len(self._lines)

    def last(self, count: int, query: Query = _ALL, *, before: int | None = None) -> list[Line]:
        """The last `count` lines that match, those before line `before`."""
        with self._lock:
            lines = list(self._lines)
        chosen: deque[Line] = deque()
        for line in reversed(lines):
            if (before is None or line.number < before) and query.matches(line):
                chosen.appendleft(line)
                if len(chosen) == count:
                    break
        return list(chosen)

    def since(self, number: int) -> list[Line]:
        """The lines from that number on."""
        with self._lock:
            start = max(0, number - (self.total - len(self._lines)))
            return [self._lines[index] for index in range(start, len(self._lines))]


class StampedLines:
    """Splits the bytes of a log, each line of which begins with its time, into lines."""

    def __init__(self, longest: int = 64 * 1024) -> None:
        self._longest = longest
        self._rests: dict[str, bytes] = {}

    def feed(self, stream: str, data: bytes) -> Iterator[tuple[str, str, bytes]]:
        """(stream, time, text) for each line that is whole, or longer than can be shown."""
        *whole, rest = (self._rests.get(stream, b"") + data).split(b"\n")
        self._rests[stream] = rest[: self._longest]
        for line in whole:
            yield self._split(stream, line)

    def rest(self) -> Iterator[tuple[str, str, bytes]]:
        """What was not ended by a line end."""
        for stream, line in self._rests.items():
            if line:
                yield self._split(stream, line)
        self._rests = {}

    def _split(self, stream: str, line: bytes) -> tuple[str, str, bytes]:
        time, _, text = line[: self._longest].partition(b" ")
        return stream, time.decode(errors="replace"), text


def texts(lines: Iterable[Line], *, timestamps: bool = False) -> str:
    """The lines as the command line prints them, without colours."""
    return "\n".join(f"{line.time} {line.plain}" if timestamps else line.plain for line in lines)
