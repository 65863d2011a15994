"""Widgets without a view of their own: they draw over the HTML of an output.

The front end's widget manager makes a model for each, displayed or not, and anywidget runs the
model's `initialize`. `static/mount.js` looks there for the output's element and draws the view over
it, now and whenever the element comes back (a page reload, a cell scrolled into view). When the
kernel is gone the model is, and the HTML below is seen again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"


@cache
def joined_modules(names: Sequence[str]) -> str:
    """The JavaScript files as one module; `mount.js` comes last and has its exports."""
    return "\n".join((_STATIC / name).read_text() for name in ("kit.js", *names, "mount.js"))


class MountedView(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    """Base of the live views. `modules` are files in `static`; the last defines `render`."""

    modules: ClassVar[tuple[str, ...]] = ()
    mount = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(_esm=joined_modules(self.modules), **traits)
        self.on_msg(self._received)

    def attach(self, mount: str) -> None:
        self.mount = mount

    def replace(self, bundle: dict[str, Any]) -> None:
        """For pages that were loaded again: they know no display ids, and an updated output does
        not reach them."""
        self.send({"kind": "lasting", "bundle": bundle})

    def _received(self, _: object, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.receive(content, buffers)

    def receive(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Called for each message from the page, in the kernel's thread for messages."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
