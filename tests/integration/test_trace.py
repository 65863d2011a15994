"""The path of a connection, as the kernel carries it out."""

from __future__ import annotations

import subprocess

import pytest

from dockmagic_runtime import Engine
from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound
from dockmagic_runtime.model.container import ContainerSpec, ExecSpec, PortMapping
from dockmagic_runtime.model.network import Attachment, NetworkSpec
from dockmagic_runtime.model.topology import Hop, Trace

from .conftest import collect
from .test_survival import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.fixture
def port(engine: Engine) -> int:
    """Of this host, published by `web`, in which a program listens."""
    for name in ("front", "back"):
        engine.create_network(NetworkSpec(name=name, internal=name == "back"))
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
    found = engine.run_detached(spec)
    listing = ExecSpec(command=("netstat", "-ltn"))
    assert eventually(lambda: ":80 " in collect(engine.exec("web", listing)).stdout)
    return found.ports[0].host_port


def kinds(trace: Trace) -> list[str]:
    return [hop.kind for hop in trace.hops]


def station(trace: Trace, kind: str) -> Hop:
    return next(hop for hop in trace.hops if hop.kind == kind)


def test_from_localhost_the_supervisors_proxy_passes_it_on(engine: Engine, port: int) -> None:
    trace = engine.trace(f"localhost:{port}")
    assert kinds(trace) == ["client", "proxy", "bridge", "veth", "interface", "process"]
    assert (trace.way, trace.container, trace.answered) == ("proxy", "web", True)
    assert station(trace, "veth").counted > 0
    assert station(trace, "process").what == "httpd listens on port 80"
    assert station(trace, "interface").what == "eth1 in web"  # the network that leads outside


def test_by_another_address_a_rule_translates_and_has_counted_it(engine: Engine, port: int) -> None:
    address = engine.network("front").gateway
    trace = engine.trace(f"{address}:{port}")
    assert kinds(trace) == ["client", "rule", "bridge", "veth", "interface", "process"]
    rule = station(trace, "rule")
    web = engine.topology("front").nodes[0].on("front")
    assert web is not None
    assert rule.rule == (f"chain publish_here, map published: tcp . {port} : {web.address} . 80")
    assert rule.counted == 1
    assert station(engine.trace(f"{address}:{port}"), "rule").before == rule.after


def test_where_somebody_has_flushed_the_rules_the_held_socket_takes_it(
    engine: Engine, port: int
) -> None:
    address = engine.network("front").gateway
    nft = ["nft", "flush", "chain", "ip", engine.area.nft_table, "publish_here"]
    subprocess.run(nft, check=True)
    trace = engine.trace(f"{address}:{port}")
    assert (kinds(trace)[1], trace.answered) == ("proxy", True)


def test_a_container_is_reached_directly_by_its_name(engine: Engine, port: int) -> None:
    trace = engine.trace("web:80")
    assert (trace.way, trace.answered) == ("direct", True)
    assert kinds(trace) == ["client", "bridge", "veth", "interface", "process"]
    assert not engine.trace("web:81").answered
    assert station(engine.trace("web:81"), "process").what == "nobody listens on port 81"


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
def test_what_cannot_be_traced_is_told(
    engine: Engine, port: int, target: str, error: type[DockmagicError], message: str
) -> None:
    spec = ContainerSpec(image="busybox", name="eye", command=("sleep", "99"), network="host")
    engine.run_detached(spec)
    with pytest.raises(error, match=message):
        engine.trace(target)


def test_the_topology_is_what_is_there(engine: Engine, port: int) -> None:
    top = engine.topology()
    assert [(one.name, one.internal) for one in top.bridges] == [("back", True), ("front", False)]
    (web,) = top.nodes
    assert [(one.network, one.name, one.names) for one in web.interfaces] == [
        ("back", "eth0", ("web",)),
        ("front", "eth1", ("web", "www")),
    ]
    assert ("0.0.0.0", port, 80, "tcp") in web.published
    assert [one.name for one in engine.topology("front").bridges] == ["front"]
    with pytest.raises(NotFound):
        engine.topology("nowhere")
