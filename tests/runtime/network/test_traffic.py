"""Real packets through real namespaces: from the host, from a neighbour, between containers."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import urllib.request

import pytest

from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.network.nftables import published_ports, ruleset
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.network.operations import ensure_table

from .conftest import (
    BRIDGE,
    HOST,
    NEIGHBOUR,
    SUBNET,
    TABLE,
    ContainerInfo,
    Host,
    ask,
    ask_datagram,
    await_end_of,
    echo_streams,
    entered,
    ip,
    is_unreachable,
    nft,
    serve_in,
)

pytestmark = [pytest.mark.root, pytest.mark.network]

WEB = ("", 9999, 80, "tcp")


def web(
    host: Host, *ports: tuple[str, int, int, str], address: str = "172.17.0.2"
) -> ContainerInfo:
    container = host.container(address, *(ports or (WEB,)))
    container.listen(80)
    return container


# the ways to a published port -------------------------------------------------------------------


def test_from_this_host_by_127_0_0_1(host: Host) -> None:
    web(host)
    assert host.here(ask, "127.0.0.1", 9999) == ("172.17.0.1", b"hello")


def test_from_this_host_by_ipv6_loopback(host: Host) -> None:
    web(host)
    assert host.here(ask, "::1", 9999) == ("172.17.0.1", b"hello")


def test_from_this_host_by_its_own_address(host: Host) -> None:
    web(host)
    assert host.here(ask, HOST, 9999) == (HOST, b"hello")


def test_from_this_host_by_the_gateways_address(host: Host) -> None:
    web(host)
    assert host.here(ask, "172.17.0.1", 9999) == ("172.17.0.1", b"hello")


def test_from_this_host_by_the_containers_address(host: Host) -> None:
    web(host)
    assert host.here(ask, "172.17.0.2", 80) == ("172.17.0.1", b"hello")


def test_from_a_neighbour_and_the_container_sees_its_address(host: Host) -> None:
    web(host)
    assert host.elsewhere(ask, HOST, 9999) == (NEIGHBOUR, b"hello")


def test_from_the_container_itself(host: Host) -> None:
    container = web(host)
    for address in (HOST, "172.17.0.1"):
        assert container.call(ask, address, 9999) == ("172.17.0.1", b"hello")


@pytest.mark.parametrize("through_netfilter", ["0", "1"])
def test_from_another_container(host: Host, through_netfilter: str) -> None:
    """Whether bridged frames pass netfilter differs from host to host; both must work."""
    container = web(host)
    other = host.container("172.17.0.3")
    _set_bridge_netfilter(through_netfilter)
    for address in (HOST, "172.17.0.1"):
        assert other.call(ask, address, 9999) == ("172.17.0.1", b"hello")
        assert container.call(ask, address, 9999) == ("172.17.0.1", b"hello")
    assert other.call(ask, "172.17.0.2", 80) == ("172.17.0.3", b"hello")


def _set_bridge_netfilter(value: str) -> None:
    path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    if not os.path.exists(path):
        pytest.skip("optional: no br_netfilter in this kernel")
    with open(path, "w", encoding="ascii") as stream:  # of this test's own namespace
        stream.write(value)


def test_published_on_one_address(host: Host) -> None:
    web(host, (HOST, 8080, 80, "tcp"))
    assert host.elsewhere(ask, HOST, 8080) == (NEIGHBOUR, b"hello")
    assert host.here(ask, HOST, 8080) == (HOST, b"hello")
    with pytest.raises(ConnectionRefusedError):
        host.here(ask, "172.17.0.1", 8080)
    with pytest.raises(ConnectionRefusedError):
        host.here(ask, "127.0.0.1", 8080)


def test_published_on_loopback_is_for_this_host_alone(host: Host) -> None:
    web(host, ("127.0.0.1", 8080, 80, "tcp"))
    assert host.here(ask, "127.0.0.1", 8080) == ("172.17.0.1", b"hello")
    with pytest.raises(ConnectionRefusedError):
        host.elsewhere(ask, HOST, 8080)


def test_udp_is_published_in_all_the_same_ways(host: Host) -> None:
    container = host.container("172.17.0.2", ("", 5353, 53, "udp"))
    container.listen(53, socket.SOCK_DGRAM)
    assert host.elsewhere(ask_datagram, HOST, 5353) == (NEIGHBOUR, b"hello", HOST)
    assert host.here(ask_datagram, HOST, 5353) == (HOST, b"hello", HOST)
    assert host.here(ask_datagram, "127.0.0.1", 5353) == ("172.17.0.1", b"hello", "127.0.0.1")
    assert host.here(ask_datagram, "127.0.0.9", 5353) == ("172.17.0.1", b"hello", "127.0.0.9")
    assert host.here(ask_datagram, "::1", 5353) == ("172.17.0.1", b"hello", "::1")
    assert container.call(ask_datagram, HOST, 5353) == ("172.17.0.1", b"hello", HOST)


def test_one_protocol_does_not_publish_the_other(host: Host) -> None:
    web(host)
    with pytest.raises(ConnectionRefusedError):
        host.elsewhere(_ask_connected_datagram, HOST, 9999)


def _ask_connected_datagram(address: str, port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.connect((address, port))
        asking.send(b"hello")
        return asking.recv(100)


def test_a_web_server_in_a_container(host: Host) -> None:
    container = host.container("172.17.0.2", WEB)
    with entered(container.namespace):
        listener = socket.create_server(("", 80))
    container.servers.append(serve_in(container.namespace, _serve_http, listener))
    for address in ("127.0.0.1", HOST):
        assert host.here(_fetch, f"http://{address}:9999/") == "It works!"
    assert host.elsewhere(_fetch, f"http://{HOST}:9999/") == "It works!"


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"It works!")

    def log_message(self, format: str, *args: object) -> None:
        """Not on the test's output."""


