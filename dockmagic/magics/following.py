"""`%logs -f` in a page: the log is followed in a view of its own, and the cell returns at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dockmagic.widgets.sanitize import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from dockmagic.commands.options.flags import Arguments
    from dockmagic.widgets.logs_view import LogsView
    from dockmagic_runtime import EngineApi


class FollowedLog:
    """A log that the notebook follows while other cells run."""

    def __init__(self, name: str, view: LogsView) -> None:
        self.name = name
        self._view = view
        self._is_shown = False

    def _ipython_display_(self) -> None:
        """Nothing as the result of its cell, which shows the log; its `repr` later on."""
        if self._is_shown:
            raise NotImplementedError
        self._is_shown = True

    @property
    def is_open(self) -> bool:
        return not self._view.pages.follower.is_over

    @property
    def text(self) -> str:
        """The lines that are kept, without colours."""
        return "\n".join(line.plain for line in self._view.pages.follower.buffer.since(0))

    def close(self) -> None:
        """Follow it no longer; the lines stay in the notebook."""
        self._view.pages.follower.stop()

    def wait(self, timeout: float | None = None) -> None:
        """Block until the log ends, as the container does. `timeout` in seconds. Raises
        TimeoutError, and what kept the log from being read."""
        if not self._view.pages.join(timeout):
            raise TimeoutError(f"the log of {self.name} goes on")
        if self._view.pages.follower.error is not None:
            raise self._view.pages.follower.error

    def __repr__(self) -> str:
        return f"log of {self.name}, " + ("followed" if self.is_open else "no longer followed")


def follow(engine: EngineApi, arguments: Arguments) -> FollowedLog:
    """Show the log below the cell that runs. Raises NotFound and Unsupported at once."""
    from dockmagic.widgets.live_output import LiveOutput
    from dockmagic.widgets.logs_buffer import KEPT_LINES
    from dockmagic.widgets.logs_view import LogsView

    name = arguments.words[0]
    container = engine.containers.get(name)
    selection: dict[str, Any] = {key: arguments.flag(key) for key in ("tail", "since", "until")}
    engine.containers.log_stream(container.id, **selection)

    def read(is_cancelled: Callable[[], bool], tail: int | None) -> Iterable[tuple[str, bytes]]:
        given = selection["tail"]
        chosen = {**selection, "tail": min(tail or KEPT_LINES, given or KEPT_LINES)}
        if given == 0 and tail is None:
            chosen["tail"] = 0
        return engine.containers.log_stream(
            container.id, follow=True, timestamps=True, is_cancelled=is_cancelled, **chosen
        )

    view = LogsView(
        plain(container.name), plain(f"docker logs -f {name}"), read,
        timestamps=bool(arguments.flag("timestamps")),
    )  # fmt: skip
    output = LiveOutput(view.bundle)
    output.mount(view)
    output.show()
    view.pages.start(output.refresh, output.end)
    return FollowedLog(container.name, view)
