"""A server of the Engine API on a unix socket, over an engine with a busybox image."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.api.listeners import listen
from dockmagic_runtime.api.server import Server
from dockmagic_runtime.api.service import Service

Connect = Callable[[], socket.socket]


@pytest.fixture
def server(engine: Engine, tmp_path: Path) -> Iterator[Server]:
    listeners = listen(f"unix://{tmp_path}/api.sock")
    server = Server(Service(engine, "0.1.0"), listeners)
    thread = threading.Thread(target=server.serve, name="api")
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    for listener in listeners:
        listener.close()
    assert not thread.is_alive()


@pytest.fixture
def address(server: Server) -> str:
    """The server's address as DOCKER_HOST has it."""
    return server.listeners[0].address


@pytest.fixture
def connect(address: str) -> Iterator[Connect]:
    """`connect()`: a new connection; all are closed afterwards."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(20)
        connection.connect(address.removeprefix("unix://"))
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()
