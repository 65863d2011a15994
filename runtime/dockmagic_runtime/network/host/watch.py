"""Watches the host's network: changes of links, addresses, routes and neighbours, and counters.

Changes arrive on a netlink socket that stays open; pyroute2 decodes them. The kernel does not
report everything: IPv4 routes disappear with their interface without a message, and messages are
lost when the socket's buffer is full. So after a removal or a loss the whole is read again and
compared. The kernel never reports counters: they are read in an interval.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from msgspec.structs import replace

from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.linux.netlink import NETLINK_ROUTE
from dockmagic_runtime.model.host_network import (
    HostAddress,
    HostLink,
    HostNetwork,
    HostObject,
    HostRoute,
    Neighbour,
    NetworkChange,
)
from dockmagic_runtime.network.host import decode, snapshot

_QUIET: Final = 0.1  # seconds without a message before everything is read again
_BUFFER: Final = 4 * 1024 * 1024  # bytes; a message has one or two thousand
_LARGEST: Final = 64 * 1024
_DECODERS: Final[dict[str, Callable[[Any, dict[int, str]], HostObject | None]]] = {
    "LINK": decode.link,
    "ADDR": decode.address,
    "ROUTE": decode.route,
    "NEIGH": decode.neighbour,
}

Key = tuple[object, ...]


class HostWatch(Closing):
    """An iterator over `NetworkChange`, which ends when `close` is called.

    `bridges` returns the names of our bridges: their counters and those of their ports are
    reported. With `only`, a bridge's name, changes elsewhere are left out. `interval` is the time
    between two readings of the counters, in seconds; 0 for none.

    It is read by one thread at a time; `close` may be called by any. `now` is the network as of the
    last change that was returned.
    """

    def __init__(
        self, bridges: Callable[[], Collection[str]], *, only: str = "", interval: float = 1.0
    ) -> None:
        self._bridges = bridges
        self._only = only
        self._interval = interval
        self._mutex = threading.Lock()
        self._is_waiting = False
        self._is_closed = False
        self._is_stale = False
        self._names: dict[int, str] = {}
        self._objects: dict[Key, HostObject] = {}
        self._next_count = time.monotonic() + interval
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._socket = _subscribed()
        except BaseException:
            os.close(self._wake)
            raise
        try:
            # read after the subscription, so that no change is missed
            for value in _by_key(snapshot.read()).values():
                self._store(value)
            self._marshal = _marshal()
        except BaseException:
            self._is_closed = True
            self._release()
            raise

    @property
    def now(self) -> HostNetwork:
        values = [value for value in self._objects.values() if self._concerns(value)]
        return HostNetwork(
            links=tuple(value for value in values if isinstance(value, HostLink)),
            addresses=tuple(value for value in values if isinstance(value, HostAddress)),
            routes=tuple(value for value in values if isinstance(value, HostRoute)),
            neighbours=tuple(value for value in values if isinstance(value, Neighbour)),
        )

    def __iter__(self) -> Iterator[NetworkChange]:
        while self._is_open():
            yield from (change for change in self._changes() if self._concerns(change.value))

    def _changes(self) -> list[NetworkChange]:
        with self._mutex:
            if not self._is_open():
                return []
            self._is_waiting = True
        try:
            return self._wait()
        finally:
            with self._mutex:
                self._is_waiting = False
                if not self._is_open():
                    self._release()

    def close(self) -> None:
        """End the iteration, from any thread. Idempotent."""
        with self._mutex:
            if self._is_closed:
                return
            self._is_closed = True
            if self._is_waiting:
                os.eventfd_write(self._wake, 1)  # the waiting thread releases the descriptors
            else:
                self._release()

    def _is_open(self) -> bool:
        return not self._is_closed

    def _release(self) -> None:
        self._socket.close()
        os.close(self._wake)

    def _concerns(self, value: HostObject) -> bool:
        if not self._only:
            return True
        if isinstance(value, HostLink):
            return self._only in (value.name, value.bridge)
        return value.interface == self._only

    # ------------------------------------------------------------ one turn

    def _wait(self) -> list[NetworkChange]:
        """Wait for messages, for the next reading of the counters, or for the end."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._timeout())}
        if not self._is_open():
            return []
        if self._socket.fileno() in ready:
            return self._receive()
        if self._is_stale:
            return self._read_again()
        if self._interval and time.monotonic() >= self._next_count:
            return self._count()
        return []

    def _timeout(self) -> int | None:
        """Milliseconds."""
        if self._is_stale:
            return int(1000 * _QUIET)
        if not self._interval:
            return None
        return max(0, int(1000 * (self._next_count - time.monotonic())) + 1)

    def _receive(self) -> list[NetworkChange]:
        try:
            data, (sender, *_) = self._socket.recvfrom(_LARGEST)
        except OSError as error:
            if error.errno == errno.ENOBUFS:  # messages were lost
                self._is_stale = True
            elif error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
            return []
        if sender:  # not the kernel
            return []
        return [change for message in self._marshal.parse(data) for change in self._apply(message)]

    def _apply(self, message: Any) -> Iterator[NetworkChange]:
        name = message["event"].removeprefix("RTM_")
        decoder = _DECODERS.get(name[3:])
        value = decoder(message, self._names) if decoder else None
        if value is None:
            return
        if name.startswith("DEL"):
            yield from self._remove(value)
        else:
            yield from self._put(value)

    def _store(self, value: HostObject) -> None:
        self._objects[_key(value)] = value
        if isinstance(value, HostLink):
            self._names[value.index] = value.name

    def _put(self, value: HostObject) -> Iterator[NetworkChange]:
        before = self._objects.get(_key(value))
        self._store(value)
        if before is None:
            yield NetworkChange(action="added", value=value)
            return
        if isinstance(value, HostLink) and isinstance(before, HostLink):
            self._is_stale |= (before.is_up and not value.is_up) or before.name != value.name
            if before == replace(value, **_counters(before)):
                if before != value and self._is_ours(value, self._bridges()):
                    yield NetworkChange(action="counted", value=value)
                return
        if before != value:
            yield NetworkChange(action="changed", value=value)

    def _remove(self, value: HostObject) -> Iterator[NetworkChange]:
        before = self._objects.pop(_key(value), None)
        if before is None:
            return
        if isinstance(before, HostLink):
            self._names.pop(before.index, None)
            yield from self._remove_on(before.name)
        self._is_stale |= isinstance(before, HostLink | HostAddress)
        yield NetworkChange(action="removed", value=before)

    def _remove_on(self, interface: str) -> Iterator[NetworkChange]:
        for key, value in list(self._objects.items()):
            if not isinstance(value, HostLink) and value.interface == interface:
                del self._objects[key]
                yield NetworkChange(action="removed", value=value)

    def _read_again(self) -> list[NetworkChange]:
        self._is_stale = False
        current = _by_key(snapshot.read())
        gone = [value for key, value in self._objects.items() if key not in current]
        changes = [change for value in gone for change in self._remove(value)]
        changes += [change for value in current.values() for change in self._put(value)]
        self._is_stale = False  # what was found now needs no third reading
        return changes

    def _count(self) -> list[NetworkChange]:
        self._next_count = time.monotonic() + self._interval
        bridges = self._bridges()
        links = [link for link in snapshot.links() if self._is_ours(link, bridges)]
        return [change for link in links for change in self._counted(link)]

    def _counted(self, link: HostLink) -> Iterator[NetworkChange]:
        """Only counters: other differences are reported when their message is read."""
        before = self._objects.get(_key(link))
        if isinstance(before, HostLink) and before.counters != link.counters:
            value = replace(before, **_counters(link))
            self._objects[_key(link)] = value
            yield NetworkChange(action="counted", value=value)

    @staticmethod
    def _is_ours(link: HostLink, bridges: Collection[str]) -> bool:
        return link.name in bridges or link.bridge in bridges


