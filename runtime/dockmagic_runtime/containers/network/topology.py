"""What hangs together by networks: the host, its bridges, the containers that run."""

from __future__ import annotations

import socket

from msgspec.structs import replace

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.network import Network
from dockmagic_runtime.model.topology import Bridge, Interface, Node, Topology
from dockmagic_runtime.network.networks import Networks
from dockmagic_runtime.supervisor.state import State


def look(networks: Networks, store: ContainerStore, name: str) -> Topology:
    """Everything, or one network with who is on it. Raises NotFound."""
    chosen = [networks.store.find(name)] if name else networks.store.everything()
    running = [one for one in store.all() if Status(one[1].status).is_alive]
    names = {f"container:{record.id}": f"container:{record.name}" for record, _ in running}
    nodes = [
        replace(one, mode=names.get(one.mode, one.mode))
        for one in (node(record, now) for record, now in running)
    ]
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
        interfaces=tuple(
            _interface(record, there, is_way_in=there["ip_address"] == now.ip_address)
            for there in now.networks.values()
        ),
        published=now.ports,
    )


def _interface(record: Record, there: dict[str, str], *, is_way_in: bool) -> Interface:
    return Interface(
        network=there["name"],
        name=there["interface"],
        veth=there["veth"],
        address=there["ip_address"],
        address6=there["ip6_address"],
        mac=there["mac_address"],
        names=_names(record, there["name"]),
        is_way_in=is_way_in,
    )


def _names(record: Record, network: str) -> tuple[str, ...]:
    if network == "bridge":
        return ()
    aliases = (one.aliases for one in record.attachments if one.network == network)
    return (record.name, *next(aliases, ()))
