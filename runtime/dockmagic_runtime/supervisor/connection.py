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
    """Called for each frame, once when a connection has ended, and when a client that was behind
    has caught up."""

    def received(self, client: ClientConnection, kind: int, payload: bytes) -> None: ...
    def disconnected(self, client: ClientConnection) -> None: ...
    def caught_up(self, client: ClientConnection) -> None: ...


class ClientConnection:
    """`attached` clients get the program's output. `exit_sent`: an exec client has received the
    exit of its exec, and does not receive that of the program."""

    def __init__(
        self, loop: EventLoop, connection: socket.socket, callbacks: ConnectionCallbacks
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._callbacks = callbacks
        self._reader = protocol.FrameReader()
        self._pending = bytearray()
        self._is_open = True
        self._is_reading = True
        self._is_writing = False
        self._write_closed = False  # the client receives no more; what it has sent still counts
        self.attached = False
        self.exit_sent = False
        # the end of its standard input is the end of the program's: only of the first client, not
        # of clients that attach later
        self.closes_input = False
        connection.setblocking(False)
        self._watch()

    @property
    def is_behind(self) -> bool:
        return len(self._pending) > OUTPUT_LIMIT

    def send(self, verb: str, **values: Any) -> None:
        """Send a control message."""
        self.send_bytes(protocol.control(verb, **values))

    def send_bytes(self, framed: bytes) -> None:
        if self._is_open and not self._write_closed:
            self._pending += framed
            self._flush()

    def send_descriptors(self, verb: str, *fds: int) -> None:
        """A control message with descriptors, to a client that receives nothing else."""
        socket.send_fds(self._socket, [protocol.control(verb)], list(fds))

    def set_reading(self, reading: bool) -> None:
        """Read what the client sends, or let it wait."""
        if reading != self._is_reading:
            self._is_reading = reading
            self._watch()

    def _watch(self) -> None:
        events = (READ if self._is_reading else 0) | (WRITE if self._is_writing else 0)
        if self._is_open:  # without events its end is noticed all the same
            self._loop.watch(self._socket.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~(READ | WRITE) and not self._is_reading:
            self.set_reading(True)  # it has disconnected: what it sent before still counts
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
                self._callbacks.received(self, kind, payload)
        except EngineBug as error:
            self.send(
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
        except ConnectionError:  # its last messages are still to be read: one may be "detach"
            self._write_closed = True
            self._pending.clear()
            self.set_reading(True)
        if self._is_writing != bool(self._pending):
            self._is_writing = bool(self._pending)
            self._watch()
        if was_behind and not self.is_behind:
            self._callbacks.caught_up(self)

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
            pass  # closed or stuck: the client sees the end of the stream
        self._socket.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._callbacks.disconnected(self)
