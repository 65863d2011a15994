"""Our nftables table: its rules, its sets, and the elements of networks.

The rules never change: what differs from network to network and from port to port are elements
of sets and maps, so that creating a network or publishing a port is one atomic change of a few
elements, and costs the same beside five hundred others.

There is one table in each family; that of IPv6 is installed with the first network that has IPv6.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from dockmagic_runtime.linux.netlink import Message, Netlink
from dockmagic_runtime.network.nftables import wire as nft
from dockmagic_runtime.network.nftables.bridge_config import (
    BRIDGES,
    ICC,
    INTERNAL,
    MASQUERADED,
    SUBNETS,
    BridgeConfig,
)
from dockmagic_runtime.network.nftables.published_ports import (
    ANY_ADDRESS,
    FAMILIES,
    LOOPBACK,
    ONE_ADDRESS,
    SETS,
    Published,
    family_messages,
)
from dockmagic_runtime.network.nftables.transaction import change, in_messages
from dockmagic_runtime.network.nftables.wire import IPV4, Family

# chain and comment of the rules that look into these maps for connections from this host
FROM_HERE: Final = {
    ONE_ADDRESS: ("publish_here", "published on one address, from this host"),
    ANY_ADDRESS: ("publish_here", "published, from this host"),
}
_NUMBERS: Final = {
    name: number
    for number, name in enumerate((*SETS, BRIDGES, INTERNAL, ICC, SUBNETS, MASQUERADED), 1)
}
_SCTP_HEARTBEAT: Final = 12, 4  # offset of the first chunk's type, and the type of a heartbeat

# the rules --------------------------------------------------------------------------------------

Rule = tuple[str, str, tuple[bytes, ...]]  # chain, comment, expressions


def rules(family: Family) -> tuple[Rule, ...]:
    """All rules, in order. `is_complete` compares their comments; `nft list` shows them."""
    return (*_guard(family), *_publish(family), *_masquerade(family), *_forward())


def _set(name: str) -> tuple[str, int]:
    return name, _NUMBERS[name]


def _guard(family: Family) -> Iterator[Rule]:
    # Before connection tracking: here the destination is still what the sender wrote, so an
    # answer to a container has the host's address and only a direct packet has the container's.
    # The gateways' addresses are this host's own, so what comes in by lo is this host's.
    drop = nft.counted() + nft.verdict(nft.DROP)
    elsewhere = nft.comes_in_elsewhere_than("lo") + nft.comes_in_by_none_of(*_set(BRIDGES))
    direct = elsewhere + nft.destination_in_set(*_set(SUBNETS), family)
    yield "guard", "only their bridges lead straight to containers", direct + drop
    if family is IPV4:
        spoofed = nft.comes_in_elsewhere_than("lo")
        spoofed += nft.address_and_port_in(*_set(LOOPBACK), family)
        yield "guard", "published on loopback: for this host alone", spoofed + drop


def _publish(family: Family) -> Iterator[Rule]:
    at_one = _count_before_nat(nft.rewrite_by_address_and_port(*_set(ONE_ADDRESS), family))
    at_any = _count_before_nat(nft.rewrite_by_port(*_set(ANY_ADDRESS), family))
    here = nft.destination_is_this_host()
    # Never for 127.0.0.1: the answer could not be routed back without route_localnet, which would
    # open every loopback service to the neighbours. The proxy serves loopback; and it serves SCTP
    # to all programs on this host. The ends of an SCTP association exchange all their addresses and
    # probe them; an address that is not translated like the rest answers by an abort, which ends
    # the association. For the same reason containers' probes of this host are dropped: the client
    # may have announced an address that this host has too, as 172.17.0.1 where both run Docker.
    from_here = nft.not_for_loopback(family) + nft.is_not_of(socket.IPPROTO_SCTP) + here
    drop = nft.counted() + nft.verdict(nft.DROP)
    yield "publish", "SCTP: containers do not probe this host", _probes_of_this_host(here) + drop
    yield "publish", "published on one address, from outside", here + at_one
    yield "publish", "published, from outside", here + at_any
    yield *FROM_HERE[ONE_ADDRESS], from_here + at_one
    yield *FROM_HERE[ANY_ADDRESS], from_here + at_any


def _probes_of_this_host(here: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """SCTP heartbeats of containers to addresses of this host to which they have no association."""
    from_containers = nft.comes_in_by_one_of(*_set(BRIDGES)) + nft.is_of(socket.IPPROTO_SCTP)
    return from_containers + here + nft.transport_byte_is(*_SCTP_HEARTBEAT)


def _count_before_nat(rewrite: tuple[bytes, ...]) -> tuple[bytes, ...]:
    # after the lookup, so that only connections to published ports are counted
    return (*rewrite[:-1], *nft.counted(), rewrite[-1])


def _masquerade(family: Family) -> Iterator[Rule]:
    leaves = nft.goes_out_by_none_of(*_set(BRIDGES)) + nft.goes_out_elsewhere_than("lo")
    outward = nft.source_in_set(*_set(MASQUERADED), family) + leaves
    returns = nft.goes_out_by_one_of(*_set(BRIDGES)) + nft.connection_was_published()
    inward = nft.source_in_set(*_set(SUBNETS), family) + returns
    act = nft.counted() + nft.masquerade()
    yield "masquerade", "containers go out under the host's address", outward + act
    # To a published port of its own or of a neighbour: the answer must pass here again, and
    # would go straight from neighbour to neighbour if it saw the true source.
    yield "masquerade", "containers call a port published here", inward + act


def _forward() -> Iterator[Rule]:
    accept = nft.counted() + nft.verdict(nft.ACCEPT)
    drop = nft.counted() + nft.verdict(nft.DROP)
    into = nft.goes_out_by_one_of(*_set(BRIDGES))
    by = nft.comes_in_by_one_of
    same_network = nft.comes_in_and_goes_out_by(*_set(ICC))
    yield "forward", "answers", into + nft.connection_known() + accept
    # only where bridged packets pass netfilter, and by way of the gateway
    yield "forward", "between containers of one network", same_network + accept
    yield "forward", "internal: nothing leaves", by(*_set(INTERNAL)) + drop
    yield "forward", "internal: nothing enters", nft.goes_out_by_one_of(*_set(INTERNAL)) + drop
    yield "forward", "to published ports", into + nft.connection_was_published() + accept
    yield "forward", "into a network: nothing else", into + drop
    yield "forward", "from containers", by(*_set(BRIDGES)) + accept


_CHAINS = (
    ("guard", "filter", nft.HOOK_PREROUTING, nft.PRIORITY_RAW),
    ("publish", "nat", nft.HOOK_PREROUTING, nft.PRIORITY_DSTNAT),
    ("publish_here", "nat", nft.HOOK_OUTPUT, nft.PRIORITY_DSTNAT),
    ("masquerade", "nat", nft.HOOK_POSTROUTING, nft.PRIORITY_SRCNAT),
    ("forward", "filter", nft.HOOK_FORWARD, nft.PRIORITY_FILTER),
)


def _sets(table: str, family: Family) -> Iterator[Message]:
    by_port = (nft.TYPE_PROTOCOL, nft.TYPE_PORT)
    by_address = (family.address_type, *by_port)
    target = (family.address_type, nft.TYPE_PORT)
    link = nft.TYPE_INTERFACE
    yield nft.new_set(table, *_set(ANY_ADDRESS), by_port, target, family=family)
    yield nft.new_set(table, *_set(ONE_ADDRESS), by_address, target, family=family)
    yield nft.new_set(table, *_set(LOOPBACK), by_address, family=family)
    yield nft.new_set(table, *_set(BRIDGES), (link,), family=family)
    yield nft.new_set(table, *_set(INTERNAL), (link,), family=family)
    yield nft.new_set(table, *_set(ICC), (link, link), family=family)
    for name in (SUBNETS, MASQUERADED):
        yield nft.new_set(table, *_set(name), (family.address_type,), intervals=True, family=family)


# the table as a whole ---------------------------------------------------------------------------


def installation(
    table: str, family: Family, configs: Iterable[BridgeConfig], published: Iterable[Published]
) -> tuple[Message, ...]:
    """One batch that replaces the table, or what is left of it, by the whole table."""
    return (
        nft.new_table(table, family),  # so that there is one to delete
        nft.delete_table(table, family),
        nft.new_table(table, family),
        *_sets(table, family),
        *(nft.new_chain(table, *chain, family) for chain in _CHAINS),
        *(nft.new_rule(table, *rule, family) for rule in rules(family)),
        *in_messages(table, family, _all_elements(family, configs), nft.add_elements),
        *family_messages(table, family, published, nft.add_elements),
    )


def is_complete(netlink: Netlink, table: str, family: Family) -> bool:
    """Whether every rule exists, by chain and comment: one dump.

    A rule refers to its chain and its sets, so these exist too.
    """
    listed = netlink.dump(nft.get_rules(table, family.number))
    wanted = [(chain, comment) for chain, comment, _ in rules(family)]
    return sorted(nft.rule_name(answer.payload) for answer in listed) == sorted(wanted)


def counters(netlink: Netlink, table: str, family: Family) -> dict[tuple[str, str], int]:
    """Packets by chain and comment of each rule that counts; nothing when there is no table."""
    try:
        listed = netlink.dump(nft.get_rules(table, family.number))
    except FileNotFoundError:
        return {}
    packets = {nft.rule_name(each.payload): nft.rule_packets(each.payload) for each in listed}
    return {rule: count for rule, count in packets.items() if count >= 0}


def ensure(
    netlink: Netlink,
    table: str,
    config: BridgeConfig,
    configs: Callable[[], Iterable[BridgeConfig]],
    published: Callable[[], Iterable[Published]],
) -> bool:
    """Install the table, unless it is complete and has the network. Returns whether it was
    installed.

    `configs` and `published` are called only then: for all networks, and for the ports of all
    running containers.
    """
    installed = [
        _ensure_table(netlink, table, family, config, configs, published)
        for family in config.families
    ]
    return any(installed)


def _ensure_table(
    netlink: Netlink,
    table: str,
    family: Family,
    config: BridgeConfig,
    configs: Callable[[], Iterable[BridgeConfig]],
    published: Callable[[], Iterable[Published]],
) -> bool:
    if is_complete(netlink, table, family):
        if not knows(netlink, table, family, config.bridge):
            connect(netlink, table, family, config)
        return False

    def messages() -> tuple[Message, ...]:
        if is_complete(netlink, table, family):  # by another process meanwhile
            return ()
        every = [config, *(other for other in configs() if other.bridge != config.bridge)]
        return installation(table, family, every, published())

    if change(netlink, messages):
        return True
    connect(netlink, table, family, config)
    return False


def remove(netlink: Netlink, table: str) -> None:
    """Delete the tables with all that is in them; nothing if there is none."""
    for family in FAMILIES:
        messages = (nft.new_table(table, family), nft.delete_table(table, family))
        try:
            netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # a kernel without IPv6 has no such tables
                raise


# networks ---------------------------------------------------------------------------------------


def knows(netlink: Netlink, table: str, family: Family, bridge: str) -> bool:
    """Whether that family's table has the elements of the network with that bridge."""
    question = nft.get_element(table, BRIDGES, nft.interface_key(bridge), family)
    return bool(netlink.transact(question, allow=(errno.ENOENT,)))


