"""How IPython shows what the magics return.

Results and handles stay free of it: IPython's formatters learn their types when the
extension is loaded, and forget them when it is unloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockmagic.commands.container.diff import Changes
from dockmagic.commands.output.result import Result
from dockmagic.magics.live_views import LiveViews
from dockmagic.magics.objects import Completed, Container, Image
from dockmagic.magics.settings import DockMagic
from dockmagic.magics.streams import bounded
from dockmagic.magics.tables import Table
from dockmagic.session import Session
from dockmagic.widgets import bundle, container_bundle, image_bundle
from dockmagic.widgets.diff import SHOWN
from dockmagic_runtime.errors import DockmagicError, NotFound
from dockmagic_runtime.model.container import ChangeKind

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_REST = "x = %… keeps all of them"


class Display:
    """The formatters, and what they need to know."""

    def __init__(self, session: Session, settings: DockMagic, is_live: Callable[[], bool]) -> None:
        self._session = session
        self._settings = settings
        self._is_live = is_live
        self._views = LiveViews(session, self.result)

    def _formatters(self) -> dict[type, Callable[..., dict[str, Any]]]:
        return {
            Result: self.result,
            Table: self.table,
            Container: self.container,
            Image: self.image,
        }

    def install(self, formatter: Any) -> None:
        """Register our types with IPython's display formatter."""
        for kind, shown in self._formatters().items():
            formatter.mimebundle_formatter.for_type(kind, shown)
        # What a command in the foreground has to show was shown while it ran.
        formatter.ipython_display_formatter.for_type(Completed, _nothing)
        formatter.ipython_display_formatter.for_type(Result, self.live)
        formatter.ipython_display_formatter.for_type(Table, self.live_table)

    def remove(self, formatter: Any) -> None:
        for kind in self._formatters():
            formatter.mimebundle_formatter.pop(kind, None)
        for shown in (Completed, Result, Table):
            formatter.ipython_display_formatter.pop(shown, None)

    def result(self, result: Result, **_: Any) -> dict[str, Any]:
        document: dict[str, Any] = dict(
            bundle(
                result,
                deterministic=self._deterministic,
                html=self._settings.shows_html,
                sizes=self._sizes(result),
            )
        )
        document["text/plain"] = bounded(document["text/plain"], self._settings.output_lines, _REST)
        return document

    def _sizes(self, result: Result) -> dict[str, int] | None:
        """Bytes of the changed files that are shown: Docker's list has none."""
        if not isinstance(result, Changes) or self._deterministic:
            return None
        return sizes(self._session.engine, result)

    def table(self, table: Table, **_: Any) -> dict[str, Any]:
        return self.result(table._listing)

    def live(self, result: Result, again: Callable[[], Result] | None = None) -> None:
        """Show a live output instead of a result. Raises NotImplementedError where none can be:
        IPython goes on with the other formatters then."""
        if not self._is_live() or not self._views.show(result, again):
            raise NotImplementedError

    def live_table(self, table: Table) -> None:
        self.live(table._listing, table._again)

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


def _nothing(_: Completed) -> None:
    pass


def sizes(engine: EngineApi, changes: Changes) -> dict[str, int]:
    """Bytes of the added and changed files, as many as a tree shows."""
    known: dict[str, int] = {}
    for change in changes.changes[:SHOWN]:
        if change.kind is ChangeKind.DELETED:
            continue
        try:
            stat = engine.containers.path_stat(changes.container, change.path)
        except DockmagicError:
            continue  # it has gone meanwhile, or is one that cannot be looked at
        if not stat.is_directory:
            known[change.path] = stat.size
    return known
