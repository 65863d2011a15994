"""The routes by which a connection may reach a container, before they are measured.

netfilter never translates packets for loopback, and IPv6 only into IPv6; the port proxy serves
both. So one port may have two routes, depending on the address.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from dockmagic_runtime.containers.network import topology
from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, InvalidInput, NotFound
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.host_network import HostNetwork
from dockmagic_runtime.model.topology import Interface, Node, Published
from dockmagic_runtime.network.nftables.published_ports import ANY_ADDRESS, ONE_ADDRESS
from dockmagic_runtime.supervisor.state import State

PROTOCOLS = ("tcp", "udp")
_IPV4_ANY = ("", "0.0.0.0")
_ANY = (*_IPV4_ANY, "::")
_OWN = "this host's own address"
_USAGE = "write ADDRESS:PORT[/udp], such as localhost:9999, or CONTAINER:PORT"


class TraceTarget(Struct, frozen=True, kw_only=True):
    """The container to be reached, and its interface on the route."""

    record: Record
    now: State
    node: Node
    end: Interface

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def is_paused(self) -> bool:
        return Status(self.now.status) is Status.PAUSED


class RouteCandidate(Struct, frozen=True, kw_only=True):
    """From `address` and `port` to `inner` and `inner_port` in the container.

    `name` is what a sentence calls the destination; `kind` is as in `Route.way`; `map_name` is the
    nftables map that holds the translation, empty without one.
    """

    name: str
    kind: str
    address: str
    port: int
    protocol: str
    inner: str
    inner_port: int
    map_name: str = ""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def published_as(self) -> tuple[int, int, str]:
        """The fields of a published port without its host address."""
        return self.port, self.inner_port, self.protocol

    def by_proxy(self) -> RouteCandidate:
        """The same without a rule: the socket that holds the port accepts the connection."""
        return replace(self, kind="proxy", map_name="")


def find(store: ContainerStore, destination: str) -> tuple[TraceTarget, RouteCandidate]:
    """Finds what `ADDRESS:PORT[/udp]` or `CONTAINER:PORT` leads to.

    Raises NotFound when no container publishes the port, InvalidInput for other words, Conflict
    for a container without a network of its own.
    """
    host, port, protocol = parse(destination)
    running = [
        (record, now) for record, now in store.all() if Status(now.status).is_alive and now.pid
    ]
    direct = _named(running, host) or _addressed(running, host)
    if direct is not None:
        target, inner = direct
        return target, RouteCandidate(
            name=destination, kind="direct", address=inner, port=port, protocol=protocol,
            inner=inner, inner_port=port,
        )  # fmt: skip
    address = _address(host, port)
    for record, now in running:
        for bound in now.ports:
            if (bound[1], bound[3]) == (port, protocol) and covers(bound[0], address):
                target = _target(record, now)
                return target, _published(target, bound, address, destination)
    raise NotFound(
        f"no container that runs has published {protocol} port {port} on {address}",
        hint=_elsewhere(running, port, protocol) or "'docker ps' shows what is published",
    )


def parse(destination: str) -> tuple[str, int, str]:
    """Host, port and protocol. A URL as in a browser's address bar is accepted too."""
    text = destination.removeprefix("http://").removeprefix("https://").rstrip("/")
    text, _, protocol = text.partition("/")
    host, colon, port = text.rpartition(":")
    protocol = (protocol or "tcp").lower()
    if protocol not in PROTOCOLS or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput(f"'{destination}' is not a place to connect to", hint=_USAGE)
    host = host.removeprefix("[").removesuffix("]") if colon else ""
    return host or "localhost", int(port), protocol


def _address(host: str, port: int) -> str:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"{host}: neither a container nor an address", hint=_USAGE) from error
    by_family = sorted(addresses, key=lambda info: info[0] != socket.AF_INET)
    address = str(by_family[0][4][0])
    # as 'docker ps' writes them: a connection to the wildcard address goes to loopback
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def covers(host_ip: str, address: str) -> bool:
    """Whether a port published on `host_ip` is reached through `address`."""
    if host_ip in _IPV4_ANY:
        return ":" not in address
    return host_ip == address or (host_ip == "::" and ":" in address)


def is_outside(host_ip: str) -> bool:
    """Whether other hosts reach a port published on `host_ip`."""
    return not host_ip or not ipaddress.ip_address(host_ip).is_loopback


def _elsewhere(running: list[tuple[Record, State]], port: int, protocol: str) -> str:
    for record, now in running:
        for host_ip, host_port, _, kind in now.ports:
            if (host_port, kind) == (port, protocol):
                return f"{record.name} has published it on {host_ip}"
    return ""


# ------------------------------------------------------------------ in the container


def _named(running: list[tuple[Record, State]], host: str) -> tuple[TraceTarget, str] | None:
    for record, now in running:
        if host == record.name or (len(host) >= 12 and record.id.startswith(host)):
            target = _target(record, now)
            return target, target.end.address
    return None


def _addressed(running: list[tuple[Record, State]], host: str) -> tuple[TraceTarget, str] | None:
    for record, now in running:
        node = topology.node(record, now)
        for end in node.interfaces:
            if host in (end.address, end.address6):
                return TraceTarget(record=record, now=now, node=node, end=end), host
    return None


def _target(record: Record, now: State) -> TraceTarget:
    """With the interface that published ports lead to."""
    node = topology.node(record, now)
    if not node.interfaces:
        raise Conflict(f"container {node.name} has no network of its own ({node.mode})")
    ends = {interface.address: interface for interface in node.interfaces}
    end = ends.get(now.ip_address, node.interfaces[0])
    return TraceTarget(record=record, now=now, node=node, end=end)


# ------------------------------------------------------------------ to published ports


def _published(target: TraceTarget, bound: Published, address: str, name: str) -> RouteCandidate:
    host_ip, port, inner_port, protocol = bound
    inner = target.end.address6 if ":" in host_ip else target.end.address
    candidate = RouteCandidate(
        name=name, kind="translated", address=address, port=port, protocol=protocol,
        inner=inner or target.end.address, inner_port=inner_port,
        map_name=ANY_ADDRESS if host_ip in _ANY else ONE_ADDRESS,
    )  # fmt: skip
    if inner and not candidate.is_loopback:
        return candidate
    return replace(candidate.by_proxy(), inner=target.end.address)


def translated(
    host: HostNetwork, target: TraceTarget, first: RouteCandidate
) -> RouteCandidate | None:
    """The route by a rule to the published port that `first` reaches through the proxy.

    None when no rule leads there. An address of the same family is preferred.
    """
    bounds = sorted(
        (bound for bound in target.now.ports if bound[1:] == first.published_as),
        key=lambda bound: (":" in bound[0]) != first.is_ipv6,
    )
    for bound in bounds:
        for address in _reached_by(host, target, bound[0]):
            if (candidate := _published(target, bound, address, _OWN)).kind == "translated":
                return candidate
    return None


def _reached_by(host: HostNetwork, target: TraceTarget, host_ip: str) -> Iterator[str]:
    """Addresses of this host under which other hosts reach the port, the best first."""
    if host_ip not in _ANY:
        yield host_ip
        return
    ipv6 = host_ip == "::"
    yield from (uplink.address for uplink in host.uplinks(ipv6=ipv6))
    for there in target.now.networks.values():  # as other containers address this host
        if there["name"] == target.end.network and (gateway := there[f"gateway{'6' * ipv6}"]):
            yield gateway
