"""The live view of a log. Its lines are messages, never traits."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import traitlets

from dockmagic.widgets.frame import RUNNING, State, header, sheet
from dockmagic.widgets.logs import SAVED, block
from dockmagic.widgets.logs_buffer import texts
from dockmagic.widgets.logs_pages import LogPages, Source
from dockmagic.widgets.mounted import MountedView
from dockmagic.widgets.sanitize import plain

_FOLLOWING: Final = "following"
_ENDED: Final = "the container has ended"


class LogsView(MountedView):
    """One log on any number of pages."""

    modules: ClassVar[tuple[str, ...]] = ("logs.js",)
    title = traitlets.Unicode().tag(sync=True)
    command = traitlets.Unicode().tag(sync=True)
    timestamps = traitlets.Bool(False).tag(sync=True)

    def __init__(self, title: str, command: str, source: Source, *, timestamps: bool) -> None:
        super().__init__(title=title, command=command, timestamps=timestamps)
        self.pages = LogPages(source, self.send)

    def close(self) -> None:
        self.pages.follower.stop()
        super().close()

    def receive(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.pages.receive(message)

    def bundle(self) -> dict[str, Any]:
        """The last lines, for a notebook that is saved now."""
        buffer = self.pages.follower.buffer
        lines = buffer.last(SAVED)
        state, note = self._state()
        head = header(self.title, state=state, facts=(self.command, note, _count(buffer.total)))
        body = block(lines, buffer.total - len(lines), self.title, timestamps=self.timestamps)
        return {
            "text/html": str(sheet(head, body)),
            "text/plain": texts(lines, timestamps=self.timestamps),
        }

    def _state(self) -> tuple[State, str]:
        if self.pages.follower.error is not None:
            return State("fail", "failed", "✕"), plain(str(self.pages.follower.error))
        if self.pages.follower.was_stopped:
            return State("muted", "no longer followed", "○"), "no longer followed"
        if self.pages.follower.is_over:
            return State("muted", "ended", "○"), _ENDED
        return RUNNING, _FOLLOWING


def _count(total: int) -> str:
    return f"{total:,} line{'' if total == 1 else 's'}"
