"""The destinations that a trace accepts, and the containers that an address reaches."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.trace import routes
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.host_network import HostAddress, HostLink, HostNetwork
from dockmagic_runtime.model.topology import Interface, Node
from dockmagic_runtime.supervisor.state import State


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("localhost:9999", ("localhost", 9999, "tcp")),
        ("http://localhost:9999/", ("localhost", 9999, "tcp")),
        (":53/udp", ("localhost", 53, "udp")),
        ("53/UDP", ("localhost", 53, "udp")),
        ("[::1]:80", ("::1", 80, "tcp")),
        ("web:80", ("web", 80, "tcp")),
    ],
)
def test_a_target_is_a_place_a_port_and_a_protocol(
    target: str, expected: tuple[str, int, str]
) -> None:
    assert routes.parse(target) == expected


@pytest.mark.parametrize(
    "target", ["", "web", "web:", "web:0", "web:65536", "web:80/icmp", "web:²"]
)
def test_other_words_are_refused_with_what_to_write(target: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        routes.parse(target)
    assert "localhost:9999" in caught.value.hint


@given(st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_text_is_understood_or_refused(target: str) -> None:
    try:
        host, port, protocol = routes.parse(target)
    except InvalidInput:
        return
    assert host
    assert 0 < port < 65536
    assert protocol in routes.PROTOCOLS


@pytest.mark.parametrize(
    ("host_ip", "reached", "not_reached"),
    [
        ("0.0.0.0", "127.0.0.1", "::1"),
        ("", "192.0.2.1", "2001:db8::1"),
        ("::", "::1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.1"),
    ],
)
def test_a_port_is_reached_by_the_addresses_it_is_published_on(
    host_ip: str, reached: str, not_reached: str
) -> None:
    assert routes.covers(host_ip, reached)
    assert not routes.covers(host_ip, not_reached)


def test_only_loopback_is_for_this_host_alone() -> None:
    assert [
        host_ip
        for host_ip in ("", "0.0.0.0", "::", "::1", "127.0.0.1", "192.0.2.1")
        if routes.is_outside(host_ip)
    ] == ["", "0.0.0.0", "::", "192.0.2.1"]


# ------------------------------------------------------------------ the route by a rule


def uplinks(address: str = "", address6: str = "") -> HostNetwork:
    """A host with an eth0 that has these addresses."""
    return HostNetwork(
        links=(HostLink(index=2, name="eth0", is_up=True),),
        addresses=tuple(
            HostAddress(interface="eth0", address=text, prefix_length=24)
            for text in (address, address6)
            if text
        ),
    )


def target(*host_ips: str, address6: str = "") -> routes.TraceTarget:
    """A container that has published port 80 as 9999 on these addresses."""
    end = Interface(
        network="net", name="eth0", veth="veth0", address="172.17.0.2", address6=address6
    )
    ports = tuple((host_ip, 9999, 80, "tcp") for host_ip in host_ips)
    gateways = {"name": "net", "gateway": "172.17.0.1", "gateway6": address6 and "fd00::1"}
    return routes.TraceTarget(
        record=cast(Record, None),
        now=State(ports=ports, networks={"1": gateways}),
        node=Node(id="1", name="web", mode="", interfaces=(end,), published=ports),
        end=end,
    )


def by_proxy(address: str) -> routes.RouteCandidate:
    return routes.RouteCandidate(
        name="here", kind="proxy", address=address, port=9999, protocol="tcp",
        inner="172.17.0.2", inner_port=80,
    )  # fmt: skip


BOTH, SIX = ("0.0.0.0", "::"), "fd00::2"


@pytest.mark.parametrize(
    ("to", "first", "expected"),
    [
        (target(*BOTH), "127.0.0.1", ("192.0.2.1", "172.17.0.2", "published")),
        (target(*BOTH), "::1", ("192.0.2.1", "172.17.0.2", "published")),
        (target(*BOTH, address6=SIX), "127.0.0.1", ("192.0.2.1", "172.17.0.2", "published")),
        (target(*BOTH, address6=SIX), "::1", ("2001:db8::1", SIX, "published")),
        (
            target("127.0.0.1", "192.0.2.7"),
            "127.0.0.1",
            ("192.0.2.7", "172.17.0.2", "published_at"),
        ),
    ],
)
def test_the_route_by_a_rule_prefers_the_same_family(
    to: routes.TraceTarget, first: str, expected: tuple[str, str, str]
) -> None:
    candidate = routes.translated(uplinks("192.0.2.1", "2001:db8::1"), to, by_proxy(first))
    assert candidate is not None
    assert (candidate.address, candidate.inner, candidate.map_name) == expected
    assert (candidate.kind, candidate.port, candidate.inner_port) == ("translated", 9999, 80)


def test_a_host_without_a_network_is_reached_as_its_containers_reach_it() -> None:
    candidate = routes.translated(uplinks(), target(*BOTH, address6=SIX), by_proxy("::1"))
    assert candidate is not None
    assert candidate.address == "fd00::1"


@pytest.mark.parametrize("host_ips", [("127.0.0.1",), ("::1",), ("::",)])
def test_no_rule_leads_from_loopback_nor_from_ipv6_into_ipv4(host_ips: tuple[str, ...]) -> None:
    assert routes.translated(uplinks("192.0.2.1"), target(*host_ips), by_proxy("127.0.0.1")) is None
