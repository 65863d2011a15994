"""Docker in a notebook: `%load_ext dockmagic`. Importing this is cheap; loading it imports more."""

from __future__ import annotations

from dockmagic.version import __version__

TYPE_CHECKING = False  # `typing` is not imported for it: `dockmagic --help` needs nothing else
if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext dockmagic`: registers the magics."""
    from dockmagic.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext dockmagic`: takes the magics away and closes the engine."""
    from dockmagic.magics import unregister

    unregister(shell)
