"""A server in a thread: for a program that this process starts, or beside a notebook's kernel."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from dockmagic_runtime.api.listeners import Listener, listen
from dockmagic_runtime.api.server import Server
from dockmagic_runtime.api.service import Service

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import EngineApi


class BackgroundServer:
    """Serves an engine while the block runs; `address` is for DOCKER_HOST.

    Without `listeners` it has a unix socket in a directory that only this user may enter.
    """

    def __init__(self, engine: EngineApi, release: str, listeners: Sequence[Listener] = ()) -> None:
        self._directory = "" if listeners else tempfile.mkdtemp(prefix="dockmagic-api-")
        self._listeners = listeners or listen(f"unix://{self._directory}/docker.sock")
        self._server = Server(Service(engine, release), self._listeners)
        self._thread = threading.Thread(target=self._server.serve, name="api", daemon=True)

    @property
    def address(self) -> str:
        return self._listeners[0].address

    def start(self) -> None:
        self._thread.start()

    def __enter__(self) -> BackgroundServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it and removes its socket. Idempotent."""
        self._server.shutdown()
        if self._thread.is_alive():
            self._thread.join()
        for listener in self._listeners:
            listener.close()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
