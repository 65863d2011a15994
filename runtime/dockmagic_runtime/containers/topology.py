"""What hangs together by networks: the host, its bridges, the containers that run."""

from __future__ import annotations

import socket

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.network import Network
from dockmagic_runtime.model.topology import Bridge, Interface, Node, Topology
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.supervisor.state import State


def look(networks: Networks, registry: Registry, name: str) -> Topology:
    """Everything, or one network with who is on it. Raises NotFound."""
    chosen = [networks.store.find(name)] if name else networks.store.everything()
    nodes = [node(record, now) for record, now in registry.all() if Status(now.status).is_alive]
    if name:
        nodes = [one for one in nodes if one.on(chosen[0].name) or one.mode == chosen[0].name]
    nodes.sort(key=lambda one: one.name)
    used = {end.network for one in nodes for end in one.interfaces}
    return Topology(
        hostname=socket.gethostname(),
        uplinks=networks.uplinks(),
        bridges=tuple(
            _bridge(one) for one in chosen if one.bridge and (one.name in used or _stays(one, name))
        ),
        nodes=tuple(nodes),
    )


def _stays(network: Network, asked: str) -> bool:
    """A network of users is shown although nobody is on it; the default one if it is asked for."""
    return bool(asked) or not network.is_predefined


def _bridge(network: Network) -> Bridge:
    return Bridge(
        id=network.id,
        name=network.name,
        bridge=network.bridge,
        subnet=network.subnet,
        gateway=network.gateway,
        subnet6=network.subnet6,
        internal=network.internal,
    )


def node(record: Record, now: State) -> Node:
    """The container as the state file of its supervisor has it."""
    return Node(
        id=record.id,
        name=record.name,
        mode="" if now.networks else record.spec.network,
        interfaces=tuple(_interface(record, there) for there in now.networks.values()),
        published=now.ports,
    )


def _interface(record: Record, there: dict[str, str]) -> Interface:
    return Interface(
        network=there["name"],
        name=there["interface"],
        veth=there["veth"],
        address=there["ip_address"],
        address6=there["ip6_address"],
        mac=there["mac_address"],
        names=_names(record, there["name"]),
    )


def _names(record: Record, network: str) -> tuple[str, ...]:
    if network == "bridge":
        return ()
    aliases = (one.aliases for one in record.attachments if one.network == network)
    return (record.name, *next(aliases, ()))
