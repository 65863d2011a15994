"""From what the engine knows of a container's network to the operations of its start. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.network import rtnl
from dockmagic_runtime.network.leases import Network
from dockmagic_runtime.network.operations import (
    AwaitCarrier,
    ConfigureInside,
    CreateVeth,
    EnsureBridge,
    EnsureTable,
    HoldPorts,
    PublishPorts,
)
from dockmagic_runtime.sandbox.operation import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One container on one network: what to do, and the state file's fields about it."""

    operations: tuple[Operation, ...]
    endpoint: dict[str, Any]
    network: tuple[str, str] = ("", "")  # id and name


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The area's names on the host: its nftables table and its run directory."""

    table: str
    run: str


def plan(
    place: Place,
    network: Network,
    container_id: str,
    address: str,
    veth: str,
    ports: Sequence[PortMapping] = (),
) -> Connection:
    """How the container gets `address` on `network` and its ports are published."""
    operations = (
        *_shared(place, network),
        *([HoldPorts(ports=tuple(map(_wish, ports)))] if ports else []),
        CreateVeth(name=veth, bridge=network.bridge, address=address, owner=container_id),
        ConfigureInside(
            address=address, prefix_length=network.prefix_length, gateway=network.gateway
        ),
        AwaitCarrier(veth=veth, bridge=network.bridge),
        *(_published(place, network, container_id, address) if ports else ()),
    )
    return Connection(
        operations=operations,
        endpoint=_endpoint(network, address, veth),
        network=(network.id, network.name),
    )


def _shared(place: Place, network: Network) -> tuple[Operation, ...]:
    return (
        EnsureBridge(
            bridge=network.bridge,
            gateway=network.gateway,
            prefix_length=network.prefix_length,
        ),
        EnsureTable(table=place.table, bridge=network.bridge, subnet=network.subnet, run=place.run),
    )


def _wish(port: PortMapping) -> tuple[str, int, int, str]:
    return port.host_ip, port.host_port, port.container_port, port.protocol


def _published(
    place: Place, network: Network, container_id: str, address: str
) -> tuple[Operation, ...]:
    return (
        PublishPorts(
            container_id=container_id,
            address=address,
            table=place.table,
            bridge=network.bridge,
            subnet=network.subnet,
            run=place.run,
        ),
    )


def _endpoint(network: Network, address: str, veth: str) -> dict[str, Any]:
    return {
        "ip_address": address,
        "prefix_length": network.prefix_length,
        "gateway": network.gateway,
        "mac_address": rtnl.mac_of(address),
        "veth": veth,
    }