def _subscribed() -> socket.socket:
    from pyroute2.netlink import rtnl

    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    subscribed = socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE)
    try:
        subscribed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        groups = (
            rtnl.RTMGRP_LINK
            | rtnl.RTMGRP_NEIGH
            | rtnl.RTMGRP_IPV4_IFADDR
            | rtnl.RTMGRP_IPV6_IFADDR
            | rtnl.RTMGRP_IPV4_ROUTE
            | rtnl.RTMGRP_IPV6_ROUTE
        )
        subscribed.bind((0, groups))
    except BaseException:
        subscribed.close()
        raise
    return subscribed


def _marshal() -> Any:
    from pyroute2.netlink.rtnl.marshal import MarshalRtnl

    return MarshalRtnl()


def _counters(link: HostLink) -> dict[str, int]:
    names = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
    return dict(zip(names, link.counters, strict=True))


def _key(value: HostObject) -> Key:
    if isinstance(value, HostLink):
        return "link", value.index
    if isinstance(value, HostAddress):
        return "address", value.interface, value.address, value.prefix_length
    if isinstance(value, HostRoute):
        return "route", value.destination, value.gateway, value.interface, value.metric
    return "neighbour", value.interface, value.address


def _by_key(network: HostNetwork) -> dict[Key, HostObject]:
    values: tuple[HostObject, ...]
    values = (*network.links, *network.addresses, *network.routes, *network.neighbours)
    return {_key(value): value for value in values}
