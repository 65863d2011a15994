"""What is live in a notebook: an ordinary output, replaced by its lasting form.

A live output is a `display_data` of HTML and text under an id, as good by itself as any other, so a
notebook that is saved at any moment and opened without its kernel shows what it showed. It is
updated in place, and at its end, or when the kernel leaves, replaced by its lasting form or taken
away. A front end that can draws a `MountedView` over it; a widget's own MIME type, which shows an
error without its kernel, is never in a notebook.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from uuid import uuid4

from dockmagic.widgets.html import Markup, tag

Bundle = dict[str, Any]


class View(Protocol):
    """What is drawn over a live output."""

    def attach(self, mount: str) -> None:
        """Draw over the element of that id."""

    def replace(self, bundle: Bundle) -> None:
        """The output below has become `bundle`."""

    def close(self) -> None:
        """Take the drawing away; the output below it is seen again."""


class Publisher(Protocol):
    """Where an output goes: IPython's display publisher."""

    def __call__(self, bundle: Bundle, display_id: str, *, update: bool) -> None: ...


def publish(bundle: Bundle, display_id: str, *, update: bool) -> None:
    """Show a bundle in the cell that runs, or in the place of an earlier one.

    Without a shell, when the interpreter ends, nothing happens.
    """
    from IPython.core.interactiveshell import InteractiveShell

    if InteractiveShell.initialized():
        shell: Any = InteractiveShell.instance()
        shell.display_pub.publish(
            data=bundle, metadata={}, transient={"display_id": display_id}, update=update
        )


_open: set[LiveOutput] = set()
_open_lock = threading.Lock()


class LiveOutput:
    """One live output of a cell. Thread-safe; what comes after its end is ignored."""

    def __init__(self, lasting: Callable[[], Bundle], publisher: Publisher = publish) -> None:
        self._lasting = lasting
        self._publish = publisher
        self._id = uuid4().hex
        self._view: View | None = None
        self._is_shown = False
        self._is_over = False
        self._lock = threading.RLock()

    def mount(self, view: View) -> None:
        """Have `view` drawn over the output, from the next `show` on."""
        self._view = view

    def show(self) -> None:
        """Show the lasting form as it is now: a new output at the first call, else in its place."""
        with self._lock:
            if self._is_over:
                return
            bundle = self._lasting()
            if self._view is not None and "text/html" in bundle:
                bundle["text/html"] = mounted(bundle["text/html"], self._id)
            self._send(bundle)
            if not self._is_shown:
                self._begin()

    refresh = show

    def _begin(self) -> None:
        self._is_shown = True
        with _open_lock:
            _open.add(self)
        if self._view is not None:
            self._view.attach(self._id)

    def _send(self, bundle: Bundle) -> None:
        self._publish(bundle, self._id, update=self._is_shown)
        if self._is_shown and self._view is not None:
            self._view.replace(bundle)

    def end(self, bundle: Bundle | None = None) -> None:
        """Replace it by `bundle`, by default its lasting form, for good."""
        with self._lock:
            if self._is_over:
                return
            if self._is_shown:
                self._send(self._lasting() if bundle is None else bundle)
            self._close()

    def clear(self) -> None:
        """Take it away for good: a result is shown below it."""
        self.end({})

    def _close(self) -> None:
        self._is_over = True
        with _open_lock:
            _open.discard(self)
        if self._view is not None:
            self._view.close()

    @property
    def is_shown(self) -> bool:
        return self._is_shown


def mounted(html: str, mount: str) -> str:
    """The HTML in the element over which a view is drawn."""
    return str(tag("div", Markup(html), data_dm_view=mount))


def open_outputs() -> Iterator[LiveOutput]:
    with _open_lock:
        return iter(list(_open))


def end_all() -> None:
    """Replace all live outputs by their lasting forms: the kernel leaves."""
    for output in open_outputs():
        output.end()


atexit.register(end_all)
