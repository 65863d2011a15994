"""The view of a terminal: messages between its pages and a `TerminalStream`.

Imported only where a page can draw it. Keys and output are messages, never traits: a trait would
keep all of it, and two quick changes of a trait are one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from dockmagic.widgets.frame import RUNNING, State, header, muted, sheet, state_of
from dockmagic.widgets.html import Markup, tag
from dockmagic.widgets.mounted import MountedView
from dockmagic.widgets.terminal_colors import ANSI
from dockmagic.widgets.terminal_screen import STYLE, Screen, draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from dockmagic.widgets.terminal_stream import TerminalStream

_LIBRARY = Path(__file__).parent / "static" / "xterm"
_HINT = "click and type"
_GRACE = 2.0  # seconds between the hang-up and the kill


@cache
def library() -> tuple[bytes, ...]:
    """xterm.js, its fit addon and its style sheet."""
    return tuple((_LIBRARY / n).read_bytes() for n in ("xterm.mjs", "addon-fit.mjs", "xterm.css"))


class TerminalView(MountedView):
    """One terminal on any number of pages."""

    modules: ClassVar[tuple[str, ...]] = ("terminal.js",)
    title = traitlets.Unicode().tag(sync=True)
    command = traitlets.Unicode().tag(sync=True)
    hint = traitlets.Unicode(_HINT).tag(sync=True)
    owned = traitlets.Bool(False).tag(sync=True)  # it ends with the notebook: it may be ended here

    def __init__(self, title: str, command: str, *, owned: bool) -> None:
        super().__init__(title=title, command=command, owned=owned)
        self._stream: TerminalStream | None = None
        self._on_pause: Callable[[], None] = lambda: None
        self._size = (24, 80)  # rows and columns

    def connect(self, stream: TerminalStream, on_pause: Callable[[], None]) -> None:
        """`on_pause` is called when the user turns away from it: the time to save what it shows."""
        self._stream, self._on_pause = stream, on_pause

    def close(self) -> None:
        """The notebook leaves, or the process has ended."""
        if self._stream is not None:
            self._stream.end()
        super().close()

    def screen(self) -> Screen:
        """What it has shown up to now."""
        rows, columns = self._size
        return draw(b"" if self._stream is None else self._stream.transcript(), columns, rows)

    def bundle(self) -> dict[str, Any]:
        """The transcript, for a notebook that is saved now."""
        screen = self.screen()
        state, note = self._state()
        head = header(self.title, state=state, facts=(self.command, note))
        cut = muted("earlier lines are not kept") if screen.is_cut else ""
        html = sheet(tag("style", Markup(STYLE)), head, cut, screen.html())
        return {"text/html": str(html), "text/plain": screen.text()}

    def _state(self) -> tuple[State, str]:
        """What the header says of the process."""
        if self._stream is None or not self._stream.is_over:
            return RUNNING, ""
        return state_after(self._stream.code)

    # For the stream, from its threads.

    def output(self, at: int, data: bytes) -> None:
        self.send({"kind": "output", "at": at}, [data])

    def show_end(self, code: int | None) -> None:
        state, note = state_after(code)
        self.send({"kind": "end", "text": note, "mark": state.mark, "token": state.token})

    # From pages.

    def receive(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        kind, page = str(message.get("kind")), str(message.get("page"))
        if kind == "library":
            self.send({"kind": "library", "colors": ANSI}, list(library()))
            return
        handler = getattr(self, f"_on_{kind}", None)
        if self._stream is not None and handler is not None and kind in _KINDS:
            handler(self._stream, page, message)

    def _on_open(self, stream: TerminalStream, page: str, _: dict[str, Any]) -> None:
        offset, data = stream.open(page)
        self.send({"kind": "main", "page": page})
        self.send({"kind": "replay", "page": page, "offset": offset}, [data])

    def _on_ack(self, stream: TerminalStream, page: str, message: dict[str, Any]) -> None:
        if not stream.acknowledge(page, int(message["offset"])):
            self.send({"kind": "reopen", "page": page})

    def _on_input(self, stream: TerminalStream, page: str, message: dict[str, Any]) -> None:
        typed = message.get("text")
        data = str(typed).encode() if typed is not None else message["latin1"].encode("latin-1")
        if not stream.type(data):
            text = f"{len(data)} bytes were not passed on: the program does not read them"
            self.send({"kind": "notice", "page": page, "text": text})

    def _on_resize(self, stream: TerminalStream, _: str, message: dict[str, Any]) -> None:
        rows, columns = (max(1, min(int(message[name]), 1000)) for name in ("rows", "columns"))
        self._size = (rows, columns)
        stream.resize(rows, columns, redraw=bool(message.get("redraw")))

    def _on_close(self, stream: TerminalStream, page: str, _: dict[str, Any]) -> None:
        stream.close(page)

    def _on_blur(self, _: TerminalStream, __: str, ___: dict[str, Any]) -> None:
        self._on_pause()

    def _on_detach(self, stream: TerminalStream, _: str, __: dict[str, Any]) -> None:
        stream.leave()

    def _on_end(self, stream: TerminalStream, _: str, __: dict[str, Any]) -> None:
        stream.hang_up(_GRACE)


def state_after(code: int | None) -> tuple[State, str]:
    """The state of a process that has ended with `code`, or was left running (None)."""
    if code is None:
        return State("info", "left running", "○"), "detached: it goes on running"
    return state_of("exited", code), f"exited ({code})"


_KINDS = frozenset("open ack input resize close blur detach end".split())
