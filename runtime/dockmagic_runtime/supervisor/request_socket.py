"""The socket of an engine's requests, on which the spare start process of a launcher waits."""

from __future__ import annotations

import os
import select
import socket

from msgspec import Struct

from dockmagic_runtime.supervisor.descriptors import receive as receive_fds
from dockmagic_runtime.supervisor.protocol import FrameReader


class ReceivedRequest(Struct, frozen=True):
    """One request: the frame, and the descriptor that came with it."""

    kind: int
    payload: bytes
    owner: int


class RequestSocket(Struct, frozen=True):
    """`engine` is the socket; `alive` reaches its end when the launcher has ended."""

    engine: int
    alive: int

    def receive(self) -> ReceivedRequest | None:
        """Block until there is a request; None when there will be none."""
        if not self._wait():
            return None
        reader = FrameReader()
        fds: list[int] = []
        with socket.socket(fileno=os.dup(self.engine)) as engine:
            while True:
                data, more = receive_fds(engine, 256 * 1024, 1)
                fds += more
                if not data:
                    return None
                for kind, payload in reader.feed(data):
                    # an engine sends the next request only when this one was acknowledged
                    return ReceivedRequest(kind, payload, fds[0])

    def _wait(self) -> bool:
        """False when the launcher has ended: then no process would answer the next request."""
        ready = select.poll()
        ready.register(self.engine, select.POLLIN)
        ready.register(self.alive, 0)
        return self.alive not in dict(ready.poll())

    def acknowledge(self, taken: int) -> None:
        """Answer the engine, then let the launcher fork a new spare by the pipe `taken`: see there
        for what happens if this process is killed in between."""
        for fd in (self.engine, taken):
            try:
                os.write(fd, b"+")
            except BrokenPipeError:
                pass  # it has ended meanwhile: the work is done all the same
            os.close(fd)
        os.close(self.alive)

    def close(self) -> None:
        os.close(self.engine)
        os.close(self.alive)
