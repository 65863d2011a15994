"""Which results have a live view, and what the view may do with the engine.

A view is shown in the place of its result: the result's static form, with a `MountedView` drawn
over it. One function for each kind; it returns None where this result is to stand still.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockmagic import commands
from dockmagic.commands.container.ps import Containers
from dockmagic.commands.container.stats import StatsTable
from dockmagic.commands.output.result import Result
from dockmagic.commands.system.files import Files
from dockmagic.session import Session
from dockmagic.widgets import bundle
from dockmagic.widgets.frame import sheet
from dockmagic.widgets.html import note, pre
from dockmagic.widgets.live_output import LiveOutput
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic.widgets.mounted import MountedView
    from dockmagic_runtime.model.container import Container, Stats

Bundle = Callable[[Result], dict[str, Any]]
Again = Callable[[], Result]
_LOG_LINES = "200"


class LiveViews:
    """Makes live outputs of results. `bundle` gives a result's lasting form."""

    def __init__(self, session: Session, bundle: Bundle) -> None:
        self._session = session
        self._bundle = bundle

    def show(self, result: Result, again: Again | None = None) -> bool:
        """Show it live; False if it has no live view. `again` does what made the result."""
        if isinstance(result, Files) and not (result.format or result.quiet):
            self._browse(result)
            return True
        view = self._view(result, again)
        if view is None:
            return False
        output = LiveOutput(lambda: self._bundle(_now(result, again)))
        output.mount(view)
        output.show()
        return True

    def _browse(self, result: Files) -> None:
        """The directory that is looked at is the one that lasts."""
        from dockmagic.magics.browsing import at_path, files_view

        view = files_view(self._session, result)
        seen = [result]

        def lasting() -> dict[str, Any]:
            try:
                seen[0] = at_path(self._session, result, view.path)
            except DockmagicError:
                pass  # it is gone: what was seen last stays
            return self._bundle(seen[0])

        output = LiveOutput(lasting)
        view.on_moved = output.refresh
        output.mount(view)
        output.show()

    def _view(self, result: Result, again: Again | None) -> MountedView | None:
        if isinstance(result, Containers) and again and not (result.format or result.quiet):
            return self._containers(again)
        if isinstance(result, StatsTable) and not result.format and not result.once:
            return self._stats(result)
        return None

    def _containers(self, again: Again) -> MountedView:
        from dockmagic.widgets.containers_view import ContainersView

        def listed() -> tuple[Container, ...]:
            result = again()
            assert isinstance(result, Containers)
            return result.items

        return ContainersView(EngineSource(self._session), listed, self._empty)

    def _empty(self) -> str:
        """What an empty list says: what to do."""
        ended = len(self._session.engine.containers.list(all=True))
        if not ended:
            return "no containers: %docker run -d IMAGE starts one"
        return f"nothing runs; {ended} ended: %ps -a lists them"

    def _stats(self, result: StatsTable) -> MountedView:
        from dockmagic.widgets.containers_view import StatsView

        ids = tuple(item.id for item in result.items)
        engine = self._session.engine

        def running() -> tuple[str, ...]:
            return tuple(container.id for container in engine.containers.list())

        chosen = (lambda: ids) if result.named else running
        return StatsView(EngineSource(self._session), chosen, single=result.named and len(ids) == 1)


def _now(result: Result, again: Again | None) -> Result:
    """The result as it is now: what lasts is what was seen last."""
    return result if again is None else again()


class EngineSource:
    """The engine, as the views of containers use it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, id: str) -> Container:
        return self._session.engine.containers.get(id)

    def stats(self, id: str) -> Stats:
        return self._session.engine.containers.stats(id)

    def act(self, verb: str, id: str) -> None:
        containers = self._session.engine.containers
        actions: dict[str, Callable[[], object]] = {
            "pause": lambda: containers.pause(id),
            "unpause": lambda: containers.unpause(id),
            "start": lambda: containers.start(id),
            "stop": lambda: containers.stop(id),
            "restart": lambda: containers.restart(id),
            "kill": lambda: containers.kill(id),
            "rm": lambda: containers.remove(id),
        }
        actions[verb]()

    def tab(self, name: str, id: str) -> str:
        words = {
            "Logs": ["logs", f"--tail={_LOG_LINES}", id],
            "Stats": ["stats", "--no-stream", id],
            "Diff": ["diff", id],
            "Inspect": ["inspect", "--type=container", id],
        }[name]
        result = commands.execute(self._session.engine, commands.parse(words))
        assert isinstance(result, Result)
        shown = bundle(result)
        return shown.get("text/html") or as_html(shown["text/plain"])


def as_html(text: str) -> str:
    """A text as it is, without its colours."""
    shown = plain(text)
    return str(sheet(pre(shown) if shown.strip() else note("nothing was written")))
