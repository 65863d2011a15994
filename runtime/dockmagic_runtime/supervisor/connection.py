"""A connection to a supervisor, seen from the supervisor: frames in, frames out, no blocking."""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

from dockmagic_runtime.errors import EngineBug
from dockmagic_runtime.linux.event_loop import READ, WRITE, EventLoop
from dockmagic_runtime.supervisor import protocol

# a client that is this far behind makes the program wait
OUTPUT_LIMIT: Final = 1024 * 1024


class ConnectionCallbacks(Protocol):
    """Who has clients: told of each frame, once of each one's end, and when one that was behind
    has caught up."""

    def frame(self, client: ClientConnection, kind: int, payload: bytes) -> None: ...
    def gone(self, client: ClientConnection) -> None: ...
    def caught_up(self, client: ClientConnection) -> None: ...


class ClientConnection:
    """`attached` clients get the program's output. All are told of its end, but those who were
    told of the end of their exec."""

    def __init__(
        self, loop: EventLoop, connection: socket.socket, host: ConnectionCallbacks
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._host = host
        self._reader = protocol.FrameReader()
        self._pending = bytearray()
        self._is_open = True
        self._is_heard = True
        self._is_writing = False
        self._is_deaf = False  # it takes nothing any more, but what it has said still counts
        self.attached = False
        self.is_told = False
        self.closes_input = False  # when it has said all: who attaches later does not
        connection.setblocking(False)
        self._watch()

    @property
    def is_behind(self) -> bool:
        return len(self._pending) > OUTPUT_LIMIT

    def send(self, data: bytes) -> None:
        if self._is_open and not self._is_deaf:
            self._pending += data
            self._flush()

    def say(self, verb: str, **values: Any) -> None:
        self.send(protocol.control(verb, **values))

    def hand_over(self, verb: str, *fds: int) -> None:
        """A message with descriptors, to a client that gets nothing else."""
        socket.send_fds(self._socket, [protocol.control(verb)], list(fds))

    def hear(self, heard: bool) -> None:
        """Read what it sends, or let it wait."""
        if heard != self._is_heard:
            self._is_heard = heard
            self._watch()

    def _watch(self) -> None:
        events = (READ if self._is_heard else 0) | (WRITE if self._is_writing else 0)
        if self._is_open:  # without events its end is noticed all the same
            self._loop.watch(self._socket.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~(READ | WRITE) and not self._is_heard:
            self.hear(True)  # it has gone: what it had said still counts
        elif events & ~WRITE and self._is_open:
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
                self._host.frame(self, kind, payload)
        except EngineBug as error:
            self.say(
                "failed",
                error={"kind": "EngineBug", "message": error.message, "hint": "", "exit_code": 125},
            )
            self.close()

    def _flush(self) -> None:
        was_behind = self.is_behind
        try:
            while self._pending:
                sent = self._socket.send(self._pending[: 256 * 1024])
                del self._pending[:sent]
        except BlockingIOError:
            pass
        except ConnectionError:  # its end is read after its last words, which may be "detach"
            self._is_deaf = True
            self._pending.clear()
            self.hear(True)
        if self._is_writing != bool(self._pending):
            self._is_writing = bool(self._pending)
            self._watch()
        if was_behind and not self.is_behind:
            self._host.caught_up(self)

    def finish(self) -> None:
        """Deliver what is left, blocking at most five seconds, and close."""
        if not self._is_open:
            return
        self._loop.forget(self._socket.fileno())
        self._is_open = False
        self._socket.settimeout(5)
        try:
            self._socket.sendall(self._pending)
        except OSError:
            pass  # gone or stuck: it will see the end of the stream
        self._socket.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._host.gone(self)
