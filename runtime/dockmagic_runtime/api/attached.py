"""Moves bytes between a client and a process, both ways at once, until one of them ends."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Collection, Iterator
from typing import Final, Protocol

from dockmagic_runtime.api.http import frames
from dockmagic_runtime.api.http.connection import HttpConnection
from dockmagic_runtime.api.http.errors import Disconnected
from dockmagic_runtime.api.http.request import Request

_BLOCK: Final = 64 * 1024


class Attachable(Protocol):
    """What an attached client needs of a process."""

    def output(self) -> Iterator[tuple[str, bytes]]: ...
    def write(self, data: bytes) -> None: ...
    def close_stdin(self) -> None: ...
    def detach(self) -> None: ...


class AttachedClient:
    """A hijacked connection, before and while a process is behind it.

    `streams` are those that the client asked for: "stdin", "stdout", "stderr". `closes_stdin`:
    the end of the client's input is the end of the process's.
    """

    def __init__(
        self, request: Request, *, is_raw: bool, streams: Collection[str], closes_stdin: bool
    ) -> None:
        self._connection: HttpConnection = request.connection
        self._is_raw = is_raw
        self._streams = streams
        self._closes_stdin = closes_stdin
        self._reader: threading.Thread | None = None
        self._early = request.connection.hijack(_head(request, is_raw=is_raw))

    @property
    def is_gone(self) -> bool:
        """Whether both directions are closed; one alone is an end of input."""
        poll = select.poll()
        poll.register(self._connection.socket, 0)
        return bool(poll.poll(0))

    def send(self, stream: str, data: bytes) -> None:
        """Raises Disconnected."""
        if stream in self._streams:
            self._connection.send_raw(data if self._is_raw else frames.frame(stream, data))

    def serve(self, process: Attachable) -> None:
        """Until the process has ended, or the client has gone: then the process is detached."""
        self._reader = threading.Thread(
            target=self._read, args=(process,), name="api-input", daemon=True
        )
        self._reader.start()
        try:
            for stream, data in process.output():
                self.send(stream, data)
        except Disconnected:
            process.detach()  # it goes on without the client

    def close(self) -> None:
        """Ends the stream, and the thread that reads the client's input. Idempotent."""
        try:
            self._connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has closed it
        if self._reader is not None:
            self._reader.join()  # before the descriptor can be another connection's
            self._reader = None
        self._connection.close()

    def _read(self, process: Attachable) -> None:
        wants_input = "stdin" in self._streams
        data = self._early
        connection = self._connection.socket
        try:
            while True:
                if data and wants_input:
                    process.write(data)
                _await_input(connection)
                data = connection.recv(_BLOCK)
                if not data:
                    break
        except OSError:
            process.detach()  # the connection has broken, or the other thread has closed it
            return
        if wants_input and self._closes_stdin:
            process.close_stdin()
        _await_hangup(connection)
        process.detach()


def _await_input(connection: socket.socket) -> None:
    pending = getattr(connection, "pending", None)  # of TLS: decrypted and not yet read
    if pending is None or not pending():
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.poll()
    connection.settimeout(None)


def _await_hangup(connection: socket.socket) -> None:
    """Blocks until both directions are closed, by the client or here."""
    poll = select.poll()
    poll.register(connection, 0)
    poll.poll()


def _head(request: Request, *, is_raw: bool) -> list[str]:
    kind = frames.media_type(is_raw=is_raw, version=request.version)
    if "upgrade" in request.headers:
        return [
            "HTTP/1.1 101 UPGRADED",
            f"Content-Type: {kind}",
            "Connection: Upgrade",
            "Upgrade: tcp",
        ]
    return ["HTTP/1.1 200 OK", f"Content-Type: {kind}"]
