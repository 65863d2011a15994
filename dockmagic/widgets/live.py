"""Views that change while a cell runs: a pull's and a build's progress.

They are ipywidgets, not updated outputs: a notebook that is saved or compared keeps the result
only, which is shown after them. The widget is made when the work has taken long enough to be
worth looking at, so quick commands pay nothing for it.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from dockmagic.commands.builder.build import Steps
from dockmagic.widgets.build import steps
from dockmagic.widgets.html import Markup, bar, join, note, table
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.build import BuildEvent
from dockmagic_runtime.model.progress import PullStatus

_PATIENCE = 0.4  # seconds before there is something to see
_INTERVAL = 0.1  # seconds between two drawings


class View(Protocol):
    """Where progress is shown; `close` takes it away again."""

    def show(self, drawn: Markup) -> None: ...

    def close(self) -> None: ...


class Hidden:
    """For notebooks that are tested, and shells without widgets."""

    def show(self, drawn: Markup) -> None:
        pass

    def close(self) -> None:
        pass


class WidgetView:
    """An ipywidgets box, shown at the first drawing."""

    def __init__(self) -> None:
        self._widget: Any = None

    def show(self, drawn: Markup) -> None:
        if self._widget is None:
            self._widget = self._make()
        self._widget.value = str(drawn)

    def _make(self) -> Any:
        from IPython.display import display
        from ipywidgets import HTML

        widget = HTML()
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        show: Any = display  # untyped in IPython
        show({"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, raw=True)
        return widget

    def close(self) -> None:
        if self._widget is not None:
            self._widget.close()


class _Paced:
    """Draws when it is time to; the last state is not drawn, because a result follows."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._next = time.monotonic() + _PATIENCE

    @property
    def due(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + _INTERVAL
        return True


class BuildProgress(_Paced):
    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.steps = Steps()

    def add(self, event: BuildEvent) -> None:
        self.steps.add(event)
        if self.due:
            self.view.show(steps(self.steps.of_dockerfile() or self.steps.all(), running=True))


class PullProgress(_Paced):
    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._heads: list[str] = []
        self._layers: dict[str, PullStatus] = {}

    def add(self, event: PullStatus) -> None:
        if event.id:
            self._layers[event.id] = event
        else:
            self._heads.append(event.status)
        if self.due:
            self.view.show(self._drawn())

    def _drawn(self) -> Markup:
        rows = [[id, event.status, _bar(event)] for id, event in self._layers.items()]
        lines = [note(plain(head)) for head in self._heads[-3:]]
        return join([*lines, table(["", "", ""], rows) if rows else ""])


def _bar(event: PullStatus) -> Markup:
    return bar(event.current / event.total) if event.total else Markup("")
