"""A container engine in Python: the public API is what this module names.

Importing it is cheap: the engine itself is loaded at the first use of `Engine`, because the
launcher and the supervisors import their rooms through this package too, and start often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    if name == "Engine":
        from dockmagic_runtime.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
