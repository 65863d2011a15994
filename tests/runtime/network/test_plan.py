"""The plan of one container's network: pure, described in words, and fit to cross a socket."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.model.network import Attachment, Network
from dockmagic_runtime.network import rtnl
from dockmagic_runtime.network.endpoint_operations import (
    AwaitCarrier,
    BringUpLoopback,
    ConfigureInside,
    CreateVeth,
    RegisterEndpoint,
)
from dockmagic_runtime.network.ipam.leases import Lease
from dockmagic_runtime.network.operations import (
    EnsureBridge,
    EnsureTable,
    HoldPorts,
    PublishPorts,
)
from dockmagic_runtime.network.plan import (
    Connection,
    ContainerInfo,
    EndpointPlan,
    NetworkPaths,
    gateway_of,
    plan,
)
from dockmagic_runtime.sandbox.operation import from_wire, to_wire

NETWORK = Network(
    id="n1",
    name="bridge",
    driver="bridge",
    bridge="dockmagic0",
    subnet="172.17.0.0/16",
    gateway="172.17.0.1",
    created=1,
)
PLACE = NetworkPaths(table="dockmagic", run="/run/dockmagic", networks="/area/networks")
GUEST = ContainerInfo(id="f" * 64, name="web", hostname="web", directory="/area/containers/f")
PORTS = (
    PortMapping(container_port=80, host_port=9999),
    PortMapping(container_port=53, protocol="udp", host_ip="127.0.0.1"),
)


def connection(*ports: PortMapping) -> Connection:
    return plan(PLACE, GUEST, [endpoint()], ports)


def endpoint(
    network: Network = NETWORK, address: str = "172.17.0.2", interface: str = "eth0", **asked: Any
) -> EndpointPlan:
    return EndpointPlan(
        network=network,
        attachment=Attachment(network=network.name, **asked),
        lease=Lease(address),
        interface=interface,
        veth="veth1a2b3c4",
        id="e1",
    )


def test_ports_are_held_before_anything_is_made_and_published_last() -> None:
    kinds: list[type] = [type(operation) for operation in connection(*PORTS).operations]
    assert kinds == [
        EnsureBridge,
        EnsureTable,
        HoldPorts,
        CreateVeth,
        ConfigureInside,
        AwaitCarrier,
        PublishPorts,
    ]


def test_without_ports_nothing_is_held_or_published() -> None:
    kinds = {type(operation) for operation in connection().operations}
    assert not kinds & {HoldPorts, PublishPorts}


def test_every_step_is_described_in_words() -> None:
    described = [
        operation.describe() for operation in (*connection(*PORTS).operations, BringUpLoopback())
    ]
    assert described == [
        "make sure that bridge dockmagic0 is up with 172.17.0.1/16",
        "make sure that nftables table dockmagic translates addresses for 172.17.0.0/16 "
        "and keeps strangers off dockmagic0",
        "hold all addresses:9999 (tcp), a free port of 127.0.0.1 (udp) by a listening socket, "
        "so that no other program can take it",
        "create veth pair veth1a2b3c4 ⇄ eth0, plug veth1a2b3c4 into bridge dockmagic0 "
        "and put eth0 into the container, with MAC 02:42:ac:11:00:02",
        "bring up lo inside, give eth0 172.17.0.2/16, bring it up, "
        "route everything else by 172.17.0.1",
        "wait until veth1a2b3c4 and dockmagic0 pass packets on",
        "let the held ports lead to 172.17.0.2: elements in the maps of nftables table dockmagic, "
        "and a proxy for connections from this host to localhost",
        "bring up lo inside, and nothing else",
    ]


def test_the_plan_crosses_a_socket_unchanged() -> None:
    operations = (*connection(*PORTS).operations, BringUpLoopback())
    assert from_wire(json.loads(json.dumps(to_wire(operations)))) == operations


def test_the_endpoint_has_the_fields_of_the_state_file() -> None:
    assert connection().endpoint == {
        "ip_address": "172.17.0.2",
        "prefix_length": 16,
        "gateway": "172.17.0.1",
        "mac_address": "02:42:ac:11:00:02",
        "veth": "veth1a2b3c4",
        "networks": {
            "n1": {
                "name": "bridge",
                "endpoint_id": "e1",
                "interface": "eth0",
                "veth": "veth1a2b3c4",
                "mac_address": "02:42:ac:11:00:02",
                "ip_address": "172.17.0.2",
                "prefix_length": 16,
                "gateway": "172.17.0.1",
                "ip6_address": "",
                "prefix_length6": 0,
                "gateway6": "",
            }
        },
    }


def own(name: str, number: int, *, internal: bool = False) -> Network:
    return replace(
        NETWORK,
        id=f"n-{name}",
        name=name,
        bridge=f"dm-{name}",
        subnet=f"10.{number}.0.0/16",
        gateway=f"10.{number}.0.1",
        internal=internal,
    )


def test_the_way_out_is_the_highest_priority_then_one_that_leads_out_then_the_first_name() -> None:
    first, two = endpoint(own("b", 1)), endpoint(own("a", 2))
    inner = endpoint(own("0", 3, internal=True))
    assert gateway_of([first, two, inner]) is two
    assert gateway_of([inner, first]) is first
    assert gateway_of([endpoint(own("c", 4), gw_priority=1), first]).network.name == "c"


def test_only_the_way_out_has_a_gateway_and_the_ports() -> None:
    ends = [endpoint(own("b", 1), "10.1.0.2"), endpoint(own("a", 2), "10.2.0.2", "eth1")]
    operations = plan(PLACE, GUEST, ends, PORTS).operations
    inside = [operation for operation in operations if isinstance(operation, ConfigureInside)]
    assert [(operation.interface, operation.gateway) for operation in inside] == [
        ("eth0", ""),
        ("eth1", "10.2.0.1"),
    ]
    assert [
        operation.address for operation in operations if isinstance(operation, PublishPorts)
    ] == ["10.2.0.2"]
    registered = [
        operation.network_id for operation in operations if isinstance(operation, RegisterEndpoint)
    ]
    assert registered == ["n-b", "n-a"]


def test_nothing_is_published_on_an_internal_network() -> None:
    ends = [endpoint(own("b", 1, internal=True), "10.1.0.2")]
    kinds = {type(operation) for operation in plan(PLACE, GUEST, ends, PORTS).operations}
    assert not kinds & {HoldPorts, PublishPorts}


def test_the_mac_is_dockers_classic_one() -> None:
    assert rtnl.mac_of("172.17.255.10") == "02:42:ac:11:ff:0a"
