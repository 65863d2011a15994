"""Our table, read back through the `nft` program, and what is published in it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.network.ipam.leases import address_of
from dockmagic_runtime.network.nftables import firewall, published_ports, ruleset
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.network.nftables.published_ports import Published

from .conftest import BRIDGE, SUBNET, TABLE, nft_json
from .conftest import nft as run_nft

pytestmark = [pytest.mark.root, pytest.mark.network]

FABRIC = BridgeConfig(bridge=BRIDGE, subnet=SUBNET)
BOTH = BridgeConfig(bridge="dmboth", subnet="10.1.0.0/16", subnet6="fd00:1::/64")
WEB = Published(host_ip="", host_port=9999, protocol="tcp", address="172.17.0.2", port=80)


@pytest.fixture
def netfilter(bare_host: int) -> Iterator[Netlink]:
    with Netlink(NETLINK_NETFILTER) as netlink:
        yield netlink


def install(netlink: Netlink, *published: Published) -> bool:
    return ruleset.ensure(netlink, TABLE, FABRIC, tuple, lambda: published)


def match(left: Any, operator: str, right: Any) -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def field(protocol: str, name: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": name}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


PORT_KEY = [meta("l4proto"), field("th", "dport")]
COUNTER = {"counter": {"packets": 0, "bytes": 0}}
LOCAL = match({"fib": {"result": "type", "flags": ["daddr"]}}, "==", "local")
NOT_FOR_LOOPBACK = {
    "ip": match(field("ip", "daddr"), "!=", {"prefix": {"addr": "127.0.0.0", "len": 8}}),
    "ip6": match(field("ip6", "daddr"), "!=", "::1"),
}
INTO = match(meta("oifname"), "==", "@bridges")
OUT_OF = match(meta("iifname"), "==", "@bridges")
NOT_LO = match(meta("iifname"), "!=", "lo")
NOT_SCTP = match(meta("l4proto"), "!=", "sctp")
IS_HEARTBEAT = match({"payload": {"base": "th", "offset": 96, "len": 8}}, "==", 4)
WAS_PUBLISHED = match({"ct": {"key": "status"}}, "in", "dnat")
ACCEPT, DROP, MASQUERADE = {"accept": None}, {"drop": None}, {"masquerade": None}


def rewritten(family: str, key: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """To where the map of that name says."""
    looked_up = {"map": {"key": {"concat": key}, "data": f"@{name}"}}
    return {"dnat": {"family": family, "addr": looked_up}}


def guard(family: str) -> list[list[Any]]:
    """What comes from outside and is none of its business."""
    destination = field(family, "daddr")
    elsewhere = match(meta("iifname"), "!=", "@bridges")
    own_subnet = match(destination, "==", "@subnets")
    by_loopback = match({"concat": [destination, *PORT_KEY]}, "==", "@loopback")
    rules = [
        [NOT_LO, elsewhere, own_subnet, COUNTER, DROP],
        [NOT_LO, by_loopback, COUNTER, DROP],
    ]
    return rules if family == "ip" else rules[:1]


def masquerade(family: str) -> list[list[Any]]:
    source = field(family, "saddr")
    leaves = [match(meta("oifname"), "!=", name) for name in ("@bridges", "lo")]
    return [
        [match(source, "==", "@masqueraded"), *leaves, COUNTER, MASQUERADE],
        [match(source, "==", "@subnets"), INTO, WAS_PUBLISHED, COUNTER, MASQUERADE],
    ]


FORWARD = [
    [INTO, match({"ct": {"key": "state"}}, "in", ["established", "related"]), COUNTER, ACCEPT],
    [match({"concat": [meta("iifname"), meta("oifname")]}, "==", "@icc"), COUNTER, ACCEPT],
    [match(meta("iifname"), "==", "@internal"), COUNTER, DROP],
    [match(meta("oifname"), "==", "@internal"), COUNTER, DROP],
    [INTO, WAS_PUBLISHED, COUNTER, ACCEPT],
    [INTO, COUNTER, DROP],
    [OUT_OF, COUNTER, ACCEPT],
]


def expected(family: str) -> dict[str, list[list[Any]]]:
    """The intended rules, as `nft -j` lists them."""
    at_one = rewritten(family, [field(family, "daddr"), *PORT_KEY], "published_at")
    any_ = rewritten(family, PORT_KEY, "published")
    here = NOT_FOR_LOOPBACK[family]
    return {
        "guard": guard(family),
        "publish": [
            [OUT_OF, match(meta("l4proto"), "==", "sctp"), LOCAL, IS_HEARTBEAT, COUNTER, DROP],
            [LOCAL, COUNTER, at_one],
            [LOCAL, COUNTER, any_],
        ],
        "publish_here": [
            [here, NOT_SCTP, LOCAL, COUNTER, at_one],
            [here, NOT_SCTP, LOCAL, COUNTER, any_],
        ],
        "masquerade": masquerade(family),
        "forward": FORWARD,
    }


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_every_rule_is_what_it_is_meant_to_be(netfilter: Netlink, family: str) -> None:
    ruleset.ensure(netfilter, TABLE, BOTH, tuple, tuple)
    rules: dict[str, list[Any]] = {}
    for entry in nft_json("list", "table", family, TABLE):
        if "rule" in entry:
            rules.setdefault(entry["rule"]["chain"], []).append(entry["rule"]["expr"])
    assert rules == expected(family)


def test_a_network_without_ipv6_needs_no_table_for_it(netfilter: Netlink) -> None:
    install(netfilter)
    assert [entry["table"]["family"] for entry in nft_json("list", "tables")] == ["ip"]


def test_chains_are_hooked_where_they_belong(netfilter: Netlink) -> None:
    install(netfilter)
    chains = [
        entry["chain"] for entry in nft_json("list", "table", "ip", TABLE) if "chain" in entry
    ]
    assert {
        chain["name"]: (chain["type"], chain["hook"], chain["prio"], chain["policy"])
        for chain in chains
    } == {
        "guard": ("filter", "prerouting", -300, "accept"),
        "publish": ("nat", "prerouting", -100, "accept"),
        "publish_here": ("nat", "output", -100, "accept"),
        "masquerade": ("nat", "postrouting", 100, "accept"),
        "forward": ("filter", "forward", 0, "accept"),
    }


def elements(name: str, family: str = "ip") -> list[Any]:
    """Of a set, as `nft` reads them."""
    elements = nft_json("list", "set", family, TABLE, name)[0]["set"].get("elem", [])
    return list(elements)


def test_networks_are_elements_and_come_and_go(netfilter: Netlink) -> None:
    install(netfilter)
    inner = BridgeConfig(bridge="dminner", subnet="10.9.0.0/24", internal=True, icc=False)
    ruleset.ensure(netfilter, TABLE, inner, tuple, tuple)
    ruleset.ensure(netfilter, TABLE, inner, tuple, tuple)  # it knows it already
    assert set(elements("bridges")) == {BRIDGE, "dminner"}
    assert elements("internal") == ["dminner"]
    assert elements("icc") == [{"concat": [BRIDGE, BRIDGE]}]
    assert len(elements("subnets")) == 2
    assert elements("masqueraded") == [{"prefix": {"addr": "172.17.0.0", "len": 16}}]
    ruleset.disconnect(netfilter, TABLE, inner)
    ruleset.disconnect(netfilter, TABLE, inner)
    assert elements("bridges") == [BRIDGE]
    assert elements("internal") == []
    assert len(elements("subnets")) == 1


def test_all_networks_are_there_again_after_a_flush(netfilter: Netlink) -> None:
    ruleset.ensure(netfilter, TABLE, FABRIC, lambda: [BOTH, FABRIC], tuple)
    run_nft("flush", "ruleset")
    ruleset.ensure(netfilter, TABLE, FABRIC, lambda: [BOTH, FABRIC], tuple)
    assert set(elements("bridges")) == {BRIDGE, BOTH.bridge}


@given(st.integers(0, 2**32 - 1), st.integers(1, 32))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_prefix_length_is_understood_as_such(
    netfilter: Netlink, number: int, length: int
) -> None:
    address = address_of(number >> 32 - length << 32 - length)
    ruleset.remove(netfilter, TABLE)
    config = BridgeConfig(bridge=BRIDGE, subnet=f"{address}/{length}")
    ruleset.ensure(netfilter, TABLE, config, tuple, tuple)
    prefix = {"prefix": {"addr": address, "len": length}}
    assert elements("subnets") == [prefix if length < 32 else address]
    ruleset.disconnect(netfilter, TABLE, config)
    assert elements("subnets") == []


published = st.builds(
    Published,
    host_ip=st.sampled_from(["", "192.0.2.1", "198.51.100.77"]),
    host_port=st.integers(1, 65535),
    protocol=st.sampled_from(["tcp", "udp"]),
    address=st.integers(0xAC110002, 0xAC11FFFE).map(address_of),
    port=st.integers(1, 65535),
)


@given(st.lists(published, max_size=20, unique_by=lambda port: (port.set_name, port.key)))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_published_is_listed_until_it_is_taken_back(
    netfilter: Netlink, ports: list[Published]
) -> None:
    install(netfilter)
    published_ports.publish(netfilter, TABLE, ports)
    assert set(published_ports.listed(netfilter, TABLE)) == set(ports)
    published_ports.unpublish(netfilter, TABLE, ports)
    assert published_ports.listed(netfilter, TABLE) == ()


def test_elements_are_shown_by_nft_in_words(netfilter: Netlink) -> None:
    at = Published(host_ip="192.0.2.1", host_port=53, protocol="udp", address="172.17.0.3", port=54)
    own = Published(
        host_ip="127.0.0.1", host_port=81, protocol="tcp", address="172.17.0.3", port=80
    )
    install(netfilter, WEB, at, own)
    listing = run_nft("list", "table", "ip", TABLE)
    assert "tcp . 9999 : 172.17.0.2 . 80" in listing
    assert "192.0.2.1 . udp . 53 : 172.17.0.3 . 54" in listing
    assert "127.0.0.1 . tcp . 81" in listing


def test_ipv6_has_elements_of_its_own(netfilter: Netlink) -> None:
    ports = [
        Published(host_ip="", host_port=1, protocol="tcp", address="fd00:1::2", port=80),
        Published(host_ip="2001:db8::1", host_port=2, protocol="udp", address="fd00:1::2", port=53),
        Published(host_ip="", host_port=3, protocol="sctp", address="10.1.0.2", port=9),
    ]
    ruleset.ensure(netfilter, TABLE, BOTH, tuple, lambda: ports)
    listing = run_nft("list", "table", "ip6", TABLE)
    assert "tcp . 1 : fd00:1::2 . 80" in listing
    assert "2001:db8::1 . udp . 2 : fd00:1::2 . 53" in listing
    assert set(published_ports.listed(netfilter, TABLE)) == set(ports)
    published_ports.unpublish(netfilter, TABLE, ports)
    assert published_ports.listed(netfilter, TABLE) == ()


def test_a_complete_table_is_left_alone(netfilter: Netlink) -> None:
    assert install(netfilter, WEB)
    before = run_nft("-a", "list", "table", "ip", TABLE)
    assert not install(netfilter)
    assert run_nft("-a", "list", "table", "ip", TABLE) == before


def test_a_foreign_rule_in_our_table_is_noticed(netfilter: Netlink) -> None:
    install(netfilter)
    before = run_nft("list", "table", "ip", TABLE)
    run_nft("insert", "rule", "ip", TABLE, "guard", "accept")
    assert install(netfilter)
    assert run_nft("list", "table", "ip", TABLE) == before


def test_other_tables_are_not_touched(netfilter: Netlink) -> None:
    run_nft("add", "table", "ip", "theirs")
    install(netfilter)
    ruleset.remove(netfilter, TABLE)
    assert run_nft("list", "ruleset") == "table ip theirs {\n}\n"


def test_removing_what_is_not_there_is_no_error(netfilter: Netlink) -> None:
    ruleset.remove(netfilter, TABLE)
    published_ports.unpublish(netfilter, TABLE, [WEB])
    assert published_ports.listed(netfilter, TABLE) == ()
    assert run_nft("list", "ruleset") == ""


def test_publishing_without_a_table_says_so(netfilter: Netlink) -> None:
    with pytest.raises(FileNotFoundError):
        published_ports.publish(netfilter, TABLE, [WEB])


def test_a_stale_element_is_replaced_and_the_others_stay(netfilter: Netlink) -> None:
    stale = Published(host_ip="", host_port=9999, protocol="tcp", address="172.17.9.9", port=1)
    other = Published(host_ip="", host_port=9999, protocol="udp", address="172.17.9.9", port=1)
    install(netfilter, stale, other)
    published_ports.publish(netfilter, TABLE, [WEB])
    assert set(published_ports.listed(netfilter, TABLE)) == {WEB, other}


def test_taking_back_takes_what_is_left(netfilter: Netlink) -> None:
    gone = Published(host_ip="", host_port=1, protocol="tcp", address="172.17.0.2", port=1)
    install(netfilter, WEB)
    published_ports.unpublish(netfilter, TABLE, [gone, WEB])
    assert published_ports.listed(netfilter, TABLE) == ()


def test_a_thousand_ports_are_restored_in_one_transaction(netfilter: Netlink) -> None:
    many = [
        Published(host_ip="", host_port=port, protocol="tcp", address="172.17.0.2", port=port)
        for port in range(1000, 2500)
    ]
    install(netfilter, *many)
    assert set(published_ports.listed(netfilter, TABLE)) == set(many)


def test_setting_right_deletes_what_is_wrong_and_adds_what_is_missing(netfilter: Netlink) -> None:
    wrong = Published(host_ip="", host_port=9999, protocol="tcp", address="172.17.9.9", port=1)
    stale = Published(
        host_ip="192.0.2.1", host_port=1, protocol="udp", address="172.17.9.9", port=1
    )
    own = Published(
        host_ip="127.0.0.1", host_port=81, protocol="tcp", address="172.17.0.3", port=80
    )
    install(netfilter, wrong, stale)
    assert published_ports.correct(netfilter, TABLE, lambda: [WEB, own])
    assert {(o.set_name, o.key, o.value) for o in published_ports.listed(netfilter, TABLE)} == {
        (o.set_name, o.key, o.value) for o in (WEB, own)
    }
    assert not published_ports.correct(netfilter, TABLE, lambda: [WEB, own])


def test_what_is_published_during_a_restoration_is_not_lost(netfilter: Netlink) -> None:
    """The look at the containers and the installation are apart: in between one may publish."""
    late = Published(host_ip="", host_port=1, protocol="tcp", address="172.17.0.9", port=1)
    alive = [WEB]

    def read_ports() -> list[Published]:
        present = list(alive)
        if late not in alive:
            alive.append(late)
            with Netlink(NETLINK_NETFILTER) as other:
                ruleset.ensure(other, TABLE, FABRIC, tuple, list)
                published_ports.publish(other, TABLE, [late])
                run_nft("flush", "chain", "ip", TABLE, "guard")
        return present

    assert ruleset.ensure(netfilter, TABLE, FABRIC, tuple, read_ports)
    assert set(published_ports.listed(netfilter, TABLE)) == {WEB, late}


# the host's own firewall ------------------------------------------------------------------------


def test_no_warning_when_nothing_is_in_the_way(netfilter: Netlink) -> None:
    install(netfilter)
    run_nft("add", "table", "inet", "theirs")
    run_nft(
        "add",
        "chain",
        "inet",
        "theirs",
        "in",
        "{ type filter hook input priority 0; policy drop; }",
    )
    assert firewall.forward_warning(netfilter, TABLE, BRIDGE) == ""


@pytest.mark.parametrize("family", ["ip", "inet"])
def test_a_dropping_forward_policy_is_named_with_its_remedy(
    netfilter: Netlink, family: str
) -> None:
    run_nft("add", "table", family, "theirs")
    run_nft(
        "add",
        "chain",
        family,
        "theirs",
        "passing",
        "{ type filter hook forward priority 0; policy drop; }",
    )
    text = firewall.forward_warning(netfilter, TABLE, BRIDGE)
    assert f"policy drop in {family} theirs passing" in text
    remedies = text.partition("To allow it: ")[2].split("; ")
    assert len(remedies) == 2
    for remedy in remedies:  # they work as they stand, and then the warning ends
        run_nft(*remedy.split()[1:])
    assert firewall.forward_warning(netfilter, TABLE, BRIDGE) == ""


def test_a_chain_of_iptables_gets_a_remedy_for_iptables(netfilter: Netlink) -> None:
    run_nft("add", "table", "ip", "filter")
    run_nft(
        "add",
        "chain",
        "ip",
        "filter",
        "FORWARD",
        "{ type filter hook forward priority 0; policy drop; }",
    )
    text = firewall.forward_warning(netfilter, TABLE, BRIDGE)
    assert f"iptables -I FORWARD -i {BRIDGE} -j ACCEPT" in text
    run_nft("add", "chain", "ip", "filter", "DOCKER-USER")
    assert "iptables -I DOCKER-USER" in firewall.forward_warning(netfilter, TABLE, BRIDGE)


def test_errno_of_a_restart_is_the_kernels() -> None:
    assert errno.ERESTART == 85


def test_ip6tables_matter_where_a_network_has_ipv6(netfilter: Netlink) -> None:
    for family in ("ip", "ip6"):
        run_nft("add", "table", family, "filter")
        run_nft(
            "add",
            "chain",
            family,
            "filter",
            "FORWARD",
            "{ type filter hook forward priority 0; policy drop; }",
        )
    assert "ip6" not in firewall.forward_warning(netfilter, TABLE, BRIDGE)
    text = firewall.forward_warning(netfilter, TABLE, BRIDGE, ipv6=True)
    assert "policy drop in ip filter FORWARD and ip6 filter FORWARD" in text
    remedies = text.partition("To allow it: ")[2].split("; ")
    assert remedies == [
        f"{program} -I FORWARD -{way} {BRIDGE} -j ACCEPT"
        for program in ("iptables", "ip6tables")
        for way in "io"
    ]
