"""What `network create` asks for, and what is wrong with it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockmagic_runtime.errors import Conflict, DockmagicError, InvalidInput, NotFound, Unsupported
from dockmagic_runtime.model.network import Network, NetworkSpec, Pool
from dockmagic_runtime.network import definition, options
from dockmagic_runtime.network.ipam.pools import Block


def made(spec: NetworkSpec, *blocks: str) -> Network:
    parsed = [Block.parse(block) for block in blocks]
    return definition.as_network(spec, network_id="n1", bridge="br0", created=1, blocks=parsed)


def test_the_gateway_is_the_first_address_unless_it_is_said_or_a_range_is() -> None:
    plain = NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/16"),))
    assert made(plain, "10.0.0.0/16").gateway == "10.0.0.1"
    said = NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/16", gateway="10.0.3.4"),))
    assert made(said, "10.0.0.0/16").gateway == "10.0.3.4"
    ranged = NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/16", ip_range="10.0.5.0/24"),))
    assert made(ranged, "10.0.0.0/16").gateway == "10.0.5.0"


def test_a_configuration_has_pools_and_nothing_on_the_host() -> None:
    pool = Pool(subnet="10.0.0.0/24", gateway="10.0.0.9")
    spec = NetworkSpec(name="cfg", driver="overlay", config_only=True, pools=(pool,), ipv6=True)
    definition.check(spec)
    network = definition.as_configuration(spec, network_id="n1", created=1)
    assert (network.driver, network.bridge, network.subnet) == ("null", "", "")
    assert (network.pools, network.ipv6, network.config_only) == ((pool,), True, True)


def test_a_network_takes_over_a_configuration() -> None:
    pool = Pool(subnet="10.0.0.0/24")
    labels, ipam = {"a": "b"}, {"c": "d"}
    spec = NetworkSpec(
        name="cfg", config_only=True, pools=(pool,), labels=labels, ipam_options=ipam
    )
    configuration = definition.as_configuration(spec, network_id="n1", created=1)
    asked = NetworkSpec(name="own", config_from="cfg", internal=True)
    taken = definition.configured(asked, configuration)
    assert (taken.name, taken.internal, taken.config_from) == ("own", True, "")
    assert (taken.pools, taken.labels, taken.ipam_options) == ((pool,), labels, ipam)


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(name="a", config_only=True, internal=True),
        NetworkSpec(name="a", config_only=True, attachable=True),
        NetworkSpec(name="a", config_only=True, config_from="b"),
        NetworkSpec(name="a", config_from="b", ipv6=True),
        NetworkSpec(name="a", config_from="b", labels={"a": "b"}),
        NetworkSpec(name="a", config_from="b", pools=(Pool(subnet="10.0.0.0/24"),)),
        NetworkSpec(name="a", config_from="b", options={"com.docker.network.driver.mtu": "99"}),
        NetworkSpec(name="a", config_from="b", ipam_options={"a": "b"}),
    ],
)
def test_a_configuration_is_whole_and_has_no_field_of_a_network(spec: NetworkSpec) -> None:
    with pytest.raises(Conflict, match="configuration"):
        definition.check(spec)


def test_each_family_has_its_own() -> None:
    pools = (Pool(subnet="10.0.0.0/16"), Pool(subnet="fd00:1::/64", ip_range="fd00:1::1:0/112"))
    network = made(NetworkSpec(name="a", ipv6=True, pools=pools), "10.0.0.0/16", "fd00:1::/64")
    assert (network.subnet6, network.gateway6) == ("fd00:1::/64", "fd00:1::1:0")
    assert network.ip_range6 == "fd00:1::1:0/112"
    assert network.ipv6


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        (NetworkSpec(name=" "), InvalidInput, "name is empty"),
        (NetworkSpec(name="-x"), InvalidInput, "invalid network name"),
        (NetworkSpec(name="host"), Conflict, "not permitted on predefined host network"),
        (NetworkSpec(name="a", driver="host"), Conflict, 'only one instance of "host" network'),
        (NetworkSpec(name="a", driver="macvlan"), Unsupported, "driver macvlan is not supported"),
        (NetworkSpec(name="a", driver="x"), NotFound, "could not find plugin x"),
        (NetworkSpec(name="a", options={"x": "y"}), Unsupported, "option x is not supported"),
        (NetworkSpec(name="a", pools=(Pool(gateway="10.0.0.1"),)), InvalidInput, "every ip-range"),
        (
            NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.1/8"),)),
            InvalidInput,
            "it should be 10.0.0.0/8",
        ),
        (NetworkSpec(name="a", pools=(Pool(subnet="ten"),)), InvalidInput, "invalid CIDR address"),
        (NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0"),)), InvalidInput, "invalid CIDR"),
        (NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/31"),)), Conflict, "No available add"),
        (NetworkSpec(name="a", pools=(Pool(subnet="127.1.0.0/16"),)), Conflict, "Pool overlaps"),
        (
            NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/24", gateway="10.0.1.1"),)),
            InvalidInput,
            "no matching subnet for gateway 10.0.1.1",
        ),
        (
            NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/24", gateway="10.0.0.255"),)),
            Conflict,
            r"failed to allocate gateway \(10.0.0.255\): Address already in use",
        ),
        (
            NetworkSpec(
                name="a", pools=(Pool(subnet="10.0.0.0/24", reserved=(("x", "10.0.0.1"),)),)
            ),
            Conflict,
            r"failed to allocate secondary ip address \(x:10.0.0.1\): Address already in use",
        ),
        (
            NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/24", ip_range="10.1.0.0/25"),)),
            InvalidInput,
            "no matching subnet for range",
        ),
        (
            NetworkSpec(name="a", pools=(Pool(subnet="10.0.0.0/24"), Pool(subnet="10.1.0.0/24"))),
            InvalidInput,
            "doesn't support multiple subnets",
        ),
        (NetworkSpec(name="a", pools=(Pool(subnet="fd00::/64"),)), InvalidInput, "needs IPv6"),
    ],
)
def test_what_cannot_be(spec: NetworkSpec, kind: type[DockmagicError], message: str) -> None:
    with pytest.raises(kind, match=message):
        definition.check(spec)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("com.docker.network.bridge.enable_icc", "maybe"),
        ("com.docker.network.driver.mtu", "12"),
        ("com.docker.network.driver.mtu", "big"),
        ("com.docker.network.bridge.name", "a/b"),
        ("com.docker.network.bridge.name", "sixteen-letters-"),
        ("com.docker.network.bridge.host_binding_ipv4", "here"),
        ("com.docker.network.container_iface_prefix", "lo"),
    ],
)
def test_values_of_options_are_looked_at(key: str, text: str) -> None:
    with pytest.raises(InvalidInput, match=key.replace(".", r"\.")):
        options.check({key: text})


def test_options_say_what_they_mean() -> None:
    assert options.icc({})
    assert options.masquerade({})
    assert not options.icc({"com.docker.network.bridge.enable_icc": "False"})
    assert not options.masquerade({"com.docker.network.bridge.enable_ip_masquerade": "0"})
    assert options.mtu({"com.docker.network.bridge.mtu": "1400"}) == 1400
    assert (options.mtu({}), options.host_binding({})) == (0, "")


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_subnet_or_refused(text: str) -> None:
    try:
        block = definition.parse_subnet(text)
    except InvalidInput:
        return
    assert ipaddress.ip_network(str(block.network)) == ipaddress.ip_network(text, strict=False)


@given(st.ip_addresses(), st.integers(1, 128))
@settings(max_examples=200, deadline=None)
def test_a_subnet_is_what_ipaddress_says(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    length = min(length, address.max_prefixlen)
    block = definition.parse_subnet(f"{address}/{length}")
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    assert ipaddress.ip_network(str(block.network)) == network
    assert block.network.contains(str(address))
