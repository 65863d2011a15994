"""Our nftables table: what may reach containers, and how published ports lead to them.

The rules never change: what differs from network to network and from port to port are elements
of sets and maps, so that making a network or publishing a port is one atomic change of a few
elements, and costs the same beside five hundred others. Published ports have the key (protocol,
port) for all addresses of the host and (address, protocol, port) for one. What is published on
127.0.0.0/8 has no element there: the proxy serves it; a set names it, so that nobody else's
packets reach it.

There is one table in each family; that of IPv6 is made with the first network that has it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from dockmagic_runtime.linux.netlink import Message, Netlink
from dockmagic_runtime.network.ipam.pools import packed
from dockmagic_runtime.network.network_config import (
    BRIDGES,
    ICC,
    INTERNAL,
    MASQUERADED,
    SUBNETS,
    BridgeConfig,
)
from dockmagic_runtime.network.nftables import wire as nft
from dockmagic_runtime.network.nftables.wire import IPV4, IPV6, Family

ANY_ADDRESS = "published"
ONE_ADDRESS = "published_at"
LOOPBACK = "loopback"
# chain and comment of the rules that look into these maps for connections from this host
FROM_HERE = {
    ONE_ADDRESS: ("publish_here", "published on one address, from this host"),
    ANY_ADDRESS: ("publish_here", "published, from this host"),
}
_PORTS = (ANY_ADDRESS, ONE_ADDRESS, LOOPBACK)
_NUMBERS = {
    name: number
    for number, name in enumerate((*_PORTS, BRIDGES, INTERNAL, ICC, SUBNETS, MASQUERADED), 1)
}
_PROTOCOLS = {
    "tcp": socket.IPPROTO_TCP,
    "udp": socket.IPPROTO_UDP,
    "sctp": socket.IPPROTO_SCTP,
}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_SCTP_HEARTBEAT = 12, 4  # where the first chunk has its type, and that of a heartbeat
_ELEMENTS_PER_MESSAGE = 256  # a nested attribute holds at most 64 KiB
_ERESTART = 85
_FAMILIES = (IPV4, IPV6)


class Published(Struct, frozen=True, kw_only=True):
    """One published port: host address ("" for all) and port to a container's."""

    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int

    @property
    def family(self) -> Family:
        return IPV6 if ":" in self.address or ":" in self.host_ip else IPV4

    @property
    def set_name(self) -> str:
        """Where it belongs; empty for what the proxy serves alone: another family, or ::1."""
        if ":" in self.host_ip and (":" not in self.address or self.host_ip == "::1"):
            return ""
        if self.host_ip in ("", "0.0.0.0", "::"):
            return ANY_ADDRESS
        return LOOPBACK if self.host_ip.startswith("127.") else ONE_ADDRESS

    @property
    def key(self) -> bytes:
        protocol = bytes((_PROTOCOLS[self.protocol],)).ljust(4, b"\0")
        key = protocol + self.host_port.to_bytes(2, "big") + bytes(2)
        return key if self.set_name == ANY_ADDRESS else packed(self.host_ip) + key

    @property
    def value(self) -> bytes:
        if self.set_name == LOOPBACK:
            return b""
        return packed(self.address) + self.port.to_bytes(2, "big") + bytes(2)


# the rules --------------------------------------------------------------------------------------

Rule = tuple[str, str, tuple[bytes, ...]]  # chain, comment, expressions


def rules(family: Family) -> tuple[Rule, ...]:
    """All rules, in order. The comments are what `is_complete` compares and `nft list` shows."""
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
    one = _count_before_nat(nft.rewrite_by_address_and_port(*_set(ONE_ADDRESS), family))
    any_ = _count_before_nat(nft.rewrite_by_port(*_set(ANY_ADDRESS), family))
    here = nft.destination_is_this_host()
    # Never for 127.0.0.1: the answer could not be routed back without route_localnet, which would
    # open every loopback service to the neighbours. The proxy serves loopback; and it serves SCTP
    # to all that is on this host. The ends of an association tell each other all their addresses
    # and probe them; one that is not translated like the rest is answered by an abort, which ends
    # the association. That is also why a container finds nobody at an address of ours that it was
    # told by a client that has it too, as 172.17.0.1 where both hosts have a Docker.
    from_here = nft.not_for_loopback(family) + nft.is_not_of(socket.IPPROTO_SCTP) + here
    drop = nft.counted() + nft.verdict(nft.DROP)
    yield "publish", "SCTP: containers do not probe this host", _probes_of_this_host(here) + drop
    yield "publish", "published on one address, from outside", here + one
    yield "publish", "published, from outside", here + any_
    yield *FROM_HERE[ONE_ADDRESS], from_here + one
    yield *FROM_HERE[ANY_ADDRESS], from_here + any_


