"""How IPython shows what the magics return.

Results and handles stay free of it: IPython's formatters learn their types when the
extension is loaded, and forget them when it is unloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockmagic.commands.container.stats import StatsTable
from dockmagic.commands.output.result import Result
from dockmagic.magics.objects import Completed, Container, Image
from dockmagic.magics.settings import DockMagic
from dockmagic.session import Session
from dockmagic.widgets import bundle, container_bundle, image_bundle
from dockmagic.widgets.live_output import LiveOutput
from dockmagic_runtime.errors import DockmagicError, NotFound
from dockmagic_runtime.model.container import Stats

if TYPE_CHECKING:
    from dockmagic.widgets.live_stats import LiveStats


class Display:
    """The formatters, and what they need to know."""

    def __init__(self, session: Session, settings: DockMagic, is_live: Callable[[], bool]) -> None:
        self._session = session
        self._settings = settings
        self._is_live = is_live

    def install(self, formatter: Any) -> None:
        """Register our types with IPython's display formatter."""
        bundles = formatter.mimebundle_formatter
        bundles.for_type(Result, self.result)
        bundles.for_type(Container, self.container)
        bundles.for_type(Image, self.image)
        # What a command in the foreground has to show was shown while it ran.
        formatter.ipython_display_formatter.for_type(Completed, _nothing)
        formatter.ipython_display_formatter.for_type(StatsTable, self.live)

    def remove(self, formatter: Any) -> None:
        for kind in (Result, Container, Image):
            formatter.mimebundle_formatter.pop(kind, None)
        for shown in (Completed, StatsTable):
            formatter.ipython_display_formatter.pop(shown, None)

    def result(self, result: Result, **_: Any) -> dict[str, Any]:
        return dict(
            bundle(result, deterministic=self._deterministic, html=self._settings.shows_html)
        )

    def live(self, result: StatsTable) -> None:
        """Show a live output instead of a result. Raises NotImplementedError where none can be:
        IPython goes on with the other formatters then."""
        is_one = len(result) == 1 and not result.format and not result.once
        if not (is_one and self._is_live()):
            raise NotImplementedError
        output = LiveOutput(lambda: self.result(result))
        output.mount(self._live_stats(result[0]))
        output.show()

    def container(self, container: Container, **_: Any) -> dict[str, Any]:
        try:
            state = self._session.engine.containers.get(container.id)
        except NotFound:
            return {"text/plain": repr(container)}
        return self._shown(container_bundle(state, deterministic=self._deterministic))

    def image(self, image: Image, **_: Any) -> dict[str, Any]:
        try:
            state = self._session.engine.images.get(image.id)
        except DockmagicError:
            return {"text/plain": repr(image)}
        return self._shown(image_bundle(state, repr(image), deterministic=self._deterministic))

    def _shown(self, document: dict[str, str]) -> dict[str, Any]:
        if not self._settings.shows_html:
            del document["text/html"]
        return dict(document)

    @property
    def _deterministic(self) -> bool:
        return bool(self._settings.deterministic)

    def _live_stats(self, stats: Stats) -> LiveStats:
        """A view of a new widget: its samples and buttons are the engine's."""
        from dockmagic.widgets.live_stats import LiveStats

        engine = self._session.engine
        actions: dict[str, Callable[[], object]] = {
            "pause": lambda: engine.containers.pause(stats.id),
            "unpause": lambda: engine.containers.unpause(stats.id),
            "stop": lambda: engine.containers.stop(stats.id),
            "kill": lambda: engine.containers.kill(stats.id),
        }
        return LiveStats(stats.name, lambda: engine.containers.stats(stats.id), actions)


def _nothing(_: Completed) -> None:
    pass
