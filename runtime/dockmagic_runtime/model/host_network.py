"""The network of the host at one moment, and its changes."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from msgspec import Struct

_LOOPBACK: Final = 1  # its index, in every network namespace


class HostLink(Struct, frozen=True, kw_only=True):
    """A network interface of the host.

    `kind` is the kernel's: "bridge", "veth", "vlan"…; empty for hardware and loopback. `bridge` is
    the bridge that it is a port of. Counters are the interface's own view, in bytes and packets: a
    container has received what the host's end of its veth pair has sent.
    """

    index: int
    name: str
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    is_up: bool = False
    has_carrier: bool = False
    bridge: str = ""
    alias: str = ""
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    tx_packets: int = 0

    @property
    def counters(self) -> tuple[int, int, int, int]:
        return self.rx_bytes, self.tx_bytes, self.rx_packets, self.tx_packets


class HostAddress(Struct, frozen=True, kw_only=True):
    """An address of this host on an interface."""

    interface: str
    address: str
    prefix_length: int

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix_length}"


class HostRoute(Struct, frozen=True, kw_only=True):
    """A route of the main table. `destination` is a CIDR; `gateway` is empty for a network that is
    connected directly. A route without an interface discards. Of several next hops it has the
    first.
    """

    destination: str
    gateway: str = ""
    interface: str = ""
    source: str = ""
    metric: int = 0

    @property
    def is_default(self) -> bool:
        return self.destination in ("0.0.0.0/0", "::/0")


class Neighbour(Struct, frozen=True, kw_only=True):
    """An entry of the neighbour table (ARP, NDP).

    `state` is the kernel's: "reachable", "stale", "delay", "probe", "failed", "permanent"…
    """

    interface: str
    address: str
    mac: str = ""
    state: str = ""


class HostNetwork(Struct, frozen=True, kw_only=True):
    """All of them. Links by index, addresses and routes in the kernel's order."""

    links: tuple[HostLink, ...] = ()
    addresses: tuple[HostAddress, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()

    def link(self, name: str) -> HostLink | None:
        return next((link for link in self.links if link.name == name), None)

    def uplinks(self, *, ipv6: bool = False) -> tuple[HostAddress, ...]:
        """The addresses of interfaces that are up and no bridges, without loopback and without
        the link-local addresses of IPv6."""
        uplinks = {
            link.name
            for link in self.links
            if link.is_up and link.kind != "bridge" and link.index != _LOOPBACK
        }
        return tuple(
            address
            for address in self.addresses
            if address.interface in uplinks
            and (":" in address.address) == ipv6
            and not address.address.startswith("fe80:")
        )


HostObject = HostLink | HostAddress | HostRoute | Neighbour


class NetworkChange(Struct, frozen=True, kw_only=True):
    """One change. `value` is the object as it is now, or as it was before it was removed.

    "counted": only the counters of a link have changed.
    """

    action: Literal["added", "changed", "removed", "counted"]
    value: HostObject


class NetworkWatch(Protocol):
    """An iterator over `NetworkChange` that ends when `close` is called, from any thread.

    `now` is the network as of the last change that was returned. A context manager, too.
    """

    @property
    def now(self) -> HostNetwork: ...

    def __iter__(self) -> Iterator[NetworkChange]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
