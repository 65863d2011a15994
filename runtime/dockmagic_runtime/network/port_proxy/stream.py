"""The port proxy for protocols with connections: TCP, and SCTP with what `sctp` does differently.

A TCP stream is moved by splice(2) through a pipe per direction, so the bytes never enter this
process and memory is bounded by the pipes: a source is read only while its pipe is empty. Every
callback does a bounded amount of work.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from dockmagic_runtime.linux.event_loop import READ, WRITE, Callback, EventLoop

if TYPE_CHECKING:
    from dockmagic_runtime.network.port_proxy.sctp import MessageDirection

_CHUNK = 1024 * 1024  # as much as the pipe takes
_ROUNDS = 16  # moves per callback, then others have their turn
_ACCEPTS = 64  # connections taken per callback
_RETRY = (errno.EAGAIN, errno.EINTR)
_SPLICE_F_MOVE_NONBLOCK = 1 | 2


class Direction:
    """One half of a connection: source → pipe → sink."""

    __slots__ = ("at_end", "is_finished", "pending", "reader", "sink", "source", "writer")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.pending = 0  # bytes in the pipe
        self.at_end = False  # the source sends no more
        self.is_finished = False  # and the sink's sending half has been shut down

    def move(self) -> None:
        """Pass on what there is, for a bounded time. OSError when either side has broken."""
        for _ in range(_ROUNDS):
            if not self.pending and not self._fill():
                break
            if not self._drain():
                return
        if self.at_end and not self.pending and not self.is_finished:
            self.is_finished = True
            self.sink.shutdown(socket.SHUT_WR)

    def _fill(self) -> bool:
        if self.at_end:
            return False
        try:
            self.pending = os.splice(
                self.source.fileno(), self.writer, _CHUNK, flags=_SPLICE_F_MOVE_NONBLOCK
            )
        except BlockingIOError:
            return False
        self.at_end = self.pending == 0
        return not self.at_end

    def _drain(self) -> bool:
        while self.pending:
            try:
                self.pending -= os.splice(
                    self.reader, self.sink.fileno(), self.pending, flags=_SPLICE_F_MOVE_NONBLOCK
                )
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Transport(Struct, frozen=True):
    """The protocol of a connection: its sockets, and how one direction is moved.

    `no_delay` is the number of the socket option; `prepare` is called with the client's socket
    and the container's.
    """

    protocol: int
    no_delay: int
    direction: type[Direction | MessageDirection]
    prepare: Callable[[socket.socket, socket.socket], None] | None = None

    def backend(self, client: socket.socket) -> socket.socket:
        """The socket to the container for that client, not connected yet; both are prepared."""
        backend = socket.socket(socket.AF_INET, socket.SOCK_STREAM, self.protocol)
        try:
            for each in (client, backend):
                each.setblocking(False)
                each.setsockopt(self.protocol, self.no_delay, 1)
            if self.prepare is not None:
                self.prepare(client, backend)
        except BaseException:
            backend.close()
            raise
        return backend


def _transport(protocol: str) -> Transport:
    if protocol == "tcp":
        return Transport(socket.IPPROTO_TCP, socket.TCP_NODELAY, Direction)
    # imported here, so that a proxy of TCP alone does not hold it in memory
    from dockmagic_runtime.network.port_proxy.sctp import NODELAY, MessageDirection, prepare

    return Transport(socket.IPPROTO_SCTP, NODELAY, MessageDirection, prepare)


class Connection:
    """A client's socket and the socket to the container, from connecting to the last byte."""

    def __init__(
        self,
        loop: EventLoop,
        transport: Transport,
        client: socket.socket,
        target: tuple[str, int],
        closed: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._closed = closed
        self._client = client
        self._backend = transport.backend(client)
        self._watched = {client: 0, self._backend: 0}
        self._directions: tuple[Direction | MessageDirection, ...] = ()
        self._backend.connect_ex(target)  # SO_ERROR reports a refusal below
        self._watch(self._backend, WRITE, self._connected)

    def _connected(self, _events: int) -> None:
        self._watch(self._backend, 0, self._connected)
        try:
            if self._backend.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.close()  # no listener in the container: the client sees its connection end
                return
            self._directions = (self._transport.direction(self._client, self._backend),)
            self._directions += (self._transport.direction(self._backend, self._client),)
        except OSError:  # no descriptors left for the pipes
            self.close()
            return
        self._move(0)

    def _move(self, _events: int) -> None:
        try:
            for direction in self._directions:
                direction.move()
        except OSError:
            self.close(abort=True)
            return
        if all(direction.is_finished for direction in self._directions):
            self.close()
        else:
            self._watch_both()

    def _watch_both(self) -> None:
        up, down = self._directions
        for end, reads, writes in ((self._client, up, down), (self._backend, down, up)):
            events = READ if not reads.at_end and not reads.pending else 0
            events |= WRITE if writes.pending else 0
            self._watch(end, events, self._move)

    def _watch(self, end: socket.socket, events: int, callback: Callback) -> None:
        """Without `events` the socket is not watched: epoll would report its end all the time."""
        if self._watched[end] == events:
            return
        if events:
            self._loop.watch(end.fileno(), events, callback)
        else:
            self._loop.forget(end.fileno())
        self._watched[end] = events

    def close(self, *, abort: bool = False) -> None:
        """Close both sockets. With `abort` the peers see a reset, as without a proxy between."""
        for end in self._watched:
            self._loop.forget(end.fileno())
            if abort:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        for direction in self._directions:
            direction.close()
        self._watched = {}
        self._directions = ()
        self._closed(self)


class StreamProxy:
    """Accepts connections from a listening socket, which the caller owns and closes."""

    def __init__(
        self,
        loop: EventLoop,
        listener: socket.socket,
        target: tuple[str, int],
        protocol: str = "tcp",
    ) -> None:
        self._loop = loop
        self._transport = _transport(protocol)
        self._listener = listener
        self._target = target
        self._connections: set[Connection] = set()
        # closed for a moment when descriptors run out, so that a waiting client can be taken off
        # the queue and refused; otherwise the loop would spin on it
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        loop.watch(listener.fileno(), READ, self._accept)

    def _accept(self, _events: int) -> None:
        for _ in range(_ACCEPTS):
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._refuse()
                elif error.errno in _RETRY:
                    return
                continue  # ECONNABORTED and its like: that client has gone
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            connection = Connection(
                self._loop, self._transport, client, self._target, self._connections.discard
            )
        except OSError:  # no descriptor left for the second socket, or the client has gone
            client.close()
            return
        self._connections.add(connection)

    def _refuse(self) -> None:
        os.close(self._spare)
        try:
            client, _ = self._listener.accept()
            client.close()
        except OSError:
            pass  # the client has gone, or another process has taken the last descriptor
        finally:
            self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        self._loop.forget(self._listener.fileno())
        for connection in list(self._connections):
            connection.close(abort=True)
        os.close(self._spare)
