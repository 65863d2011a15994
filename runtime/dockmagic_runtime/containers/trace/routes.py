"""Where a connection to a container leads, before it is tried: whose port it is, and by what way.

netfilter never translates what is for loopback, and IPv6 only into IPv6; the port proxy
serves both. So one port may be reached by two ways, which depend on the address.
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
from dockmagic_runtime.model.topology import Interface, Node, Published
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.network.nftables.ruleset import ANY_ADDRESS, ONE_ADDRESS
from dockmagic_runtime.supervisor.state import State

PROTOCOLS = ("tcp", "udp")
_IPV4_ANY = ("", "0.0.0.0")
_ANY = (*_IPV4_ANY, "::")
_OWN = "this host's own address"
_USAGE = "write ADDRESS:PORT[/udp], such as localhost:9999, or CONTAINER:PORT"


class TraceTarget(Struct, frozen=True, kw_only=True):
    """The container that is to be reached, and the end of it that is on the way."""

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

    `name` is what a sentence calls the place; `kind` as a `Route`'s way; `map_name` is the map of
    ours that leads on, if one does.
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
        """What a published port has beside its host address."""
        return self.port, self.inner_port, self.protocol

    def by_proxy(self) -> RouteCandidate:
        """The same without a rule: the socket that holds the port takes it."""
        return replace(self, kind="proxy", map_name="")


def find(store: ContainerStore, target: str) -> tuple[TraceTarget, RouteCandidate]:
    """What `ADDRESS:PORT[/udp]` or `CONTAINER:PORT` leads to. Raises NotFound when nobody has
    published it; InvalidInput; Conflict for a container without a network of its own."""
    host, port, protocol = parse(target)
    running = [
        (record, now) for record, now in store.all() if Status(now.status).is_alive and now.pid
    ]
    found = _named(running, host) or _addressed(running, host)
    if found is not None:
        goal, inner = found
        return goal, RouteCandidate(
            name=target, kind="direct", address=inner, port=port, protocol=protocol,
            inner=inner, inner_port=port,
        )  # fmt: skip
    address = _address(host, port)
    for record, now in running:
        for bound in now.ports:
            if (bound[1], bound[3]) == (port, protocol) and covers(bound[0], address):
                goal = _goal(record, now)
                return goal, _published(goal, bound, address, target)
    raise NotFound(
        f"no container that runs has published {protocol} port {port} on {address}",
        hint=_elsewhere(running, port, protocol) or "'docker ps' shows what is published",
    )


def parse(target: str) -> tuple[str, int, str]:
    """Host, port and protocol; what a browser's address bar has is understood too."""
    text = target.removeprefix("http://").removeprefix("https://").rstrip("/")
    text, _, protocol = text.partition("/")
    host, colon, port = text.rpartition(":")
    protocol = (protocol or "tcp").lower()
    if protocol not in PROTOCOLS or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput(f"'{target}' is not a place to connect to", hint=_USAGE)
    host = host.removeprefix("[").removesuffix("]") if colon else ""
    return host or "localhost", int(port), protocol


def _address(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"{host}: neither a container nor an address", hint=_USAGE) from error
    by_family = sorted(found, key=lambda one: one[0] != socket.AF_INET)
    address = str(by_family[0][4][0])
    # as 'docker ps' writes it: who connects to all addresses gets to loopback
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def covers(host_ip: str, address: str) -> bool:
    """Whether a port that is published there is reached by that address."""
    if host_ip in _IPV4_ANY:
        return ":" not in address
    return host_ip == address or (host_ip == "::" and ":" in address)


def is_outside(host_ip: str) -> bool:
    """Whether others than this host reach what is published there."""
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
            goal = _goal(record, now)
            return goal, goal.end.address
    return None


def _addressed(running: list[tuple[Record, State]], host: str) -> tuple[TraceTarget, str] | None:
    for record, now in running:
        node = topology.node(record, now)
        for end in node.interfaces:
            if host in (end.address, end.address6):
                return TraceTarget(record=record, now=now, node=node, end=end), host
    return None


def _goal(record: Record, now: State) -> TraceTarget:
    """By the end that published ports lead to."""
    node = topology.node(record, now)
    if not node.interfaces:
        raise Conflict(f"container {node.name} has no network of its own ({node.mode})")
    ends = {one.address: one for one in node.interfaces}
    end = ends.get(now.ip_address, node.interfaces[0])
    return TraceTarget(record=record, now=now, node=node, end=end)


# ------------------------------------------------------------------ to published ports


def _published(goal: TraceTarget, bound: Published, address: str, name: str) -> RouteCandidate:
    host_ip, port, inner_port, protocol = bound
    inner = goal.end.address6 if ":" in host_ip else goal.end.address
    way = RouteCandidate(
        name=name, kind="translated", address=address, port=port, protocol=protocol,
        inner=inner or goal.end.address, inner_port=inner_port,
        map_name=ANY_ADDRESS if host_ip in _ANY else ONE_ADDRESS,
    )  # fmt: skip
    if inner and not way.is_loopback:
        return way
    return replace(way.by_proxy(), inner=goal.end.address)


def translated(
    networks: Networks, goal: TraceTarget, first: RouteCandidate
) -> RouteCandidate | None:
    """The way by a rule to the same published port as `first`, which is by the proxy; None when
    there is none. Rather in the same family of addresses."""
    bounds = sorted(
        (one for one in goal.now.ports if one[1:] == first.published_as),
        key=lambda one: (":" in one[0]) != first.is_ipv6,
    )
    for bound in bounds:
        for address in _reached_by(networks, goal, bound[0]):
            if (way := _published(goal, bound, address, _OWN)).kind == "translated":
                return way
    return None


def _reached_by(networks: Networks, goal: TraceTarget, host_ip: str) -> Iterator[str]:
    """Addresses of this host by which others reach what is published there, the best first."""
    if host_ip not in _ANY:
        yield host_ip
        return
    ipv6 = host_ip == "::"
    yield from (address.partition("/")[0] for _, address in networks.uplinks(ipv6=ipv6))
    for there in goal.now.networks.values():  # as its neighbours call this host
        if there["name"] == goal.end.network and (gateway := there[f"gateway{'6' * ipv6}"]):
            yield gateway
