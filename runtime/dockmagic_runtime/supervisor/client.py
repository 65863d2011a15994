"""A connection to a supervisor, seen from the supervisor: frames in, frames out, no blocking."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.supervisor import protocol
from dockmagic_runtime.supervisor.loop import READ, WRITE, Loop

# a client that is this far behind makes the program wait
OUTPUT_LIMIT: Final = 1024 * 1024


class Client:
    """`on_frame(client, kind, payload)` for each frame; `on_gone(client)` once, at its end."""

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        on_frame: Callable[[Client, int, bytes], None],
        on_gone: Callable[[Client], None],
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._reader = protocol.FrameReader()
        self._pending = bytearray()
        self._open = True
        self.attached = False
        self.waiting = False
        connection.setblocking(False)
        loop.watch(connection, READ, self._ready)

    @property
    def is_behind(self) -> bool:
        return len(self._pending) > OUTPUT_LIMIT

    def send(self, data: bytes) -> None:
        if self._open:
            self._pending += data
            self._flush()

    def say(self, verb: str, **values: Any) -> None:
        self.send(protocol.control(verb, **values))

    def hand_over(self, verb: str, *fds: int) -> None:
        """A message with descriptors, to a client that gets nothing else."""
        socket.send_fds(self._socket, [protocol.control(verb)], list(fds))

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ and self._open:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(64 * 1024)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for kind, payload in self._reader.feed(data):
                self._on_frame(self, kind, payload)
        except EngineBug as error:
            self.say(
                "failed",
                error={"kind": "EngineBug", "message": error.message, "hint": "", "exit_code": 125},
            )
            self.close()

    def _flush(self) -> None:
        try:
            while self._pending:
                sent = self._socket.send(self._pending[: 256 * 1024])
                del self._pending[:sent]
        except BlockingIOError:
            self._loop.watch(self._socket, READ | WRITE, self._ready)
            return
        except ConnectionError:
            self.close()
            return
        self._loop.watch(self._socket, READ, self._ready)

    def finish(self) -> None:
        """Deliver what is left, blocking at most five seconds, and close."""
        if not self._open:
            return
        self._loop.forget(self._socket)
        self._open = False
        self._socket.settimeout(5)
        try:
            self._socket.sendall(self._pending)
        except OSError:
            pass  # gone or stuck: it will see the end of the stream
        self._socket.close()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.forget(self._socket)
            self._socket.close()
            self._on_gone(self)
