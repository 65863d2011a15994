"""The DNS server of one container: it listens inside the container and answers from the zone.

It runs in a process of its own, which the supervisor forks when the first query arrives and which
ends after a time without queries. The process is in the container's network namespace, so that
forwarded queries take the container's route; for upstream servers on the host's loopback it opens
the socket in the host's namespace.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from dockmagic_runtime.linux.constants import CLONE_NEWNET
from dockmagic_runtime.linux.event_loop import (
    READ,
    WRITE,
    EventLoop,
    Timer,
    is_readable,
    is_writable,
)
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.network.dns import messages
from dockmagic_runtime.network.dns.forwarder import Forwarder, Open, Server
from dockmagic_runtime.network.dns.messages import Query
from dockmagic_runtime.network.dns.zone import Zone

IDLE: Final = 30.0  # seconds without a query
_BURST: Final = 64  # datagrams per callback, then other descriptors have their turn
_LARGEST: Final = 65535
_CHUNK: Final = 4096  # bytes of a stream per callback: some hundred queries at most
_MOST_STREAMS: Final = 64
_STREAM_TIMEOUT: Final = 10.0  # seconds without a byte
_MOST_WAITING: Final = 16  # queries of one stream that are not answered yet

Answered = Callable[[bytes], None]


class DnsServer:
    """Answers on two sockets, which the caller owns: one for datagrams, one that listens.

    Queries for names outside the zone are forwarded to `servers`; for `local_only` see
    `messages.answer`.
    """

    def __init__(
        self,
        datagrams: socket.socket,
        listener: socket.socket,
        zone: Zone,
        servers: Callable[[], tuple[Server, ...]],
        open_socket: Open,
        *,
        local_only: bool = False,
    ) -> None:
        self.loop = EventLoop()
        self._datagrams = datagrams
        self._listener = listener
        self._zone = zone
        self._servers = servers
        self.forwarder = Forwarder(self.loop, open_socket)
        self._local_only = local_only
        self._streams: set[Stream] = set()
        self._last = time.monotonic()
        self.loop.watch(datagrams.fileno(), READ, self._read_datagrams)
        self.loop.watch(listener.fileno(), READ, self._accept)

    def run(self, idle: float = IDLE) -> None:
        """Serve until no query has arrived for `idle` seconds and none is being answered."""
        while (left := self._last + idle - time.monotonic()) > 0 or self._is_busy:
            self.loop.turn(left if left > 0 else IDLE)

    @property
    def _is_busy(self) -> bool:
        return bool(self._streams) or self.forwarder.is_busy

    def close(self) -> None:
        for stream in list(self._streams):
            stream.close()
        self.forwarder.close()
        self.loop.close()

    def handle(self, packet: bytes, answered: Answered, *, stream: bool = False) -> None:
        """Handle one message of a client. Calls `answered` once: with the message to send, or an
        empty one for none."""
        self._last = time.monotonic()
        query = messages.read(packet)
        if not isinstance(query, Query):
            answered(query or b"")
            return
        whole = answered if stream else lambda packet: answered(messages.fitting(packet, query))
        known = self._zone.snapshot()
        answer = messages.answer(query, known, local_only=self._local_only)
        if answer is not None:
            whole(answer)
        elif known.may_forward:
            self.forwarder.ask(query, self._servers(), whole)
        else:
            whole(messages.failure(query))

    def _read_datagrams(self, _events: int) -> None:
        for _ in range(_BURST):
            try:
                packet, address = self._datagrams.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            self.handle(packet, functools.partial(self._send_datagram, address))

    def _send_datagram(self, address: tuple[str, int], answer: bytes) -> None:
        if not answer:
            return
        try:
            self._datagrams.sendto(answer, address)
        except OSError:
            pass  # the client has gone, or does not read: UDP may lose a datagram

    def _accept(self, _events: int) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # that client has gone, or no descriptor is free: the loop comes back to it
        if len(self._streams) >= _MOST_STREAMS:
            client.close()
            return
        client.setblocking(False)
        self._streams.add(Stream(self, client, self._streams.discard))


class Stream:
    """One TCP client; each message is preceded by its length (RFC 1035, 4.2.2)."""

    def __init__(
        self, server: DnsServer, client: socket.socket, closed: Callable[[Stream], None]
    ) -> None:
        self._server = server
        self._client = client
        self._closed = closed
        self._received = b""
        self._unsent = b""
        self._waiting = 0
        self._at_end = False  # the client sends no more
        self._is_open = True
        self._is_taking = False
        self._events = READ
        self._timer = self._new_timer()
        server.loop.watch(client.fileno(), READ, self._move)

    def _new_timer(self) -> Timer:
        return self._server.loop.after(_STREAM_TIMEOUT, self.close)

    def _move(self, events: int) -> None:
        self._timer.cancel()
        self._timer = self._new_timer()
        try:
            if self._events & WRITE and is_writable(events):
                self._unsent = self._unsent[self._client.send(self._unsent) :]
            if self._events & READ and is_readable(events):
                self._receive()
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._process()

    def _receive(self) -> None:
        data = self._client.recv(_CHUNK)
        self._at_end = not data
        self._received += data

    def _process(self) -> None:
        """Handle the queries that have arrived whole, and watch for what can be done next."""
        self._is_taking = True
        while self._waiting < _MOST_WAITING and (packet := self._next()):
            self._waiting += 1
            self._server.handle(packet, self._answered, stream=True)
        self._is_taking = False
        if self._at_end and not self._waiting and not self._unsent:
            self.close()
            return
        self._watch()

    def _next(self) -> bytes:
        length = 2 + int.from_bytes(self._received[:2], "big")
        if len(self._received) < max(length, 3):
            return b""
        packet, self._received = self._received[2:length], self._received[length:]
        return packet

    def _answered(self, answer: bytes) -> None:
        self._waiting -= 1
        if not self._is_open:
            return
        if answer:
            self._unsent += len(answer).to_bytes(2, "big") + answer
        else:
            self._at_end = True  # not DNS: nothing more is read from this client
            self._received = b""
        if not self._is_taking:
            self._process()

    def _watch(self) -> None:
        takes = not self._at_end and self._waiting < _MOST_WAITING
        takes = takes and len(self._unsent) + len(self._received) <= 4 * _LARGEST
        events = (READ if takes else 0) | (WRITE if self._unsent else 0)
        if events:
            self._server.loop.watch(self._client.fileno(), events, self._move)
        else:
            self._server.loop.forget(self._client.fileno())
        self._events = events

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._timer.cancel()
            self._server.loop.forget(self._client.fileno())
            self._client.close()
            self._closed(self)


class Sockets:
    """Opens sockets to upstream servers, in the container's network namespace or the host's.

    The process enters the namespace of `inside`, a pidfd or a namespace's descriptor, for good.
    """

    def __init__(self, linux: Linux, inside: int) -> None:
        self._linux = linux
        self._host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(inside, CLONE_NEWNET)
        self._inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def open(self, server: Server, kind: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        if not server.on_host:
            return _nonblocking(family, kind)
        self._linux.setns(self._host, CLONE_NEWNET)
        try:
            return _nonblocking(family, kind)
        finally:
            self._linux.setns(self._inside, CLONE_NEWNET)


def _nonblocking(family: int, kind: int) -> socket.socket:
    return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
