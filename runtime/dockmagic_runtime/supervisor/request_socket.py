"""The socket for the requests of engines, on which the spare start process of a launcher waits."""

from __future__ import annotations

import os
import select
import socket
from typing import Final

from msgspec import Struct

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.protocol import FrameReader

_PATIENCE: Final = 10.0  # seconds for one request to arrive: its sender may have been stopped


class ReceivedRequest(Struct, frozen=True):
    """One request: the frame, the descriptor that came with it, and where to acknowledge it."""

    kind: int
    payload: bytes
    owner: int
    connection: socket.socket


class RequestSocket(Struct, frozen=True):
    """Descriptors: `listener` is the socket, `users` the launcher's FIFO, see `launcher_start`.
    `wanted` reaches its end when the launcher has ended, or wants this spare to end."""

    listener: int
    users: int
    wanted: int

    def receive(self) -> ReceivedRequest | None:
        """Block until there is a request; None when this spare is to end."""
        with socket.socket(fileno=os.dup(self.listener)) as listener:
            while self._wait():
                connection, _ = listener.accept()
                request = _read(connection)
                if request is not None:
                    return request
                connection.close()
        return None

    def _wait(self) -> bool:
        ready = select.poll()
        ready.register(self.listener, select.POLLIN)
        ready.register(self.wanted, 0)
        return self.wanted not in dict(ready.poll())

    def become_user(self) -> int:
        """Keep the launcher: the FIFO, open for writing."""
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{self.users}", flags)

    def acknowledge(self, request: ReceivedRequest, taken: int) -> None:
        """Answer the engine, and let the launcher fork a new spare by the pipe `taken`."""
        try:
            request.connection.send(b"+")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the engine has ended: the supervisor will notice that
        request.connection.close()
        try:
            os.write(taken, b"+")
        except BrokenPipeError:
            pass  # the launcher was killed: the work is done all the same
        os.close(taken)
        self.close()

    def close(self) -> None:
        for fd in (self.listener, self.users, self.wanted):
            os.close(fd)


def _read(connection: socket.socket) -> ReceivedRequest | None:
    """None when the sender has disconnected, is another user, or does not go on."""
    if peer_uid(connection) not in (0, os.geteuid()):
        return None  # the directory is 0700 already; this is the second barrier
    connection.settimeout(_PATIENCE)
    reader = FrameReader()
    fds: list[int] = []
    try:
        while True:
            data, more = receive_fds(connection, 256 * 1024, 1)
            fds += more
            if not data:
                break
            for kind, payload in reader.feed(data):
                # an engine sends one request over a connection
                connection.settimeout(None)
                return ReceivedRequest(kind, payload, fds[0], connection)
    except (TimeoutError, ConnectionResetError, EngineBug):
        pass
    for fd in fds:
        os.close(fd)
    return None


def peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], "little")
