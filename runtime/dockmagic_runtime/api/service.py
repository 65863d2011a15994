"""What all handlers of one server share: the engine, and what is remembered between requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic_runtime.api.executions import Executions
from dockmagic_runtime.api.runs import Runs

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import EngineApi


class Service:
    """`release` is the version that clients receive as the server's."""

    def __init__(self, engine: EngineApi, release: str) -> None:
        self.engine = engine
        self.release = release
        self.runs = Runs(engine)
        self.executions = Executions()
