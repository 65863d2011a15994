"""The plan of one container's network: pure, told in words, and fit to cross a socket."""

from __future__ import annotations

import json

from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.network import rtnl
from dockmagic_runtime.network.leases import Network
from dockmagic_runtime.network.operations import (
    AwaitCarrier,
    BringUpLoopback,
    ConfigureInside,
    CreateVeth,
    EnsureBridge,
    EnsureTable,
    HoldPorts,
    PublishPorts,
)
from dockmagic_runtime.network.plan import Connection, Place, plan
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
PLACE = Place(table="dockmagic", run="/run/dockmagic")
PORTS = (
    PortMapping(container_port=80, host_port=9999),
    PortMapping(container_port=53, protocol="udp", host_ip="127.0.0.1"),
)


def connection(*ports: PortMapping) -> Connection:
    return plan(PLACE, NETWORK, "f" * 64, "172.17.0.2", "veth1a2b3c4", ports)


def test_ports_are_held_before_anything_is_made_and_published_last() -> None:
    kinds = [type(one) for one in connection(*PORTS).operations]
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
    kinds = {type(one) for one in connection().operations}
    assert not kinds & {HoldPorts, PublishPorts}


def test_every_step_is_told_in_words() -> None:
    told = [one.describe() for one in (*connection(*PORTS).operations, BringUpLoopback())]
    assert told == [
        "make sure that bridge dockmagic0 is up with 172.17.0.1/16",
        "make sure that nftables table dockmagic translates addresses for 172.17.0.0/16 "
        "and keeps strangers off dockmagic0",
        "hold all addresses:9999 (tcp), a free port of 127.0.0.1 (udp) by a listening socket, "
        "so that nobody else can take it",
        "create veth pair veth1a2b3c4 ⇄ eth0, plug veth1a2b3c4 into bridge dockmagic0 "
        "and put eth0 into the container, with MAC 02:42:ac:11:00:02",
        "inside: bring up lo, give eth0 172.17.0.2/16, bring it up, "
        "route everything else by 172.17.0.1",
        "wait until veth1a2b3c4 and dockmagic0 pass packets on",
        "let the held ports lead to 172.17.0.2: elements in the maps of nftables table dockmagic, "
        "and a proxy for connections from this host to localhost",
        "inside: bring up lo, and nothing else",
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
    }


def test_the_mac_is_dockers_classic_one() -> None:
    assert rtnl.mac_of("172.17.255.10") == "02:42:ac:11:ff:0a"
