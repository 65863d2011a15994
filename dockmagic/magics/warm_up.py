"""What the first magic of a notebook needs, loaded before it is used."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic.magics import Extension

# The verbs of a first cell, and what draws their results.
_MODULES = (
    "dockmagic.commands.container.ps", "dockmagic.commands.container.run",
    "dockmagic.commands.image.images", "dockmagic.commands.image.pull",
    "dockmagic.commands.builder.build", "dockmagic.commands.container.foreground",
)  # fmt: skip
_LIVE = ("anywidget", "dockmagic.widgets.containers_view")
_log = logging.getLogger(__name__)


def warm_up(extension: Extension) -> None:
    """Import, open the engine, and ask it something. What fails here fails again, and is shown,
    when a magic needs it."""
    try:
        for name in _MODULES:
            import_module(name)
        _ = extension.tools
        extension.session.engine.containers.list()
        if getattr(extension.shell, "kernel", None) is not None:
            for name in _LIVE:
                import_module(name)
    except (DockmagicError, OSError, ImportError) as error:
        _log.debug("the warm-up ended: %s", error)
