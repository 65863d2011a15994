"""`Facet`: one part of the engine's public API, over the components it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockmagic_runtime.engine.components import EngineComponents


class Facet:
    """Holds the engine's components, and nothing of its own."""

    __slots__ = ("_components",)

    def __init__(self, components: EngineComponents) -> None:
        self._components = components
