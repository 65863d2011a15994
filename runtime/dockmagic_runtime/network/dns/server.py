"""The resolver of one container: its sockets inside the container, its answers from the zone.

Its own process, forked when the first question comes and over when none has come for a while. It
lives in the container's network namespace, so what it asks of others takes the container's way;
for servers on the host's loopback it opens the socket from there.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import Final

from dockmagic_runtime.linux.constants import CLONE_NEWNET
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.network.dns import messages
from dockmagic_runtime.network.dns.forwarder import Forwarder, Open, Server
from dockmagic_runtime.network.dns.messages import Query
from dockmagic_runtime.network.dns.timeouts import Timeouts
from dockmagic_runtime.network.dns.zone import Zone

IDLE: Final = 30.0  # seconds without a question
_BURST: Final = 64  # datagrams per callback, then others have their turn
_LARGEST: Final = 65535
_CHUNK: Final = 4096  # bytes of a stream per callback: some hundred questions at most
_MOST_STREAMS: Final = 64
_STREAM_PATIENCE: Final = 10.0  # seconds without a byte
_MOST_WAITING: Final = 16  # questions of one stream that are not answered yet

Answered = Callable[[bytes], None]


class DnsServer:
    """Answers on two sockets, which stay their owner's. `servers` are asked what nobody here is
    called; `local_only` see `messages.answer`."""

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
        self.selector: BaseSelector = DefaultSelector()
        self.timeouts = Timeouts(_STREAM_PATIENCE)
        self._datagrams = datagrams
        self._listener = listener
        self._zone = zone
        self._servers = servers
        self.forwarder = Forwarder(self.selector, open_socket)
        self._local_only = local_only
        self._streams: set[Stream] = set()
        self._last = time.monotonic()
        self.selector.register(datagrams, EVENT_READ, self._read_datagrams)
        self.selector.register(listener, EVENT_READ, self._accept)

    def run(self, idle: float = IDLE) -> None:
        """Until no question has come for `idle` seconds."""
        while (left := self._last + idle - time.monotonic()) > 0 or self._is_busy:
            self.turn(left if left > 0 else IDLE)

    @property
    def _is_busy(self) -> bool:
        return bool(self._streams) or self.forwarder.is_busy

    def turn(self, longest: float) -> None:
        """Wait for something to do, at most so many seconds, and do it."""
        waits = (longest, self.timeouts.next, self.forwarder.timeouts.next)
        for key, events in self.selector.select(min(one for one in waits if one is not None)):
            if self.selector.get_map().get(key.fd) is key:
                key.data(events)
        self.timeouts.fire()
        self.forwarder.timeouts.fire()

    def close(self) -> None:
        for one in list(self._streams):
            one.close()
        self.forwarder.close()
        self.selector.close()

    def handle(self, packet: bytes, answered: Answered, *, stream: bool = False) -> None:
        """One message of a client; calls `answered` once with what to send, empty for nothing."""
        self._last = time.monotonic()
        query = messages.read(packet)
        if not isinstance(query, Query):
            answered(query or b"")
            return
        whole = answered if stream else lambda packet: answered(messages.fitting(packet, query))
        known = self._zone.snapshot()
        found = messages.answer(query, known, local_only=self._local_only)
        if found is not None:
            whole(found)
        elif known.may_ask_outside:
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
            pass  # the client has gone, or does not read: a datagram may be lost

    def _accept(self, _events: int) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # that client has gone, or there are no descriptors: it is tried again
        if len(self._streams) >= _MOST_STREAMS:
            client.close()
            return
        client.setblocking(False)
        self._streams.add(Stream(self, client, self._streams.discard))


class Stream:
    """One TCP client; its messages have their length before them (RFC 1035, 4.2.2)."""

    def __init__(
        self, resolver: DnsServer, client: socket.socket, closed: Callable[[Stream], None]
    ) -> None:
        self._resolver = resolver
        self._client = client
        self._closed = closed
        self._received = b""
        self._unsent = b""
        self._waiting = 0
        self._at_end = False  # the client sends no more
        self._is_open = True
        self._is_taking = False
        self._events = EVENT_READ
        resolver.selector.register(client, EVENT_READ, self._move)
        resolver.timeouts.add(self, self.close)

    def _move(self, events: int) -> None:
        self._resolver.timeouts.add(self, self.close)
        try:
            if events & EVENT_WRITE:
                self._unsent = self._unsent[self._client.send(self._unsent) :]
            if events & EVENT_READ:
                self._receive()
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._go_on()

    def _receive(self) -> None:
        data = self._client.recv(_CHUNK)
        self._at_end = not data
        self._received += data

    def _go_on(self) -> None:
        """Take what has arrived whole, and watch for what can go on."""
        self._is_taking = True
        while self._waiting < _MOST_WAITING and (packet := self._next()):
            self._waiting += 1
            self._resolver.handle(packet, self._answered, stream=True)
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
            self._at_end = True  # not DNS: nothing more is taken from it
            self._received = b""
        if not self._is_taking:
            self._go_on()

    def _watch(self) -> None:
        takes = not self._at_end and self._waiting < _MOST_WAITING
        takes = takes and len(self._unsent) + len(self._received) <= 4 * _LARGEST
        events = (EVENT_READ if takes else 0) | (EVENT_WRITE if self._unsent else 0)
        selector = self._resolver.selector
        if events and self._events:
            selector.modify(self._client, events, self._move)
        elif events:
            selector.register(self._client, events, self._move)
        elif self._events:
            selector.unregister(self._client)
        self._events = events

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._resolver.timeouts.cancel(self)
            if self._events:
                self._resolver.selector.unregister(self._client)
            self._client.close()
            self._closed(self)


class Sockets:
    """New sockets for questions to others, from inside the container or from the host.

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