def _is_known(netlink: Netlink, table: str, family: Family, bridge: str) -> bool:
    try:
        return knows(netlink, table, family, bridge)
    except FileNotFoundError:
        return False  # there is no table


def connect(netlink: Netlink, table: str, family: Family, config: BridgeConfig) -> None:
    """Add the elements of a network to that family's table, in one transaction. Idempotent."""
    elements = _all_elements(family, (config,))
    messages = in_messages(table, family, elements, nft.add_elements)
    netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)


def disconnect(netlink: Netlink, table: str, config: BridgeConfig) -> None:
    """Delete the elements of a network, as far as they exist.

    A transaction that fails waits for a grace period of RCU, so none is tried where the bridge is
    unknown.
    """
    for family in config.families:
        if not _is_known(netlink, table, family, config.bridge):
            continue
        for name, elements in _all_elements(family, (config,)).items():
            for message in in_messages(table, family, {name: elements}, nft.delete_elements):
                _try(netlink, message)


def _try(netlink: Netlink, message: Message) -> None:
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, message)
    except FileNotFoundError:
        pass  # it was flushed, or the whole table


def _all_elements(family: Family, configs: Iterable[BridgeConfig]) -> dict[str, list[bytes]]:
    by_set: dict[str, list[bytes]] = {}
    for config in configs:
        for name, element in config.elements(family):
            by_set.setdefault(name, []).append(element)
    return by_set
