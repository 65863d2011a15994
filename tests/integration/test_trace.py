"""The path of a connection, as the kernel carries it out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, PortMapping
from dockmagic_runtime.model.host_network import HostLink
from dockmagic_runtime.model.network import Attachment, NetworkSpec, Pool
from dockmagic_runtime.model.topology import Hop, Route, Trace

from .conftest import collect
from .losing import proxy_of
from .waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

INSIDE = ["bridge", "veth", "interface", "process"]
BY_PROXY = ["client", "proxy", *INSIDE]
BY_RULE = ["client", "rule", *INSIDE, "answer"]


@pytest.fixture
def port(engine: Engine) -> int:
    """Of this host, published by `web`, in which a program listens."""
    for name in ("front", "back"):
        engine.networks.create(NetworkSpec(name=name, internal=name == "back"))
    spec = ContainerSpec(
        image="busybox",
        name="web",
        command=("httpd", "-f", "-p", "80"),
        ports=(PortMapping(container_port=80),),
        network="back",
        attachments=(
            Attachment(network="back"),
            Attachment(network="front", aliases=("www",)),
        ),
    )
    return started(engine, spec, "-ltn")


def started(engine: Engine, spec: ContainerSpec, listing: str = "") -> int:
    """Start it; the host's port, once `netstat` in the container lists the container's."""
    mapping = engine.containers.run(spec, detach=True).ports[0]
    if listing:
        look = ExecSpec(command=("netstat", listing))
        place = f":{mapping.container_port} "
        assert eventually(lambda: place in collect(engine.containers.exec(spec.name, look)).stdout)
    return mapping.host_port


def listening(
    *command: str, name: str = "one", protocol: str = "tcp", **spec: Any
) -> ContainerSpec:
    """Port 80 published; 67, where busybox has its only server of datagrams, of UDP."""
    number = {"tcp": 80, "udp": 67}[protocol]
    host_ip = spec.pop("host_ip", "")
    ports = (PortMapping(container_port=number, protocol=protocol, host_ip=host_ip),)
    return ContainerSpec(image="busybox", name=name, command=command, ports=ports, **spec)


def kinds(route: Route) -> list[str]:
    return [hop.kind for hop in route.hops]


def ways(trace: Trace) -> list[tuple[str, str]]:
    """Of each route, its way and why its probe was not taken."""
    return [(route.way, route.failure) for route in trace.routes]


def station(route: Route, kind: str) -> Hop:
    return next(hop for hop in route.hops if hop.kind == kind)


def test_localhost_goes_by_the_proxy_and_this_hosts_own_address_by_the_rule_that_counted_it(
    engine: Engine, port: int
) -> None:
    trace = engine.networks.trace(f"localhost:{port}")
    assert (trace.container, trace.answered) == ("web", True)
    assert ways(trace) == [("proxy", ""), ("translated", "")]
    here, own = trace.routes
    assert (kinds(here), kinds(own)) == (BY_PROXY, BY_RULE)
    assert (here.name, own.name) == (f"localhost:{port}", "this host's own address")
    for route in trace.routes:
        assert station(route, "veth").counted > 0
        assert station(route, "process").what == "httpd listens on port 80"
        assert station(route, "interface").what == "eth1 in web"  # the network that leads outside
    assert station(own, "rule").counted == 1
    assert "loopback is never translated" in trace.remark


def test_the_rule_is_where_nft_shows_it_with_the_same_counter(engine: Engine, port: int) -> None:
    own = engine.networks.trace(f"127.0.0.1:{port}").routes[1]
    rule, web = station(own, "rule"), engine.networks.topology("front").nodes[0].on("front")
    assert web is not None
    table = engine.data_root.nft_table
    assert rule.rule.splitlines() == [
        f"table ip {table}, chain publish_here",
        f"map published: tcp . {port} : {web.address} . 80",
    ]
    nft = ["nft", "list", "chain", "ip", table, "publish_here"]
    shown = subprocess.run(nft, check=True, capture_output=True, text=True).stdout
    (line,) = [each for each in shown.splitlines() if "published, from this host" in each]
    assert f"counter packets {rule.after} " in line
    assert f"{own.address}:{port} becomes {web.address}:80" in rule.detail


def test_connection_tracking_puts_the_asked_address_into_the_answer(
    engine: Engine, port: int
) -> None:
    own = engine.networks.trace(f"localhost:{port}").routes[1]
    web = station(own, "interface").detail.partition(" ")[0]
    tracked = f"connection tracking: {web}:80 becomes {own.address}:{port}"
    assert station(own, "answer").detail == tracked


def test_by_another_address_than_loopback_there_is_one_way(engine: Engine, port: int) -> None:
    address = engine.networks.get("front").gateway
    trace = engine.networks.trace(f"{address}:{port}")
    assert ways(trace) == [("translated", "")]
    rule = station(trace.routes[0], "rule")
    assert rule.counted == 1
    assert (
        station(engine.networks.trace(f"{address}:{port}").routes[0], "rule").before == rule.after
    )
    assert trace.remark == ""


def test_published_on_one_address_and_loopback_another_rule_counts(
    engine: Engine, port: int
) -> None:
    address = engine.networks.get("front").gateway
    with socket.socket() as free:
        free.bind((address, 0))
        number = free.getsockname()[1]
    ports = tuple(
        PortMapping(container_port=80, host_port=number, host_ip=host_ip)
        for host_ip in ("127.0.0.1", address)
    )
    serving = listening("httpd", "-f", "-p", "80", name="two")
    started(engine, replace(serving, ports=ports), "-ltn")
    trace = engine.networks.trace(f"localhost:{number}")
    assert ways(trace) == [("proxy", ""), ("translated", "")]
    rule, two = station(trace.routes[1], "rule"), station(trace.routes[1], "interface")
    assert rule.what == "nftables: published on one address, from this host"
    inner = two.detail.partition(" ")[0]
    element = f"map published_at: {address} . tcp . {number} : {inner} . 80"
    assert rule.rule.splitlines()[1] == element
    assert rule.counted == 1


@pytest.mark.parametrize("lost", ["chain ip {} publish_here", "map ip {} published"])
@pytest.mark.parametrize("host", ["localhost", "gateway"])
def test_while_the_rules_are_flushed_the_held_socket_takes_it_once(
    engine: Engine, port: int, lost: str, host: str
) -> None:
    target = f"{engine.networks.get('front').gateway if host == 'gateway' else host}:{port}"
    nft = ["nft", "flush", *lost.format(engine.data_root.nft_table).split()]
    subprocess.run(nft, check=True)
    trace = engine.networks.trace(target)
    assert set(ways(trace)) == {("proxy", "")}
    assert kinds(trace.routes[-1]) == BY_PROXY
    assert "the nftables rules had been flushed" in trace.remark
    again = engine.networks.trace(target)
    assert ways(again)[-1] == ("translated", "")
    assert "flushed" not in again.remark


def test_published_on_loopback_alone_there_is_the_proxy_and_the_reason(engine: Engine) -> None:
    serving = listening("httpd", "-f", "-p", "80", name="alone", host_ip="127.0.0.1")
    port = started(engine, serving, "-ltn")
    trace = engine.networks.trace(f"localhost:{port}")
    assert ways(trace) == [("proxy", "")]
    assert trace.remark == "published on 127.0.0.1 for this host alone: no rule leads there"
    with pytest.raises(NotFound) as caught:
        engine.networks.trace(f"192.0.2.77:{port}")
    assert caught.value.hint == "alone has published it on 127.0.0.1"


def test_all_addresses_as_ps_writes_them_are_loopback(engine: Engine, port: int) -> None:
    for target, address in ((f"0.0.0.0:{port}", "127.0.0.1"), (f"[::]:{port}", "::1")):
        assert engine.networks.trace(target).routes[0].address == address


def test_ipv6_is_the_proxys_where_the_container_has_no_such_address(
    engine: Engine, port: int
) -> None:
    trace = engine.networks.trace(f"[::1]:{port}")
    assert ways(trace) == [("proxy", ""), ("translated", "")]
    assert ":" not in trace.routes[1].address  # the rule translates IPv4 alone


def test_published_on_ipv6_alone_without_it_inside_there_is_the_proxy(engine: Engine) -> None:
    serving = listening("httpd", "-f", "-p", "80", name="alone", host_ip="::")
    trace = engine.networks.trace(f"[::1]:{started(engine, serving, '-ltn')}")
    assert ways(trace) == [("proxy", "")]
    assert trace.remark.startswith("alone has no IPv6 address, so no rule translates IPv6")


def test_ipv6_is_translated_into_ipv6(engine: Engine, own_subnets: None) -> None:
    pools = (Pool(subnet="10.213.0.0/24"), Pool(subnet="fd00:213::/64"))
    engine.networks.create(NetworkSpec(name="six", ipv6=True, pools=pools))
    port = started(engine, listening("httpd", "-f", "-p", "80", network="six"), "-ltn")
    trace = engine.networks.trace(f"[::1]:{port}")
    assert ways(trace) == [("proxy", ""), ("translated", "")]
    own = trace.routes[1]
    assert kinds(own) == BY_RULE
    assert station(own, "rule").rule.splitlines() == [
        f"table ip6 {engine.data_root.nft_table}, chain publish_here",
        f"map published: tcp . {port} : fd00:213::2 . 80",
    ]
    assert station(own, "rule").counted == 1
    assert station(own, "answer").detail.startswith("connection tracking: [fd00:213::2]:80 ")
    trace = engine.networks.trace(f"[fd00:213::1]:{port}")
    assert ways(trace) == [("translated", "")]
    assert ways(engine.networks.trace("[fd00:213::2]:80")) == [("direct", "")]


def test_a_datagram_is_counted_as_a_connection_is(engine: Engine) -> None:
    leases = "interface eth0\nstart 10.0.0.1\nend 10.0.0.9\nlease_file /leases\n"
    serve = f"touch /leases; echo '{leases}' > /conf; exec udhcpd -f /conf"
    port = started(engine, listening("sh", "-c", serve, protocol="udp"), "-lun")
    trace = engine.networks.trace(f"localhost:{port}/udp")
    assert ways(trace) == [("proxy", ""), ("translated", "")]
    for route in trace.routes:
        assert station(route, "process").what == "udhcpd listens on port 67"
        assert "sends a datagram" in station(route, "client").what
        assert station(route, "veth").counted > 0
    assert station(trace.routes[1], "rule").counted == 1


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_without_a_listener_the_probe_is_followed_to_the_end(engine: Engine, protocol: str) -> None:
    port = started(engine, listening("sleep", "99", protocol=protocol))
    trace = engine.networks.trace(f"localhost:{port}/{protocol}")
    noun, number = {"tcp": ("connection", 80), "udp": ("datagram", 67)}[protocol]
    failure = f"no program takes the {noun} there"
    assert ways(trace) == [("proxy", failure), ("translated", failure)]
    for route in trace.routes:
        assert station(route, "process").what == f"no program listens on port {number}"
    assert station(trace.routes[1], "rule").counted == 1


def test_a_listener_on_loopback_in_the_container_is_not_reached(engine: Engine) -> None:
    port = started(engine, listening("httpd", "-f", "-p", "127.0.0.1:80"), "-ltn")
    trace = engine.networks.trace(f"localhost:{port}")
    assert not trace.answered
    for route in trace.routes:
        listens = "httpd listens on port 80, but only at 127.0.0.1"
        assert station(route, "process").what == listens


def test_a_server_that_ends_connections_differs_from_a_missing_one(engine: Engine) -> None:
    port = started(engine, listening("nc", "-ll", "-p", "80", "-e", "true"), "-ltn")
    here, own = engine.networks.trace(f"localhost:{port}").routes
    assert here.failure == "the connection was ended at once"
    assert own.answered  # it is set as soon as the kernel in the container has taken it
    assert station(here, "process").what == "nc listens on port 80"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_stopped_proxy_differs_from_one_that_passes_on(engine: Engine, protocol: str) -> None:
    port = started(engine, listening("sleep", "99", protocol=protocol))
    proxy = proxy_of(engine, "one")
    os.kill(proxy, signal.SIGSTOP)
    try:
        here, own = engine.networks.trace(f"localhost:{port}/{protocol}").routes
    finally:
        os.kill(proxy, signal.SIGCONT)
    assert kinds(here) == ["client", "proxy"]
    assert "the port proxy does not take the" in here.failure
    assert kinds(own)[:2] == ["client", "rule"]  # which needs no proxy


def test_a_paused_container_takes_connections_and_says_nothing(engine: Engine, port: int) -> None:
    engine.containers.pause("web")
    listens = "httpd listens on port 80, but the container is paused"
    for route in engine.networks.trace(f"localhost:{port}").routes:
        assert station(route, "process").what == listens
    engine.containers.unpause("web")


def test_a_container_is_reached_directly_by_its_name_and_address(engine: Engine, port: int) -> None:
    (route,) = engine.networks.trace("web:80").routes
    assert (route.way, route.answered) == ("direct", True)
    assert kinds(route) == ["client", *INSIDE]
    assert not engine.networks.trace("web:81").answered
    assert (
        station(engine.networks.trace("web:81").routes[0], "process").what
        == "no program listens on port 81"
    )
    assert engine.networks.trace(f"{route.address}:80").routes[0].way == "direct"


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("localhost:1", NotFound, "no container that runs has published tcp port 1 on 127.0.0.1"),
        ("localhost", InvalidInput, "'localhost' is not a place to connect to"),
        ("web:0", InvalidInput, "'web:0' is not a place"),
        ("web:80/icmp", InvalidInput, "'web:80/icmp' is not a place"),
        ("no..where:80", InvalidInput, "neither a container nor an address"),
        ("eye:80", Conflict, "container eye has no network of its own"),
    ],
)
def test_what_cannot_be_traced_is_reported(
    engine: Engine, port: int, target: str, error: type[DockmagicError], message: str
) -> None:
    spec = ContainerSpec(image="busybox", name="eye", command=("sleep", "99"), network="host")
    engine.containers.run(spec, detach=True)
    with pytest.raises(error, match=message):
        engine.networks.trace(target)


def test_the_topology_is_what_the_kernel_has(engine: Engine, port: int) -> None:
    before = engine.networks.topology()
    (web,) = before.nodes
    ends = {end.network: end for end in web.interfaces}
    subprocess.run(["ip", "link", "delete", ends["back"].veth], check=True)
    subprocess.run(["ip", "link", "set", ends["front"].veth, "nomaster"], check=True)
    top = engine.networks.topology()
    assert [end.is_connected for end in top.nodes[0].interfaces] == [False, False]
    (back,) = (bridge for bridge in top.bridges if bridge.name == "back")
    subprocess.run(["ip", "link", "delete", back.bridge], check=True)
    assert [bridge.exists for bridge in engine.networks.topology().bridges] == [False, True]


def test_the_watch_reports_containers_that_come_and_go(engine: Engine, port: int) -> None:
    front = engine.networks.get("front").bridge
    with engine.networks.watch("front", interval=0.1) as watch:
        limit = threading.Timer(30, watch.close)
        limit.start()
        before = {link.name for link in watch.now.links}
        changes = iter(watch)
        spec = ContainerSpec(image="busybox", name="late", command=("sleep", "99"), network="front")
        late = engine.containers.run(spec, detach=True)
        veth = engine._components.containers.state(late.id).veth
        joined = next(
            change.value
            for change in changes
            if isinstance(change.value, HostLink)
            and (change.value.name, change.value.bridge) == (veth, front)
        )
        assert joined.alias in ("", late.id)
        assert {link.name for link in watch.now.links} == before | {veth}
        engine.containers.remove("late", force=True)
        assert any(
            change.action == "removed" and getattr(change.value, "name", "") == veth
            for change in changes
        )
        limit.cancel()
    with pytest.raises(InvalidInput, match="network host has no bridge"):
        engine.networks.watch("host")


def test_the_topology_is_what_is_there(engine: Engine, port: int) -> None:
    spec = ContainerSpec(
        image="busybox", name="guest", command=("sleep", "99"), network="container:web"
    )
    engine.containers.run(spec, detach=True)
    top = engine.networks.topology()
    assert [(bridge.name, bridge.internal) for bridge in top.bridges] == [
        ("back", True),
        ("front", False),
    ]
    assert not {name for name, _ in top.uplinks} & {bridge.bridge for bridge in top.bridges}
    guest, web = top.nodes
    assert (guest.mode, guest.interfaces) == ("container:web", ())
    assert [(end.network, end.name, end.names, end.is_way_in) for end in web.interfaces] == [
        ("back", "eth0", ("web",), False),
        ("front", "eth1", ("web", "www"), True),
    ]
    assert ("0.0.0.0", port, 80, "tcp") in web.published
    assert [bridge.name for bridge in engine.networks.topology("front").bridges] == ["front"]
    assert all(bridge.exists for bridge in top.bridges)
    assert all(end.is_connected for end in web.interfaces)
    routes = [route for route in engine.networks.host().routes if route.is_default]
    assert set(top.gateways) == {(route.interface, route.gateway) for route in routes}
    with pytest.raises(NotFound):
        engine.networks.topology("nowhere")