def _probes_of_this_host(here: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """SCTP heartbeats of containers to addresses of this host to which they have no association."""
    from_containers = nft.comes_in_by_one_of(*_set(BRIDGES)) + nft.is_of(socket.IPPROTO_SCTP)
    return from_containers + here + nft.transport_byte_is(*_SCTP_HEARTBEAT)


def _count_before_nat(rewrite: tuple[bytes, ...]) -> tuple[bytes, ...]:
    # behind the lookup, so that it counts connections to published ports and nothing else
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
    together = nft.comes_in_and_goes_out_by(*_set(ICC))
    yield "forward", "answers", into + nft.connection_known() + accept
    # only where bridged packets pass netfilter, and by way of the gateway
    yield "forward", "within one network", together + accept
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
    """One batch that replaces whatever there is of the table by all of it."""
    return (
        nft.new_table(table, family),  # so that there is one to delete
        nft.delete_table(table, family),
        nft.new_table(table, family),
        *_sets(table, family),
        *(nft.new_chain(table, *chain, family) for chain in _CHAINS),
        *(nft.new_rule(table, *rule, family) for rule in rules(family)),
        *_in_messages(table, family, _all_elements(family, configs), nft.add_elements),
        *_port_messages(table, family, published, nft.add_elements),
    )


def is_complete(netlink: Netlink, table: str, family: Family) -> bool:
    """Whether every rule is in its place: one dump, told by the rules' comments.

    A rule holds its chain and its sets, so these cannot be missing when it is there.
    """
    listed = netlink.dump(nft.get_rules(table, family.number))
    wanted = [(chain, comment) for chain, comment, _ in rules(family)]
    return sorted(nft.rule_place(answer.payload) for answer in listed) == sorted(wanted)


def counters(netlink: Netlink, table: str, family: Family) -> dict[tuple[str, str], int]:
    """Packets by chain and comment of each rule that counts; nothing when there is no table."""
    try:
        listed = netlink.dump(nft.get_rules(table, family.number))
    except FileNotFoundError:
        return {}
    found = {nft.rule_place(one.payload): nft.rule_packets(one.payload) for one in listed}
    return {place: packets for place, packets in found.items() if packets >= 0}


def ensure(
    netlink: Netlink,
    table: str,
    config: BridgeConfig,
    configs: Callable[[], Iterable[BridgeConfig]],
    published: Callable[[], Iterable[Published]],
) -> bool:
    """Install the table unless it is complete and knows the network; whether it had to.

    The last two are asked only then: for all networks, and for the ports of all containers that
    live.
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
        if is_complete(netlink, table, family):  # by somebody else meanwhile
            return ()
        every = [config, *(one for one in configs() if one.bridge != config.bridge)]
        return installation(table, family, every, published())

    if _change(netlink, messages):
        return True
    connect(netlink, table, family, config)
    return False


def _change(netlink: Netlink, messages: Callable[[], tuple[Message, ...]]) -> bool:
    """Carry out what `messages` says, unless nothing; whether there was something.

    It is asked again when the rule set has changed between its look and our change, so nothing
    that is published or taken back meanwhile is lost.
    """
    while True:
        (answer,) = netlink.transact(nft.get_generation())
        wanted = messages()
        if not wanted:
            return False
        try:
            netlink.transact_batch(
                nft.NFNL_SUBSYS_NFTABLES, *wanted, generation=nft.generation(answer.payload)
            )
        except OSError as error:
            if error.errno != _ERESTART:
                raise
        else:
            return True


def remove(netlink: Netlink, table: str) -> None:
    """Delete the tables with all that is in them; nothing if there is none."""
    for family in _FAMILIES:
        messages = (nft.new_table(table, family), nft.delete_table(table, family))
        try:
            netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # a kernel without IPv6 has no such tables
                raise


# networks ---------------------------------------------------------------------------------------


def knows(netlink: Netlink, table: str, family: Family, bridge: str) -> bool:
    """Whether the rules of that family have been told of the network with that bridge."""
    question = nft.get_element(table, BRIDGES, nft.interface_key(bridge), family)
    return bool(netlink.transact(question, allow=(errno.ENOENT,)))


def _is_known(netlink: Netlink, table: str, family: Family, bridge: str) -> bool:
    try:
        return knows(netlink, table, family, bridge)
    except FileNotFoundError:
        return False  # there is no table


def connect(netlink: Netlink, table: str, family: Family, config: BridgeConfig) -> None:
    """Tell the rules of that family of a network, all at once. Idempotent."""
    elements = _all_elements(family, (config,))
    messages = _in_messages(table, family, elements, nft.add_elements)
    netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)


def disconnect(netlink: Netlink, table: str, config: BridgeConfig) -> None:
    """Forget a network, as far as it is still there. A transaction that fails waits for a grace
    period of RCU, so where its bridge is unknown nothing is tried."""
    for family in config.families:
        if not _is_known(netlink, table, family, config.bridge):
            continue
        for name, elements in _all_elements(family, (config,)).items():
            for message in _in_messages(table, family, {name: elements}, nft.delete_elements):
                _try(netlink, message)


def _try(netlink: Netlink, message: Message) -> None:
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, message)
    except FileNotFoundError:
        pass  # somebody has flushed it, or the whole table


def _all_elements(family: Family, configs: Iterable[BridgeConfig]) -> dict[str, list[bytes]]:
    by_set: dict[str, list[bytes]] = {}
    for config in configs:
        for name, element in config.elements(family):
            by_set.setdefault(name, []).append(element)
    return by_set


# published ports --------------------------------------------------------------------------------


def publish(netlink: Netlink, table: str, published: Iterable[Published]) -> None:
    """Let the ports lead to the container, all at once. ENOENT when the table is missing.

    Whoever calls this holds the host's ports by sockets. So an element that is already there was
    left by a supervisor that was killed, and is replaced in the same transaction.
    """
    wanted = tuple(published)
    messages = _everywhere(table, wanted, nft.add_elements)
    if not messages:
        return
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EEXIST):
            raise
        keys = {_place(one)[:-1] for one in wanted}
        stale = [one for one in listed(netlink, table) if _place(one)[:-1] in keys]
        old = _everywhere(table, stale, nft.delete_elements)
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *old, *messages)


def unpublish(netlink: Netlink, table: str, published: Iterable[Published]) -> None:
    """Take the ports back, those that are still there."""
    wanted = tuple(published)
    messages = _everywhere(table, wanted, nft.delete_elements)
    if not messages:
        return
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        if len(wanted) > 1:  # somebody flushed the table or a set: take what is left of them
            for one in wanted:
                unpublish(netlink, table, (one,))


def set_right(netlink: Netlink, table: str, published: Callable[[], Iterable[Published]]) -> bool:
    """Let exactly these be published: delete the others, add what is missing; whether it had to."""

    def messages() -> tuple[Message, ...]:
        present = {_place(one): one for one in listed(netlink, table)}
        wanted = {_place(one): one for one in published() if one.set_name}
        wrong = [one for place, one in present.items() if place not in wanted]
        missing = [one for place, one in wanted.items() if place not in present]
        return (
            *_everywhere(table, wrong, nft.delete_elements),
            *_everywhere(table, missing, nft.add_elements),
        )

    return _change(netlink, messages)


def _place(one: Published) -> tuple[int, str, bytes, bytes]:
    return one.family.number, one.set_name, one.key, one.value


def listed(netlink: Netlink, table: str) -> tuple[Published, ...]:
    """What is published in the kernel now; nothing when there is no table."""
    found: list[Published] = []
    for family in _FAMILIES:
        for name in _PORTS:
            try:
                answers = netlink.dump(nft.get_elements(table, name, family))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                    break  # there is no table of that family, and so no other set of it
                raise
            for answer in answers:
                pairs = nft.listed_elements(answer.payload)
                found += (_as_published(family, name, key, value) for key, value in pairs)
    return tuple(found)


def _as_published(family: Family, name: str, key: bytes, value: bytes) -> Published:
    size, kind = family.length, socket.AF_INET if family is IPV4 else socket.AF_INET6
    protocol, port = key[-8], int.from_bytes(key[-4:-2], "big")
    return Published(
        host_ip="" if name == ANY_ADDRESS else socket.inet_ntop(kind, key[:size]),
        host_port=port,
        protocol=_PROTOCOL_NAMES.get(protocol, str(protocol)),
        address=socket.inet_ntop(kind, value[:size]) if value else "",
        port=int.from_bytes(value[size : size + 2], "big"),
    )


_Elements = Callable[[str, str, Iterable[bytes], Family], Message]


def _everywhere(
    table: str, published: Iterable[Published], message: _Elements
) -> tuple[Message, ...]:
    wanted = tuple(published)
    families = [one for one in _FAMILIES if any(port.family is one for port in wanted)]
    return tuple(
        one for family in families for one in _port_messages(table, family, wanted, message)
    )


def _port_messages(
    table: str, family: Family, published: Iterable[Published], message: _Elements
) -> tuple[Message, ...]:
    by_set: dict[str, list[bytes]] = {}
    for one in published:
        if one.set_name and one.family is family:
            by_set.setdefault(one.set_name, []).append(nft.element(one.key, one.value))
    return _in_messages(table, family, by_set, message)


def _in_messages(
    table: str, family: Family, by_set: dict[str, list[bytes]], message: _Elements
) -> tuple[Message, ...]:
    return tuple(
        message(table, name, elements[start : start + _ELEMENTS_PER_MESSAGE], family)
        for name, elements in by_set.items()
        for start in range(0, len(elements), _ELEMENTS_PER_MESSAGE)
    )
