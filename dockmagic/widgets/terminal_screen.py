"""What a terminal shows, as lines of styled text, HTML and plain text.

The bytes come from a container and may be hostile. They are drawn by a terminal emulator (pyte)
into characters and attributes, and only those go on, escaped: no title, link, clipboard or bell
sequence has any effect, and none reaches the notebook.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import pyte
from msgspec import Struct

from dockmagic.widgets.html import Markup, join, tag
from dockmagic.widgets.sanitize import plain
from dockmagic.widgets.terminal_colors import COLORS, Run, colored, scrolled_to_end

SAVED_LINES: Final = 400
_LIMIT: Final = 64 * 1024  # bytes that are drawn: the emulator does half a megabyte a second
_ALTERNATE = re.compile(r"\x1b\[\?(?:1049|1047|47)([hl])")
# A string up to its end (OSC, DCS, SOS, PM, APC), a control sequence, or another escape.
_ESCAPE = re.compile(
    r"\x1b(?:[\]PX^_].*?(?:\x07|\x1b\\|\Z)|\[(?P<private>[<-?]?)(?P<numbers>[0-9;:]*)"
    r"(?P<between>[ -/]*)(?P<final>[@-~])|(?P<single>[78DEMcH]|[()][0AB])|)",
    re.DOTALL,
)
# What pyte gets of control sequences: the final character, and how many numbers it takes at most.
_TAKEN: Final = dict.fromkeys("ABCDEFGade`JKLMPX@", 1) | {"H": 2, "f": 2, "r": 2, "m": 16, "h": 8}
_TAKEN["l"] = 8
_ERASERS: Final = {"J": 3, "K": 2}  # the largest number that they know
# What turns the direction of text around, and C1 controls.
_HIDDEN = re.compile("[\x80-\x9f\u202a-\u202e\u2066-\u2069]")


Line = tuple[Run, ...]


class Screen(Struct, frozen=True):
    """The lines to show, and how many came before them."""

    lines: tuple[Line, ...]
    is_cut: bool = False

    def text(self) -> str:
        return "\n".join("".join(run.text for run in line) for line in self.lines)

    def html(self) -> Markup:
        """A `pre`; its colours are variables of `STYLE`."""
        lines = [join([*map(colored, line), "\n"]) for line in self.lines]
        return scrolled_to_end(tag("pre", *lines, class_="dm-term"), "dm-tail")


class _Emulator(pyte.Screen):  # type: ignore[misc, unused-ignore]
    """Keeps the lines that scroll out at the top."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.scrolled: deque[Any] = deque(maxlen=SAVED_LINES)
        self.is_cut = False

    def index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom and top == 0:
            self.is_cut = self.is_cut or len(self.scrolled) == SAVED_LINES
            self.scrolled.append(self.buffer[top])
        super().index()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        if how in (2, 3):  # `clear`: what was there before is still part of a transcript
            shown = range(self.lines)
            last = max((y for y in shown if _is_used(self.buffer[y])), default=-1)
            self.scrolled.extend(dict(self.buffer[y]) for y in range(last + 1))
        super().erase_in_display(how, *args, **kwargs)


def draw(transcript: bytes, columns: int = 80, rows: int = 24) -> Screen:
    """The lines that a terminal of that size has shown, the last of them."""
    text = transcript[-_LIMIT:].decode(errors="replace").replace("\x9b", "\x1b[")
    text = _readable(text)
    screen = _Emulator(max(2, min(columns, 500)), max(2, min(rows, 200)))
    pyte.Stream(screen).feed(text)
    buffers = [*screen.scrolled, *(screen.buffer[y] for y in range(screen.lines))]
    lines = [tuple(_runs(buffer, screen.columns)) for buffer in buffers]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:  # a shell's greeting begins with some
        lines.pop(0)
    is_cut = screen.is_cut or len(transcript) > _LIMIT or len(lines) > SAVED_LINES
    return Screen(tuple(lines[-SAVED_LINES:]), is_cut)


def _readable(text: str) -> str:
    """Without what pyte has no use for, and without full-screen programs that have ended."""
    kept: list[str] = []
    rest = text
    while (switch := _ALTERNATE.search(rest)) is not None:
        if switch[1] == "l":  # it began before what is kept
            kept = []
        else:
            kept.append(rest[: switch.start()])
            end = next((m for m in _ALTERNATE.finditer(rest, switch.end()) if m[1] == "l"), None)
            if end is None:  # it is on the screen now
                kept.append("\x1b[H\x1b[2J")
                rest = rest[switch.end() :]
                continue
            switch = end
        rest = rest[switch.end() :]
    whole = "".join([*kept, rest])
    return _HIDDEN.sub("", _ESCAPE.sub(_taken, whole))


def _taken(escape: re.Match[str]) -> str:
    """The escape as pyte understands it, or nothing: it stops at what it does not know."""
    final = escape["final"]
    if final is None:
        return escape[0] if escape["single"] else ""
    private = "?" if escape["private"] == "?" and final in "hl" else ""
    if final not in _TAKEN or escape["between"] or escape["private"] != private:
        return ""
    # SGR with colons (a style of underline, RGB): the number before the first one is enough
    numbers = [number.partition(":")[0][:4] for number in escape["numbers"].split(";")]
    numbers = numbers[: _TAKEN[final]]
    if final in _ERASERS and int(numbers[0] or 0) > _ERASERS[final]:
        return ""
    return f"\x1b[{private}{';'.join(numbers)}{final}"


def _is_used(buffer: Any) -> bool:
    return any(cell.data.strip() for cell in buffer.values())


def _runs(buffer: Any, columns: int) -> Iterator[Run]:
    """One line: its cells up to the last that shows something."""
    used = [x for x in buffer if x < columns and _shows(buffer[x])]
    cells: list[Any] = [buffer.get(x) for x in range(max(used) + 1)] if used else []
    for style, group in groupby(cells, _style):
        text = "".join(" " if cell is None else cell.data for cell in group)
        if text:
            yield Run(plain(text), *style)


def _shows(cell: Any) -> bool:
    return bool(cell.data.strip()) or cell.bg != "default" or cell.reverse or cell.underscore


def _style(cell: Any) -> tuple[str, str, bool, bool, bool, bool]:
    if cell is None:
        return ("default", "default", False, False, False, False)
    return (cell.fg, cell.bg, cell.bold, cell.italics, cell.underscore, cell.reverse)


# `:is()` and doubled classes outweigh the rules that Jupyter has for `pre`.
STYLE: Final = (
    COLORS
    + "pre.dm-term.dm-term.dm-term{font-family:var(--jp-code-font-family,monospace);font-size:13px;"
    "line-height:1.25;white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0;max-height:none;"
    "overflow:visible;color:inherit;background:none;padding:0}.dm-tail{max-height:34em}"
)
