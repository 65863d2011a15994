"""`network` as a picture: the host, its bridges and the running containers."""

from __future__ import annotations

import socket

from msgspec.structs import replace

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.host_network import HostNetwork
from dockmagic_runtime.model.network import Network
from dockmagic_runtime.model.topology import Bridge, Interface, Node, Topology
from dockmagic_runtime.network.host import snapshot
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.supervisor.state import State


def look(networks: Networks, store: ContainerStore, name: str) -> Topology:
    """All networks with their containers, or the network `name`. Raises NotFound."""
    chosen = [networks.store.find(name)] if name else networks.store.everything()
    running = [(record, now) for record, now in store.all() if Status(now.status).is_alive]
    names = {f"container:{record.id}": f"container:{record.name}" for record, _ in running}
    nodes = [
        replace(there, mode=names.get(there.mode, there.mode))
        for there in (node(record, now) for record, now in running)
    ]
    if name:
        network = chosen[0].name
        nodes = [there for there in nodes if there.on(network) or there.mode == network]
    nodes.sort(key=lambda there: there.name)
    host = snapshot.read()
    nodes = [_as_on_host(there, networks.store.everything(), host) for there in nodes]
    used = {end.network for there in nodes for end in there.interfaces}
    return Topology(
        hostname=socket.gethostname(),
        uplinks=tuple((uplink.interface, str(uplink)) for uplink in host.uplinks()),
        bridges=tuple(
            _bridge(network, host)
            for network in chosen
            if network.bridge and (network.name in used or _is_shown_empty(network, name))
        ),
        nodes=tuple(nodes),
        gateways=tuple(
            (route.interface, route.gateway)
            for route in host.routes
            if route.is_default and route.gateway
        ),
    )


def _as_on_host(node: Node, networks: list[Network], host: HostNetwork) -> Node:
    """The container with what the kernel has of its veths."""
    bridges = {network.name: network.bridge for network in networks}
    ports = {link.name: link.bridge for link in host.links}
    return replace(
        node,
        interfaces=tuple(
            replace(end, is_connected=ports.get(end.veth) == bridges.get(end.network))
            for end in node.interfaces
        ),
    )


def _is_shown_empty(network: Network, asked: str) -> bool:
    """A user-defined network is shown without containers; the default one if it was named."""
    return bool(asked) or not network.is_predefined


def _bridge(network: Network, host: HostNetwork) -> Bridge:
    return Bridge(
        id=network.id,
        name=network.name,
        bridge=network.bridge,
        subnet=network.subnet,
        gateway=network.gateway,
        subnet6=network.subnet6,
        internal=network.internal,
        exists=host.link(network.bridge) is not None,
    )


def node(record: Record, now: State) -> Node:
    """A container, from the state file of its supervisor."""
    return Node(
        id=record.id,
        name=record.name,
        mode="" if now.networks else record.spec.network,
        interfaces=tuple(
            _interface(record, there, is_way_in=there.get("ip_address") == now.ip_address)
            for there in now.networks.values()
        ),
        published=now.ports,
    )


def _interface(record: Record, there: dict[str, str], *, is_way_in: bool) -> Interface:
    return Interface(
        network=there.get("name", ""),
        name=there.get("interface", ""),
        veth=there.get("veth", ""),
        address=there.get("ip_address", ""),
        address6=there.get("ip6_address", ""),
        mac=there.get("mac_address", ""),
        names=_names(record, there.get("name", "")),
        is_way_in=is_way_in,
    )


def _names(record: Record, network: str) -> tuple[str, ...]:
    if network == "bridge":
        return ()
    aliases = (
        attachment.aliases for attachment in record.attachments if attachment.network == network
    )
    return (record.name, *next(aliases, ()))