def _serve_http(listener: socket.socket) -> None:
    server = http.server.HTTPServer(("", 80), _Page, bind_and_activate=False)
    server.socket = listener
    server.serve_forever()


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


# the ways out -----------------------------------------------------------------------------------


def test_a_container_reaches_others_under_the_hosts_address(host: Host) -> None:
    container = host.container("172.17.0.2")
    with entered(host.neighbour):
        listener = socket.create_server(("", 7777))
    pid = serve_in(host.neighbour, echo_streams, listener)
    try:
        assert container.call(ask, NEIGHBOUR, 7777) == (HOST, b"hello")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_container_has_ipv4_alone(host: Host) -> None:
    container = host.container("172.17.0.2")
    shown = container.call(ip, "-6", "address", "show", "dev", "eth0")
    assert shown == ""
    assert "172.17.0.2/16" in container.call(ip, "address", "show", "dev", "eth0")
    assert "default via 172.17.0.1 dev eth0" in container.call(ip, "route")
    assert "link/ether 02:42:ac:11:00:02" in container.call(ip, "link", "show", "eth0")


# security, by the rows of the table -------------------------------------------------------------


def test_row_38_bridge_listens_to_no_router_advertisement(host: Host) -> None:
    container = host.container("172.17.0.2")
    with open(f"/proc/sys/net/ipv6/conf/{BRIDGE}/accept_ra", encoding="ascii") as stream:
        assert stream.read().strip() == "0"
    assert ip("-6", "address", "show", "dev", BRIDGE) == ""
    inside = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"
    assert container.call(_read, inside) == "1\n"


def _read(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def test_row_38_a_neighbour_on_the_bridge_cannot_take_a_containers_mac(host: Host) -> None:
    web(host)
    thief = host.container("172.17.0.3")
    thief.call(_send_frame_from, bytes.fromhex("0242ac110002"))
    assert host.here(ask, "172.17.0.2", 80) == ("172.17.0.1", b"hello")


def _send_frame_from(mac: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(b"\xff" * 6 + mac + b"\x88\xb5" + bytes(50))


def _add_route_to_containers() -> None:
    ip("route", "add", SUBNET, "via", HOST)


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "", HOST])
def test_row_40_neighbours_have_no_direct_way_to_a_container(host: Host, host_ip: str) -> None:
    web(host, (host_ip, 8080, 80, "tcp"))
    host.elsewhere(_add_route_to_containers)
    assert host.elsewhere(is_unreachable, "172.17.0.2", 80)
    with Netlink(NETLINK_NETFILTER) as netlink:  # the test fails if it is not the rule that helps
        ruleset.remove(netlink, TABLE)
    assert host.elsewhere(ask, "172.17.0.2", 80) == (NEIGHBOUR, b"hello")


def test_row_40_spoofed_loopback_is_dropped_even_with_route_localnet(host: Host) -> None:
    web(host, ("127.0.0.1", 8080, 80, "tcp"))
    with open("/proc/sys/net/ipv4/conf/eth0/route_localnet", "w", encoding="ascii") as stream:
        stream.write("1")  # as another program may: we never set it
    host.elsewhere(_route_loopback_to_host)
    assert host.elsewhere(is_unreachable, "127.0.0.1", 8080)
    assert host.here(ask, "127.0.0.1", 8080) == ("172.17.0.1", b"hello")
    with Netlink(NETLINK_NETFILTER) as netlink:
        ruleset.remove(netlink, TABLE)
    assert host.elsewhere(ask, "127.0.0.1", 8080) == ("172.17.0.1", b"hello")


def _route_loopback_to_host() -> None:
    with open("/proc/sys/net/ipv4/conf/all/route_localnet", "w", encoding="ascii") as stream:
        stream.write("1")
    ip("route", "add", "127.0.0.1/32", "via", HOST, "dev", "eth0", "src", NEIGHBOUR)


def _rule(comment: str) -> str:
    (line,) = [line for line in nft("list", "table", "ip", TABLE).splitlines() if comment in line]
    return line


