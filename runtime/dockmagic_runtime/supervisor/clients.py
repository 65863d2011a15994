"""The clients of a supervisor: who is connected, who listens, and whose container it is."""

from __future__ import annotations

import gc
import os
import socket

from dockmagic_runtime.linux.event_loop import READ, EventLoop
from dockmagic_runtime.supervisor import run_directory
from dockmagic_runtime.supervisor.connection import ClientConnection, ConnectionCallbacks


class Clients:
    """`owner` is the engine that started the container in the foreground: it ends with it."""

    def __init__(self, loop: EventLoop, host: ConnectionCallbacks) -> None:
        self._loop = loop
        self._host = host
        self._clients: list[ClientConnection] = []
        self._listener = -1
        self.owner: ClientConnection | None = None

    def listen(self, listener: int) -> None:
        self._listener = listener
        self._loop.watch(listener, READ, self._accept)

    def adopt(self, connection: socket.socket) -> ClientConnection:
        gc.enable()  # off since the launcher: an idle supervisor makes no garbage
        client = ClientConnection(self._loop, connection, self._host)
        self._clients.append(client)
        return client

    def _accept(self, _events: int) -> None:
        with socket.socket(fileno=os.dup(self._listener)) as listener:
            connection, _ = listener.accept()
        if _peer_uid(connection) not in (0, os.geteuid()):
            connection.close()  # the directory is 0700 already; this is the second door
            return
        self.adopt(connection)

    def remove(self, client: ClientConnection) -> bool:
        """Forget who has gone; whether that was the owner."""
        self._clients.remove(client)
        was_owner = client is self.owner
        if was_owner:
            self.owner = None
        return was_owner

    def send(self, framed: bytes) -> None:
        """To all that are attached."""
        for client in [one for one in self._clients if one.attached]:
            client.send(framed)

    @property
    def is_behind(self) -> bool:
        """Whether the program should wait for somebody."""
        return any(client.is_behind for client in self._clients if client.attached)

    def part(self, exit_code: int, *, oom_killed: bool, restarting: bool) -> None:
        """Tell everybody of the program's end, but who was told of the end of his exec."""
        self.owner = None
        for client in self._clients:
            if not client.is_told:
                client.say(
                    "exited", exit_code=exit_code, oom_killed=oom_killed, restarting=restarting
                )
            client.finish()
        self._clients = []

    def leave(self, run: str, lock: int) -> None:
        """Give up the container's place. Who has connected meanwhile is let in first."""
        if self._listener < 0:
            return
        self._loop.forget(self._listener)
        os.set_blocking(self._listener, False)
        try:
            while True:
                self._accept(READ)
        except BlockingIOError:
            pass  # that was the last
        run_directory.leave(run, lock, self._listener)


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")
