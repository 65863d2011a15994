"""The live views of containers: `%ps`, and `%stats` of all or of one.

The page asks, once a second while it is seen, and the engine answers: a page that is hidden or
closed costs nothing, and no thread waits for it. What a button does runs in a thread of its own,
because stopping a container takes its time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

import traitlets

from dockmagic.widgets.container_rows import (
    TABS,
    actions_of,
    ended_text,
    line_of,
    row_of,
    sample_of,
    verbs_of,
)
from dockmagic.widgets.html import note
from dockmagic.widgets.mounted import MountedView
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.errors import Conflict, DockmagicError, NotFound
from dockmagic_runtime.model.container import Container, Stats

_INTERVAL = 1000  # milliseconds


class Source(Protocol):
    """What the views may do with the engine."""

    def get(self, id: str) -> Container:
        """Raises NotFound."""

    def stats(self, id: str) -> Stats:
        """Raises NotFound and Conflict."""

    def act(self, verb: str, id: str) -> None:
        """Raises what the verb raises."""

    def tab(self, name: str, id: str) -> str:
        """A tab's contents as HTML. Raises DockmagicError."""


class ContainerActions(MountedView):
    """Base: buttons. `interval` is how often the page asks, in milliseconds."""

    interval = traitlets.Int(_INTERVAL).tag(sync=True)

    def __init__(self, source: Source, **traits: Any) -> None:
        self._source = source
        super().__init__(**traits)

    def receive(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        match message:
            case {"kind": "sample"}:
                self.answer()
            case {"kind": "act", "verb": str(verb), "id": str(id)}:
                self.act(verb, id)
            case {"kind": "tab", "name": str(name), "id": str(id)}:
                self.send({"kind": "tab", "id": id, "name": name, "html": self._tab(name, id)})

    def answer(self) -> None:
        """Send what the page asks for."""

    def act(self, verb: str, id: str) -> threading.Thread:
        """Do it; the page is sent what came of it."""
        thread = threading.Thread(
            target=self._act, args=(verb, id), name="dockmagic-action", daemon=True
        )
        thread.start()
        return thread

    def _act(self, verb: str, id: str) -> None:
        line, error = "", ""
        try:
            container = self._source.get(id)
            line = line_of(verb, container.name)
            if verb in verbs_of(container):
                self._source.act(verb, id)
            else:
                error = f"{verb} is nothing to do with one that is {container.status}"
        except DockmagicError as failure:
            error = plain(failure.message)
        self.send({"kind": "acted", "id": id, "verb": verb, "line": line, "error": error})
        self.answer()

    def _tab(self, name: str, id: str) -> str:
        if name not in TABS:
            return ""
        try:
            return self._source.tab(name, id)
        except DockmagicError as failure:
            return str(note(plain(failure.message)))


_views: WeakSet[ContainersView] = WeakSet()


class ContainersView(ContainerActions):
    """A row for each container; `again` lists them as they are now."""

    modules: ClassVar[tuple[str, ...]] = ("containers.js",)
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)
    tabs = traitlets.List(list(TABS)).tag(sync=True)
    empty = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, source: Source, again: Callable[[], Sequence[Container]], empty: Callable[[], str]
    ) -> None:
        self._again = again
        self._empty = empty
        super().__init__(source)
        self.refresh()
        _views.add(self)

    def refresh(self) -> tuple[Container, ...]:
        """Bring the page up to date; what has not changed is not sent."""
        containers = tuple(self._again())
        self.rows = [row_of(container) for container in containers]
        self.empty = "" if containers else self._empty()
        return containers

    def answer(self) -> None:
        try:
            containers = self.refresh()
        except DockmagicError:
            return  # the next question may be answered
        usage: dict[str, dict[str, Any]] = {}
        for container in containers:
            if str(container.status) == "running":
                try:
                    usage[container.id] = sample_of(self._source.stats(container.id))
                except (NotFound, Conflict):
                    continue  # it ended since the list was made
        self.send({"kind": "usage", "usage": usage, "cores": os.cpu_count() or 1})


def refresh_all() -> None:
    """After a cell has run: what it did is seen at once in the lists above it."""
    for view in list(_views):
        if view.comm is not None:
            try:
                view.refresh()
            except DockmagicError:
                continue


class StatsView(ContainerActions):
    """Statistics of all containers that run, or of those with the given ids."""

    modules: ClassVar[tuple[str, ...]] = ("stats.js",)
    single = traitlets.Bool().tag(sync=True)
    host_memory = traitlets.Int().tag(sync=True)
    cores = traitlets.Int(os.cpu_count() or 1).tag(sync=True)

    def __init__(self, source: Source, ids: Callable[[], Sequence[str]], *, single: bool) -> None:
        self._ids = ids
        super().__init__(source, single=single, host_memory=_host_memory())

    def answer(self) -> None:
        items = [self._item(id) for id in self._ids()]
        self.send({"kind": "sample", "items": items})

    def _item(self, id: str) -> dict[str, Any]:
        """A sample, or how it ended."""
        try:
            container = self._source.get(id)
            shown = {"ended": ended_text(container), **_identity(container)}
            if not shown["ended"]:
                shown |= sample_of(self._source.stats(id))
        except NotFound:
            return {"id": id, "ended": "removed", "actions": []}
        except Conflict:
            return {"id": id, "ended": "", "actions": []}  # between two states: the next time
        return shown


def _identity(container: Container) -> dict[str, Any]:
    row = row_of(container)
    kept = ("id", "name", "image", "status", "token", "mark", "word")
    return {**{name: row[name] for name in kept}, "actions": actions_of(container)}


def _host_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
