"""The live view of one container: samples when its front end asks, and buttons.

Imported only where a kernel with a front end is there: anywidget costs a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import traitlets

from dockmagic.commands.units import binary_size, decimal_size
from dockmagic.widgets.mounted import MountedView
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.errors import Conflict, DockmagicError, NotFound
from dockmagic_runtime.model.container import Stats

Action = Callable[[], object]


class LiveStats(MountedView):
    """Asks `sample` at most as often as the page asks for it; the container's end ends the view."""

    modules: ClassVar[tuple[str, ...]] = ("stats.js",)
    name = traitlets.Unicode().tag(sync=True)
    interval = traitlets.Int(1000).tag(sync=True)  # milliseconds
    actions = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self, name: str, sample: Callable[[], Stats], actions: Mapping[str, Action]
    ) -> None:
        super().__init__(name=name, actions=list(actions))
        self._sample = sample
        self._acts = dict(actions)

    def __repr__(self) -> str:
        return f"stats of {self.name}"

    def receive(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if message.get("kind") == "action":
            self.send({"kind": "state", "text": self._act(str(message.get("name")))})
        else:
            self.send(self._answer())

    def _answer(self) -> dict[str, Any]:
        try:
            return sampled(self._sample())
        except (NotFound, Conflict):
            return {"kind": "end", "text": "has ended"}
        except DockmagicError as error:
            return {"kind": "end", "text": plain(error.message)}

    def _act(self, name: str) -> str:
        """What to say of it. One that came too late is no end: the next sample says so."""
        action = self._acts.get(name)
        if action is None:
            return f"no such action: {name}"
        try:
            action()
        except DockmagicError as error:
            return plain(error.message)
        return f"{name}: done"


def sampled(stats: Stats) -> dict[str, Any]:
    """One sample as the page wants it: numbers to draw, and texts ready to show."""
    return {
        "kind": "sample",
        "cpu": stats.cpu_percent,
        "cpu_text": f"{stats.cpu_percent:.1f} %",
        "memory": stats.memory_bytes,
        "memory_text": f"{binary_size(stats.memory_bytes)} of {binary_size(stats.memory_limit)}",
        "facts": f"network {decimal_size(stats.network_rx)} in, "
        f"{decimal_size(stats.network_tx)} out · disk {decimal_size(stats.block_read)} read, "
        f"{decimal_size(stats.block_write)} written · {stats.pids} processes",
    }
