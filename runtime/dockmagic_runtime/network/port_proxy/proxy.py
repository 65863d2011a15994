"""The port proxy of a container: one event loop for all its ports (`supervisor.doors`).

It takes the connections that arrive at a held port and passes them on to the container. A stream
is moved by splice(2) through a pipe per direction, so the bytes never enter this process and
memory is bounded by the pipes: a source is read only while its pipe is empty. Of an SCTP
association it is messages that are moved. Every callback does a bounded amount of work. Convention
of the loop: `selector.register(fd, events, callback)`, and the loop calls `key.data(mask)`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector
from typing import TYPE_CHECKING

from msgspec import Struct

from dockmagic_runtime.network.port_proxy.held_ports import HeldPort
from dockmagic_runtime.network.port_proxy.udp import DatagramProxy

if TYPE_CHECKING:
    from dockmagic_runtime.network.port_proxy.sctp import MessageDirection

Callback = Callable[[int], None]

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
        self.is_finished = False  # and the sink has been told

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
    """What connections are made of. `prepare` gets the client and the container's side."""

    protocol: int
    no_delay: int  # its socket option
    direction: type[Direction | MessageDirection]
    prepare: Callable[[socket.socket, socket.socket], None] | None = None

    def backend(self, client: socket.socket) -> socket.socket:
        """The container's side for that client, not connected yet; both are prepared."""
        backend = socket.socket(socket.AF_INET, socket.SOCK_STREAM, self.protocol)
        try:
            for one in (client, backend):
                one.setblocking(False)
                one.setsockopt(self.protocol, self.no_delay, 1)
            if self.prepare is not None:
                self.prepare(client, backend)
        except BaseException:
            backend.close()
            raise
        return backend


def _transport(protocol: str) -> Transport:
    if protocol == "tcp":
        return Transport(socket.IPPROTO_TCP, socket.TCP_NODELAY, Direction)
    # others need not have it in memory
    from dockmagic_runtime.network.port_proxy.sctp import NODELAY, MessageDirection, prepare

    return Transport(socket.IPPROTO_SCTP, NODELAY, MessageDirection, prepare)


class Connection:
    """One client and the container's side of it, from connecting to the last byte."""

    def __init__(
        self,
        selector: BaseSelector,
        transport: Transport,
        client: socket.socket,
        target: tuple[str, int],
        closed: Callable[[Connection], None],
    ) -> None:
        self._selector = selector
        self._transport = transport
        self._closed = closed
        self._client = client
        self._backend = transport.backend(client)
        self._masks = {client: 0, self._backend: 0}
        self._directions: tuple[Direction | MessageDirection, ...] = ()
        self._backend.connect_ex(target)  # a refusal is told by SO_ERROR below
        self._watch(self._backend, EVENT_WRITE, self._connected)

    def _connected(self, _mask: int) -> None:
        self._watch(self._backend, 0, self._connected)
        try:
            if self._backend.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.close()  # nobody listens in the container: the client sees its connection end
                return
            self._directions = (self._transport.direction(self._client, self._backend),)
            self._directions += (self._transport.direction(self._backend, self._client),)
        except OSError:  # no descriptors left for the pipes
            self.close()
            return
        self._move(0)

    def _move(self, _mask: int) -> None:
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
        for one, reads, writes in ((self._client, up, down), (self._backend, down, up)):
            mask = EVENT_READ if not reads.at_end and not reads.pending else 0
            mask |= EVENT_WRITE if writes.pending else 0
            self._watch(one, mask, self._move)

    def _watch(self, one: socket.socket, mask: int, callback: Callback) -> None:
        before = self._masks[one]
        if before == mask:
            return
        if before and mask:
            self._selector.modify(one, mask, callback)
        elif mask:
            self._selector.register(one, mask, callback)
        elif before:
            self._selector.unregister(one)
        self._masks[one] = mask

    def close(self, *, abort: bool = False) -> None:
        """Let go of everything. With `abort` the peers see a reset, as they would without us."""
        for one, mask in self._masks.items():
            if mask:
                self._selector.unregister(one)
            if abort:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        for direction in self._directions:
            direction.close()
        self._masks = {}
        self._directions = ()
        self._closed(self)


class StreamProxy:
    """Takes connections from a listening socket, which stays its owner's."""

    def __init__(
        self,
        selector: BaseSelector,
        listener: socket.socket,
        target: tuple[str, int],
        protocol: str = "tcp",
    ) -> None:
        self._selector = selector
        self._transport = _transport(protocol)
        self._listener = listener
        self._target = target
        self._connections: set[Connection] = set()
        # given up for a moment when descriptors run out, so that a waiting client can be taken
        # off the queue and refused; otherwise the loop would spin on it
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        selector.register(listener, EVENT_READ, self._accept)

    def _accept(self, _mask: int) -> None:
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
                self._selector, self._transport, client, self._target, self._connections.discard
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
            pass  # the client or the place has gone meanwhile
        finally:
            self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        self._selector.unregister(self._listener)
        for connection in list(self._connections):
            connection.close(abort=True)
        os.close(self._spare)


class PortProxy:
    """All proxies of one container. Closing it leaves the held sockets open."""

    def __init__(self, selector: BaseSelector, held: Iterable[HeldPort], address: str) -> None:
        self._proxies: list[StreamProxy | DatagramProxy] = []
        for one in held:
            target = address, one.container_port
            if one.protocol == "udp":
                self._proxies.append(DatagramProxy(selector, one.socket, target))
            else:
                self._proxies.append(StreamProxy(selector, one.socket, target, one.protocol))

    def expire(self, now: float) -> None:
        """Forget UDP clients that have been silent; for the loop's idle moments."""
        for one in self._proxies:
            if isinstance(one, DatagramProxy):
                one.expire(now)

    def close(self) -> None:
        for one in self._proxies:
            one.close()
        self._proxies.clear()
