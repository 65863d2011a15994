"""The clients of a supervisor: its connections, and which of them owns the container."""

from __future__ import annotations

import gc
import os
import socket
from typing import Any

from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.supervisor import protocol, run_directory
from dockmagic_runtime.supervisor.connection import ClientConnection, ConnectionCallbacks
from dockmagic_runtime.supervisor.request_socket import peer_uid


class Clients:
    """`owner` is the engine that started the container in the foreground: when its connection
    ends, so does the container."""

    def __init__(self, loop: EventLoop, callbacks: ConnectionCallbacks) -> None:
        self._loop = loop
        self._callbacks = callbacks
        self._clients: list[ClientConnection] = []
        self._listener = -1
        self.owner: ClientConnection | None = None

    def listen(self, listener: int) -> None:
        self._listener = listener
        self._loop.watch(listener, READ, self._accept)

    def add(self, connection: socket.socket) -> ClientConnection:
        gc.enable()  # off since the launcher: an idle supervisor produces no garbage
        client = ClientConnection(self._loop, connection, self._callbacks)
        self._clients.append(client)
        return client

    def _accept(self, _events: int) -> None:
        with socket.socket(fileno=os.dup(self._listener)) as listener:
            connection, _ = listener.accept()
        if peer_uid(connection) not in (0, os.geteuid()):
            connection.close()  # the directory is 0700 already; this is the second barrier
            return
        self.add(connection)

    def remove(self, client: ClientConnection) -> bool:
        """Forget a client that has disconnected; whether it was the owner."""
        self._clients.remove(client)
        was_owner = client is self.owner
        if was_owner:
            self.owner = None
        return was_owner

    def send_output(self, kind: int, data: bytes) -> None:
        """One frame to each attached client."""
        framed = protocol.frame(kind, data)
        for client in [client for client in self._clients if client.attached]:
            client.send_bytes(framed)

    @property
    def is_behind(self) -> bool:
        """Whether the program should wait for a client."""
        return any(client.is_behind for client in self._clients if client.attached)

    def notify_exit(self, **values: Any) -> None:
        """Send `exited` to every client, except exec clients that have already received their own
        exit message, and close all connections."""
        self.owner = None
        for client in self._clients:
            if not client.exit_sent:
                client.send("exited", **values)
            client.finish()
        self._clients = []

    def release(self, run: str, lock: int) -> None:
        """Give up the run directory. Clients that have connected meanwhile are accepted first."""
        if self._listener < 0:
            return
        self._loop.forget(self._listener)
        os.set_blocking(self._listener, False)
        try:
            while True:
                self._accept(READ)
        except BlockingIOError:
            pass  # that was the last
        run_directory.release(run, lock, self._listener)
