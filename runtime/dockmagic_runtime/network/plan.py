"""From a container's networks and ports to the operations of its start. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from msgspec import Struct

from dockmagic_runtime.errors import Unsupported
from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.model.network import Attachment, Network
from dockmagic_runtime.network import options, rtnl
from dockmagic_runtime.network.dns.operations import ServeDns
from dockmagic_runtime.network.endpoint_operations import (
    AwaitCarrier,
    ConfigureInside,
    CreateVeth,
    RegisterEndpoint,
    RouteBy,
)
from dockmagic_runtime.network.ipam.leases import Lease
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.network.operations import (
    EnsureBridge,
    EnsureTable,
    HoldPorts,
    PublishPorts,
)
from dockmagic_runtime.network.port_proxy.held_ports import PortRequest
from dockmagic_runtime.sandbox.operation import Operation


class Connection(Struct, frozen=True, kw_only=True):
    """One container on its networks: the operations, and the fields for its state file."""

    operations: tuple[Operation, ...]
    endpoint: dict[str, Any]
    networks: tuple[tuple[str, str, str], ...] = ()  # id, name and driver of each

    def address_on(self, network: str) -> str:
        """The address on the network of that name; empty when the container is not on it."""
        networks = self.endpoint.get("networks", {}).values()
        on_it = (fields["ip_address"] for fields in networks if fields["name"] == network)
        return next(on_it, "")


class NetworkPaths(Struct, frozen=True, kw_only=True):
    """Names on the host: the nftables table, the directory of run directories, and the directory of
    networks in the data root."""

    table: str
    run: str
    networks: str


class ContainerInfo(Struct, frozen=True, kw_only=True):
    """The container's fields that its networks need. `directory` is that of its own files.

    `servers` and `local_only` are those of `ServeDns`.
    """

    id: str
    name: str = ""
    hostname: str = ""
    directory: str = ""
    servers: tuple[str, ...] = ()
    local_only: bool = False


class EndpointPlan(Struct, frozen=True, kw_only=True):
    """One container on one network: `interface` inside, `veth` outside. `id` is only displayed."""

    network: Network
    attachment: Attachment
    lease: Lease
    interface: str
    veth: str
    id: str = ""

    @property
    def mac(self) -> str:
        return self.attachment.mac_address or rtnl.mac_of(self.lease.address)

    @property
    def gateways(self) -> tuple[str, str]:
        """Possible gateways of the default routes, IPv4 and IPv6; empty on an internal network."""
        network = self.network
        return ("", "") if network.internal else (network.gateway, network.gateway6)


def bridge_config(network: Network) -> BridgeConfig:
    return BridgeConfig(
        bridge=network.bridge,
        subnet=network.subnet,
        subnet6=network.subnet6,
        internal=network.internal,
        icc=options.icc(network.options),
        masquerade=options.masquerade(network.options),
    )


def plan(
    paths: NetworkPaths,
    container: ContainerInfo,
    endpoints: Sequence[EndpointPlan],
    ports: Sequence[PortMapping] = (),
) -> Connection:
    """Connect the container to all its networks, and publish its ports on the one with the default
    route."""
    way_out = gateway_of(endpoints)
    publication = _publication(paths, container, endpoints, ports)
    operations = (
        *(each for endpoint in endpoints for each in shared(paths, endpoint.network)),
        *publication[:1],
        *(
            each
            for endpoint in endpoints
            for each in plug_in(container, endpoint, endpoint is way_out)
        ),
        *publication[1:],
        *_names(paths, container, endpoints),
    )
    return Connection(
        operations=operations,
        endpoint=state_fields(endpoints),
        networks=tuple(map(event_fields, endpoints)),
    )


def event_fields(endpoint: EndpointPlan) -> tuple[str, str, str]:
    """Id, name and driver of the network, for events."""
    network = endpoint.network
    return network.id, network.name, network.driver


def rerouted(
    before: Sequence[EndpointPlan], after: Sequence[EndpointPlan]
) -> tuple[Operation, ...]:
    """The operations that change the default route of a running container, if another is due."""
    old, new = (gateway_of(ends).gateways if ends else ("", "") for ends in (before, after))
    if old == new:
        return ()
    return (RouteBy(gateway=new[0], gateway6=new[1], before=old[0], before6=old[1]),)


def republished(
    paths: NetworkPaths,
    container: ContainerInfo,
    before: Sequence[EndpointPlan],
    after: Sequence[EndpointPlan],
    ports: Sequence[PortMapping],
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """The operations to undo and to execute when published ports lead to another address now."""
    old, new = (_publication(paths, container, ends, ports) for ends in (before, after))
    if old == new:
        return (), ()
    if old and new and old[0] == new[0]:  # the ports stay held, so none can be lost meanwhile
        return old[1:], new[1:]
    return tuple(reversed(old)), new


def _publication(
    paths: NetworkPaths,
    container: ContainerInfo,
    endpoints: Sequence[EndpointPlan],
    ports: Sequence[PortMapping],
) -> tuple[Operation, ...]:
    if not (endpoints and ports):
        return ()
    way_out = gateway_of(endpoints)
    if way_out.network.internal:
        return ()
    return _hold(paths, way_out.network, ports), publish(paths, container, way_out)


def gateway_of(endpoints: Sequence[EndpointPlan]) -> EndpointPlan:
    """Docker's choice: the highest priority, then one that leads out, then the first by name."""
    return min(endpoints, key=_rank)