def test_row_40_route_localnet_stays_off(host: Host) -> None:
    web(host)
    for name in ("all", BRIDGE, "eth0"):
        assert _read(f"/proc/sys/net/ipv4/conf/{name}/route_localnet") == "0\n"


def test_row_41_the_next_start_restores_isolation_after_a_flush(host: Host) -> None:
    web(host)
    host.elsewhere(_add_route_to_containers)
    nft("flush", "ruleset")
    assert host.elsewhere(ask, "172.17.0.2", 80) == (NEIGHBOUR, b"hello")
    host.container("172.17.0.3")
    assert host.elsewhere(is_unreachable, "172.17.0.2", 80)
    assert host.elsewhere(ask, HOST, 9999) == (NEIGHBOUR, b"hello")
    assert "counter packets 0 " not in _rule('"published, from outside"')


@pytest.mark.parametrize("damage", ["flush table ip {}", "flush chain ip {} guard"])
def test_row_41_half_a_table_is_restored_too(host: Host, damage: str) -> None:
    web(host)
    before = _without_counters(nft("list", "table", "ip", TABLE))
    nft(*damage.format(TABLE).split())
    assert _without_counters(nft("list", "table", "ip", TABLE)) != before
    known = BridgeConfig(bridge=BRIDGE, subnet=SUBNET)
    with Netlink(NETLINK_NETFILTER) as netlink:
        assert ensure_table(netlink, TABLE, known, f"{host.run}/networks", str(host.run))
    assert _without_counters(nft("list", "table", "ip", TABLE)) == before


def _without_counters(listing: str) -> str:
    return re.sub(r"counter packets \d+ bytes \d+", "counter", listing)


def test_published_ports_work_by_the_proxy_while_the_rules_are_flushed(host: Host) -> None:
    web(host)
    nft("flush", "ruleset")
    assert host.elsewhere(ask, HOST, 9999) == ("172.17.0.1", b"hello")


# the end ----------------------------------------------------------------------------------------


def test_nothing_is_left_when_a_container_ends(host: Host) -> None:
    host.stop(web(host))
    await_end_of("veth2")
    before = _seen(host)
    container = host.container("172.17.0.2", WEB, ("127.0.0.1", 81, 80, "tcp"), ("", 53, 53, "udp"))
    assert _seen(host) != before
    host.stop(container)
    await_end_of("veth2")
    assert _seen(host) == before
    with pytest.raises(ConnectionRefusedError):
        host.here(ask, "127.0.0.1", 9999)


def _seen(host: Host) -> tuple[str, list[str], list[str]]:
    links = [line.split()[0] for line in ip("-br", "link").splitlines()]
    return _without_counters(nft("list", "ruleset")), links, sorted(os.listdir(host.run))


def test_a_port_can_be_published_again_at_once(host: Host) -> None:
    container = web(host)
    assert host.here(ask, "127.0.0.1", 9999) == ("172.17.0.1", b"hello")
    host.stop(container)
    web(host, address="172.17.0.7")
    assert host.elsewhere(ask, HOST, 9999) == (NEIGHBOUR, b"hello")


def test_a_udp_client_that_never_stops_is_led_to_the_next_container(host: Host) -> None:
    first = host.container("172.17.0.2", ("", 5353, 53, "udp"))
    first.listen(53, socket.SOCK_DGRAM)
    with entered(host.neighbour):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(5)
        client.sendto(b"one", (HOST, 5353))
        assert client.recv(100) == f"{NEIGHBOUR}\none".encode()
        host.stop(first)
        host.container("172.17.0.9", ("", 5353, 53, "udp")).listen(53, socket.SOCK_DGRAM)
        client.sendto(b"two", (HOST, 5353))
        assert client.recv(100) == f"{NEIGHBOUR}\ntwo".encode()


def test_elements_of_a_killed_supervisor_are_replaced(host: Host) -> None:
    stale = published_ports.Published(
        host_ip="", host_port=9999, protocol="tcp", address="172.17.9.9", port=80
    )
    host.container("172.17.0.3")
    with Netlink(NETLINK_NETFILTER) as netlink:
        published_ports.publish(netlink, TABLE, [stale])
    web(host)
    assert host.elsewhere(ask, HOST, 9999) == (NEIGHBOUR, b"hello")


@pytest.mark.parametrize("name", ["2", "other"])
def test_a_successor_on_the_address_is_reached_while_the_old_namespace_lingers(
    host: Host, name: str
) -> None:
    """The same container started again, and another one that got its address."""
    old = web(host)
    assert host.here(ask, "172.17.0.2", 80) == ("172.17.0.1", b"hello")
    lingering = os.dup(old.namespace)
    try:
        host.stop(old)
        successor = host.container("172.17.0.2", name=name)
        successor.listen(82)
        assert host.here(ask, "172.17.0.2", 82) == ("172.17.0.1", b"hello")
    finally:
        os.close(lingering)
