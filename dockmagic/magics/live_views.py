"""Which results have a live view, and what the view may do with the engine.

A view is shown in the place of its result: the result's static form, with a `MountedView` drawn
over it. One function for each kind; it says None where this result is to stand still.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockmagic.commands.container.stats import StatsTable
from dockmagic.commands.output.result import Result
from dockmagic.session import Session
from dockmagic.widgets.live_output import LiveOutput

if TYPE_CHECKING:
    from dockmagic.widgets.mounted import MountedView

Bundle = Callable[[Result], dict[str, Any]]


class LiveViews:
    """Makes live outputs of results. `bundle` gives a result's lasting form."""

    def __init__(self, session: Session, bundle: Bundle) -> None:
        self._session = session
        self._bundle = bundle

    def show(self, result: Result) -> bool:
        """Show it live; False if it has no live view."""
        view = self._view(result)
        if view is None:
            return False
        output = LiveOutput(lambda: self._bundle(result))
        output.mount(view)
        output.show()
        return True

    def _view(self, result: Result) -> MountedView | None:
        if isinstance(result, StatsTable) and not result.format and not result.once:
            return self._stats(result) if len(result) == 1 else None
        return None

    def _stats(self, result: StatsTable) -> MountedView:
        """Its samples and buttons are the engine's."""
        from dockmagic.widgets.live_stats import LiveStats

        containers, stats = self._session.engine.containers, result[0]
        actions: dict[str, Callable[[], object]] = {
            "pause": lambda: containers.pause(stats.id),
            "unpause": lambda: containers.unpause(stats.id),
            "stop": lambda: containers.stop(stats.id),
            "kill": lambda: containers.kill(stats.id),
        }
        return LiveStats(stats.name, lambda: containers.stats(stats.id), actions)