def _rank(endpoint: EndpointPlan) -> tuple[int, bool, bool, str]:
    network = endpoint.network
    return -endpoint.attachment.gw_priority, network.internal, not network.ipv6, network.name


def shared(paths: NetworkPaths, network: Network) -> Iterator[Operation]:
    """The operations that all containers on the network need first."""
    yield EnsureBridge(
        bridge=network.bridge,
        gateway=network.gateway,
        prefix_length=network.prefix_length,
        gateway6=network.gateway6,
        prefix_length6=network.prefix_length6,
        mtu=options.mtu(network.options),
        internal=network.internal,
    )
    known = bridge_config(network)
    yield EnsureTable(
        table=paths.table,
        run=paths.run,
        networks=paths.networks,
        bridge=known.bridge,
        subnet=known.subnet,
        subnet6=known.subnet6,
        internal=known.internal,
        icc=known.icc,
        masquerade=known.masquerade,
    )


def _hold(paths: NetworkPaths, network: Network, ports: Sequence[PortMapping]) -> HoldPorts:
    default = options.host_binding(network.options)
    return HoldPorts(ports=tuple(_request(port, default) for port in ports), run=paths.run)


def _request(port: PortMapping, default: str) -> PortRequest:
    bound = (port.host_ip or default, port.host_port, port.container_port, port.protocol)
    return (*bound, port.host_port_end) if port.host_port_end else bound


def plug_in(
    container: ContainerInfo, endpoint: EndpointPlan, is_way_out: bool
) -> Iterator[Operation]:
    """Create the veth pair and configure its inner end."""
    network, lease = endpoint.network, endpoint.lease
    gateway, gateway6 = endpoint.gateways if is_way_out else ("", "")
    yield CreateVeth(
        name=endpoint.veth,
        bridge=network.bridge,
        address=lease.address,
        owner=container.id,
        interface=endpoint.interface,
        mac=endpoint.attachment.mac_address,
        mtu=options.mtu(network.options),
        isolated=not options.icc(network.options),
    )
    yield ConfigureInside(
        address=lease.address,
        prefix_length=network.prefix_length,
        gateway=gateway,
        interface=endpoint.interface,
        address6=lease.address6,
        prefix_length6=network.prefix_length6,
        gateway6=gateway6,
        link_local=endpoint.attachment.link_local_ips,
    )
    yield AwaitCarrier(veth=endpoint.veth, bridge=network.bridge, interface=endpoint.interface)


