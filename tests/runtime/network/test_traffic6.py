"""IPv6: from where published ports are reached, and the source address of what leaves."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from dockmagic_runtime.linux.netlink import open_for_others
from dockmagic_runtime.linux.syscalls import Kernel
from dockmagic_runtime.model.container import PortMapping
from dockmagic_runtime.model.network import Attachment, Network
from dockmagic_runtime.network.ipam.leases import Lease
from dockmagic_runtime.network.operations import NETFILTER, SERVERS
from dockmagic_runtime.network.plan import ContainerInfo as Named
from dockmagic_runtime.network.plan import EndpointPlan, NetworkPaths, plan
from dockmagic_runtime.sandbox.operation import Context

from .conftest import (
    TABLE,
    ContainerInfo,
    Host,
    ask,
    echo_datagrams,
    echo_streams,
    entered,
    in_namespace,
    ip,
    is_unreachable,
    new_namespace,
    nft,
    serve_in,
)

pytestmark = [pytest.mark.root, pytest.mark.network]

HOST6, NEIGHBOUR6 = "2001:db8::1", "2001:db8::2"


def network(name: str, number: int, *, internal: bool = False) -> Network:
    return Network(
        id=name * 8,
        name=name,
        driver="bridge",
        bridge=f"dm{name}",
        subnet=f"10.{number}.0.0/24",
        gateway=f"10.{number}.0.1",
        created=1,
        subnet6=f"fd00:{number}::/64",
        gateway6=f"fd00:{number}::1",
        internal=internal,
    )


@pytest.fixture
def host6(host: Host) -> Host:
    """The host and its neighbour, with addresses of IPv6 too."""
    _give(HOST6)
    in_namespace(host.neighbour, _give, NEIGHBOUR6)
    return host


def _give(address: str) -> None:
    ip("address", "add", f"{address}/64", "dev", "eth0", "nodad")


def container(host: Host, on: Network, last: int, *ports: PortMapping) -> ContainerInfo:
    """A container on that network, with an echo server on port 80."""
    address, address6 = f"{on.gateway[:-1]}{last}", f"{on.gateway6[:-1]}{last}"
    container = ContainerInfo(
        f"{on.name}{last}", address, host.loop, Context(Kernel()), contextlib.ExitStack()
    )
    host.undo.callback(host.stop, container)
    with new_namespace() as inside:
        container.context.netns_fd = os.dup(inside)
        container.context.inside_netlink = open_for_others()
    container.undo.callback(os.close, container.context.netns_fd)
    container.undo.callback(os.close, container.context.inside_netlink)
    host._hold_lock(container)
    endpoint = EndpointPlan(
        network=on,
        attachment=Attachment(network=on.name),
        lease=Lease(address, address6),
        interface="eth0",
        veth=f"veth{container.id}",
    )
    networks = host.run.parent / "networks"
    (networks / on.id / "endpoints").mkdir(parents=True, exist_ok=True)
    place = NetworkPaths(table=TABLE, run=str(host.run), networks=str(networks))
    for operation in plan(place, Named(id=container.id), [endpoint], ports).operations:
        operation.execute(container.context)
        container.undo.callback(operation.undo, container.context)
    for start in SERVERS.get(container.context.slots) or ():
        start(host.loop)
    with entered(container.namespace):
        client = socket.socket(socket.AF_INET6)
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        client.bind(("::", 80))
        client.listen()
    container.servers.append(serve_in(container.namespace, echo_streams, client))
    assert NETFILTER in container.context.slots
    return container


WEB = PortMapping(container_port=80, host_port=8080)


def test_from_a_neighbour_and_the_container_sees_its_address(host6: Host) -> None:
    container(host6, network("a", 1), 2, WEB)
    assert host6.elsewhere(ask, HOST6, 8080) == (NEIGHBOUR6, b"hello")


def test_from_this_host_by_every_address_of_its(host6: Host) -> None:
    container(host6, network("a", 1), 2, WEB)
    for address in ("::1", HOST6, "fd00:1::1"):
        assert host6.here(ask, address, 8080)[1] == b"hello"


def test_no_address_of_a_new_bridge_is_in_doubt(host6: Host) -> None:
    # with one that is, this host would ask no container for its neighbour address for two seconds
    container(host6, network("a", 1), 2)
    assert ip("-6", "address", "show", "dev", "dma", "scope", "link")
    assert ip("-6", "address", "show", "dev", "dma", "tentative") == ""


def test_from_another_container_of_the_network_itself_and_another_network(host6: Host) -> None:
    web = container(host6, network("a", 1), 2, WEB)
    near, far = container(host6, network("a", 1), 3), container(host6, network("b", 2), 2)
    for each in (web, near, far):
        assert each.call(ask, HOST6, 8080)[1] == b"hello"


def test_a_container_goes_out_under_the_hosts_address(host6: Host) -> None:
    web = container(host6, network("a", 1), 2)
    with entered(host6.neighbour):
        client = socket.socket(socket.AF_INET6)
        client.bind((NEIGHBOUR6, 99))
        client.listen()
    web.servers.append(serve_in(host6.neighbour, echo_streams, client))
    assert web.call(ask, NEIGHBOUR6, 99) == (HOST6, b"hello")


def test_row_40_no_neighbour_and_no_other_network_gets_straight_to_a_container(
    host6: Host,
) -> None:
    container(host6, network("a", 1), 2)
    far = container(host6, network("b", 2), 2)
    in_namespace(host6.neighbour, ip, "-6", "route", "add", "fd00:1::/64", "via", HOST6)
    assert host6.elsewhere(_is_unreachable6, "fd00:1::2")
    assert far.call(_is_unreachable6, "fd00:1::2")
    assert far.call(is_unreachable, "10.1.0.2", 80)
    nft("delete", "table", "ip6", TABLE)  # the test fails if it is not the rules that help
    assert host6.elsewhere(ask, "fd00:1::2", 80) == (NEIGHBOUR6, b"hello")


def _is_unreachable6(address: str) -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        probe.settimeout(0.3)
        try:
            probe.connect((address, 80))
        except TimeoutError:
            return True
    return False


def test_an_internal_network_is_closed_both_ways(host6: Host) -> None:
    inner = container(host6, network("a", 1, internal=True), 2)
    mate = container(host6, network("a", 1, internal=True), 3)
    far = container(host6, network("b", 2), 2, WEB)
    assert mate.call(ask, "fd00:1::2", 80)[1] == b"hello"
    in_namespace(inner.namespace, ip, "-6", "route", "add", "default", "via", "fd00:1::1")
    assert inner.call(_is_unreachable6, "fd00:2::2")
    assert inner.call(_is_unreachable6, NEIGHBOUR6)
    assert far.call(_is_unreachable6, "fd00:1::2")


def test_published_on_one_address_and_gone_at_the_end(host6: Host) -> None:
    port = PortMapping(container_port=80, host_port=8081, host_ip=HOST6)
    web = container(host6, network("a", 1), 2, port)
    assert host6.elsewhere(ask, HOST6, 8081) == (NEIGHBOUR6, b"hello")
    assert "8081" in nft("list", "table", "ip6", TABLE)
    host6.stop(web)
    assert "8081" not in nft("list", "table", "ip6", TABLE)


@pytest.mark.parametrize("protocol", ["udp", pytest.param("sctp", marks=pytest.mark.sctp)])
def test_a_client_that_keeps_its_port_is_led_to_the_next_container(
    host6: Host, protocol: str
) -> None:
    """Connection tracking has a flow of it that was not ended."""
    port = PortMapping(container_port=53, host_port=5353, protocol=protocol)
    for last in (2, 3):
        web = container(host6, network("a", 1), last, port)
        with entered(web.namespace):
            client = new_socket(protocol)
            client.bind(("::", 53))
        if protocol == "udp":
            web.servers.append(serve_in(web.namespace, echo_datagrams, client))
        else:
            client.listen()
            web.servers.append(serve_in(web.namespace, greet, client))
        assert host6.elsewhere(greeting, protocol) == NEIGHBOUR6
        assert _flows(protocol)
        host6.stop(web)
        assert not _flows(protocol)


def new_socket(protocol: str) -> socket.socket:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    return socket.socket(socket.AF_INET6, kind, socket.getprotobyname(protocol))


def greet(listener: socket.socket) -> None:
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.send(f"{peer[0]}\n".encode())
            connection.recv(100)


def greeting(protocol: str) -> str:
    """What the server sees as our address."""
    with new_socket(protocol) as asking:
        asking.settimeout(5)
        asking.bind((NEIGHBOUR6, 5000))
        asking.connect((HOST6, 5353))
        asking.send(b"hello")
        return asking.recv(100).decode().partition("\n")[0]


def _flows(protocol: str) -> list[str]:
    """What this host's connection tracking has of translated flows of that protocol."""
    with open("/proc/net/nf_conntrack", encoding="ascii") as stream:
        return [line for line in stream if f" {protocol} " in line and "dport=5353" in line]
