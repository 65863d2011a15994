"""A server in a thread, on a socket of its own: for a program that this process starts."""

from __future__ import annotations

import shutil
import tempfile
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from dockmagic_runtime.api.listeners import listen
from dockmagic_runtime.api.server import Server
from dockmagic_runtime.api.service import Service

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import EngineApi


class BackgroundServer:
    """Serves an engine while the block runs; `address` is for DOCKER_HOST.

    Its socket is in a directory that only this user may enter.
    """

    def __init__(self, engine: EngineApi, release: str) -> None:
        self._directory = tempfile.mkdtemp(prefix="dockmagic-api-")
        self._listeners = listen(f"unix://{self._directory}/docker.sock")
        self._server = Server(Service(engine, release), self._listeners)
        self._thread = threading.Thread(target=self._server.serve, name="api", daemon=True)

    @property
    def address(self) -> str:
        return self._listeners[0].address

    def __enter__(self) -> BackgroundServer:
        self._thread.start()
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
        shutil.rmtree(self._directory, ignore_errors=True)