def publish(paths: NetworkPaths, container: ContainerInfo, way_out: EndpointPlan) -> PublishPorts:
    return PublishPorts(
        container_id=container.id,
        address=way_out.lease.address,
        address6=way_out.lease.address6,
        table=paths.table,
        run=paths.run,
    )


def _names(
    paths: NetworkPaths, container: ContainerInfo, endpoints: Sequence[EndpointPlan]
) -> Iterator[Operation]:
    """Names exist on user-defined networks only; then the default network counts too, since queries
    may leave through it."""
    if any(not endpoint.network.is_predefined for endpoint in endpoints):
        for endpoint in endpoints:
            yield register(paths, container, endpoint)
        yield serve_names(paths, container)


def introduced(
    paths: NetworkPaths,
    container: ContainerInfo,
    before: Sequence[EndpointPlan],
    after: Sequence[EndpointPlan],
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """The operations for names to undo and to execute. A DNS server that runs stays."""
    old, new = (list(_names(paths, container, endpoints)) for endpoints in (before, after))
    ended = (each for each in old if each not in new and not isinstance(each, ServeDns))
    return tuple(ended), tuple(each for each in new if each not in old)


def serve_names(paths: NetworkPaths, container: ContainerInfo) -> ServeDns:
    return ServeDns(
        container_id=container.id,
        networks=paths.networks,
        servers=container.servers,
        local_only=container.local_only,
        library=_library(),
    )


@cache
def _library() -> str:
    """The directory of dnslib, which only DNS server processes import."""
    spec = find_spec("dnslib")
    if spec is None or spec.origin is None:
        raise Unsupported("the package dnslib is missing", hint="pip install dnslib")
    return os.path.dirname(os.path.dirname(spec.origin))


def register(
    paths: NetworkPaths, container: ContainerInfo, endpoint: EndpointPlan
) -> RegisterEndpoint:
    return RegisterEndpoint(
        networks=paths.networks,
        network_id=endpoint.network.id,
        container_id=container.id,
        directory=container.directory,
        name=container.name,
        aliases=endpoint.attachment.aliases,
        ipv4=endpoint.lease.address,
        ipv6=endpoint.lease.address6,
        hostname=container.hostname,
        network=endpoint.network.name,
        internal=endpoint.network.internal,
        links=endpoint.attachment.links,
    )


NO_FIELDS: dict[str, Any] = {
    "ip_address": "",
    "prefix_length": 0,
    "gateway": "",
    "mac_address": "",
    "veth": "",
    "networks": {},
}


def state_fields(endpoints: Sequence[EndpointPlan]) -> dict[str, Any]:
    """Fields of the network with the default route on top, and each network's own by its id."""
    if not endpoints:
        return dict(NO_FIELDS)
    way_out = gateway_of(endpoints)
    return {
        "ip_address": way_out.lease.address,
        "prefix_length": way_out.network.prefix_length,
        "gateway": way_out.gateways[0],
        "mac_address": way_out.mac,
        "veth": way_out.veth,
        "networks": {endpoint.network.id: _described(endpoint) for endpoint in endpoints},
    }


def _described(endpoint: EndpointPlan) -> dict[str, Any]:
    network, lease = endpoint.network, endpoint.lease
    gateway, gateway6 = endpoint.gateways
    return {
        "name": network.name,
        "endpoint_id": endpoint.id,
        "interface": endpoint.interface,
        "veth": endpoint.veth,
        "mac_address": endpoint.mac,
        "ip_address": lease.address,
        "prefix_length": network.prefix_length,
        "gateway": gateway,
        "ip6_address": lease.address6,
        "prefix_length6": network.prefix_length6 if lease.address6 else 0,
        "gateway6": gateway6 if lease.address6 else "",
    }
