"""Our nftables table: what may reach containers, and how published ports lead to them.

Published ports are elements of maps, so that publishing is one atomic change of a set and no
rule ever moves. Their keys are (protocol, port) for all addresses of the host and (address,
protocol, port) for one. What is published on 127.0.0.0/8 has no element there: the proxy serves
it; a set names it, so that nobody else's packets reach it.

The table is of family ip. A network with an IPv6 subnet gets its twin of family ip6, with the
same chains and maps and `nat` expressions of that family.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dockmagic_runtime.linux.netlink import Message, Netlink, as_text, attributes
from dockmagic_runtime.network import expressions as nft

ANY_ADDRESS = "published"
ONE_ADDRESS = "published_at"
LOOPBACK = "loopback"
_NUMBERS = {ANY_ADDRESS: 1, ONE_ADDRESS: 2, LOOPBACK: 3}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_ELEMENTS_PER_MESSAGE = 256  # a nested attribute holds at most 64 KiB
_ERESTART = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published port: host address ("" for all) and port to a container's."""

    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int

    @property
    def set_name(self) -> str:
        """Where it belongs; empty for IPv6, which the proxy serves alone."""
        if ":" in self.host_ip:
            return ""
        if self.host_ip in ("", "0.0.0.0"):
            return ANY_ADDRESS
        return LOOPBACK if self.host_ip.startswith("127.") else ONE_ADDRESS

    @property
    def key(self) -> bytes:
        protocol = bytes((_PROTOCOLS[self.protocol],)).ljust(4, b"\0")
        key = protocol + self.host_port.to_bytes(2, "big") + bytes(2)
        return key if self.set_name == ANY_ADDRESS else socket.inet_aton(self.host_ip) + key

    @property
    def value(self) -> bytes:
        if self.set_name == LOOPBACK:
            return b""
        return socket.inet_aton(self.address) + self.port.to_bytes(2, "big") + bytes(2)


def split_subnet(subnet: str) -> tuple[bytes, int]:
    """`172.17.0.0/16` as four bytes and a length."""
    network, _, length = subnet.partition("/")
    return socket.inet_aton(network), int(length)


# the rules --------------------------------------------------------------------------------------

Rule = tuple[str, str, tuple[bytes, ...]]  # chain, comment, expressions


def rules(bridge: str, subnet: str) -> tuple[Rule, ...]:
    """All rules, in order. The comments are what `is_complete` compares and `nft list` shows."""
    return (
        *_guard(bridge, subnet),
        *_publish(),
        *_masquerade(bridge, subnet),
        *_forward(bridge),
    )


def _guard(bridge: str, subnet: str) -> tuple[Rule, ...]:
    # Before connection tracking: here the destination is still what the sender wrote, so an
    # answer to a container has the host's address and only a direct packet has the container's.
    # The gateway's address is this host's own, so what comes in by lo is this host's.
    elsewhere = nft.comes_in_elsewhere_than(bridge) + nft.comes_in_elsewhere_than("lo")
    direct = elsewhere + nft.destination_in(*split_subnet(subnet))
    spoofed = nft.comes_in_elsewhere_than("lo")
    spoofed += nft.address_and_port_in(LOOPBACK, _NUMBERS[LOOPBACK])
    drop = nft.counted() + nft.verdict(nft.DROP)
    return (
        ("guard", f"only {bridge} leads straight to {subnet}", direct + drop),
        ("guard", "published on loopback: for this host alone", spoofed + drop),
    )


def _publish() -> tuple[Rule, ...]:
    one = nft.rewrite_by_address_and_port(ONE_ADDRESS, _NUMBERS[ONE_ADDRESS])
    any_ = nft.rewrite_by_port(ANY_ADDRESS, _NUMBERS[ANY_ADDRESS])
    here = nft.destination_is_this_host()
    # Never for 127.0.0.1: the answer could not be routed back without route_localnet, which would
    # open every loopback service to the neighbours. The proxy serves loopback.
    not_loopback = nft.destination_outside(socket.inet_aton("127.0.0.0"), 8) + here
    return (
        ("publish", "published on one address, from outside", here + _count_before_nat(one)),
        ("publish", "published, from outside", here + _count_before_nat(any_)),
        (
            "publish_here",
            "published on one address, from this host",
            not_loopback + _count_before_nat(one),
        ),
        ("publish_here", "published, from this host", not_loopback + _count_before_nat(any_)),
    )


def _count_before_nat(rewrite: tuple[bytes, ...]) -> tuple[bytes, ...]:
    # behind the lookup, so that it counts connections to published ports and nothing else
    return (*rewrite[:-1], *nft.counted(), rewrite[-1])


def _masquerade(bridge: str, subnet: str) -> tuple[Rule, ...]:
    inside = nft.source_in(*split_subnet(subnet))
    leaves = nft.goes_out_elsewhere_than(bridge) + nft.goes_out_elsewhere_than("lo")
    returns = nft.goes_out_by(bridge) + nft.connection_was_published()
    act = nft.counted() + nft.masquerade()
    return (
        ("masquerade", f"{subnet} goes out under the host's address", inside + leaves + act),
        # To a published port of its own or of a neighbour: the answer must pass here again, and
        # would go straight from neighbour to neighbour if it saw the true source.
        ("masquerade", f"{subnet} calls a port published here", inside + returns + act),
    )


def _forward(bridge: str) -> tuple[Rule, ...]:
    accept = nft.counted() + nft.verdict(nft.ACCEPT)
    into = nft.goes_out_by(bridge)
    published = into + nft.connection_was_published() + accept
    return (
        ("forward", f"{bridge}: answers", into + nft.connection_known() + accept),
        ("forward", f"{bridge}: from containers", nft.comes_in_by(bridge) + accept),
        ("forward", f"{bridge}: to published ports", published),
        ("forward", f"{bridge}: nothing else", into + nft.counted() + nft.verdict(nft.DROP)),
    )


def _chains(table: str) -> tuple[Message, ...]:
    return (
        nft.new_chain(table, "guard", "filter", nft.HOOK_PREROUTING, nft.PRIORITY_RAW),
        nft.new_chain(table, "publish", "nat", nft.HOOK_PREROUTING, nft.PRIORITY_DSTNAT),
        nft.new_chain(table, "publish_here", "nat", nft.HOOK_OUTPUT, nft.PRIORITY_DSTNAT),
        nft.new_chain(table, "masquerade", "nat", nft.HOOK_POSTROUTING, nft.PRIORITY_SRCNAT),
        nft.new_chain(table, "forward", "filter", nft.HOOK_FORWARD, nft.PRIORITY_FILTER),
    )


def _sets(table: str) -> tuple[Message, ...]:
    by_port = (nft.TYPE_PROTOCOL, nft.TYPE_PORT)
    by_address = (nft.TYPE_IPV4, *by_port)
    target = (nft.TYPE_IPV4, nft.TYPE_PORT)
    return (
        nft.new_set(table, ANY_ADDRESS, _NUMBERS[ANY_ADDRESS], by_port, target),
        nft.new_set(table, ONE_ADDRESS, _NUMBERS[ONE_ADDRESS], by_address, target),
        nft.new_set(table, LOOPBACK, _NUMBERS[LOOPBACK], by_address),
    )


# the table as a whole ---------------------------------------------------------------------------


def installation(
    table: str, bridge: str, subnet: str, published: Iterable[Published]
) -> tuple[Message, ...]:
    """One batch that replaces whatever there is of the table by all of it."""
    return (
        nft.new_table(table),  # so that there is one to delete
        nft.delete_table(table),
        nft.new_table(table),
        *_sets(table),
        *_chains(table),
        *(nft.new_rule(table, chain, note, parts) for chain, note, parts in rules(bridge, subnet)),
        *_element_messages(table, published, nft.add_elements),
    )


def is_complete(netlink: Netlink, table: str, bridge: str, subnet: str) -> bool:
    """Whether every rule is in its place: one dump, told by the rules' comments.

    A rule holds its chain and its maps, so these cannot be missing when it is there.
    """
    listed = netlink.dump(nft.get_rules(table))
    wanted = [(chain, comment) for chain, comment, _ in rules(bridge, subnet)]
    return sorted(nft.rule_place(answer.payload) for answer in listed) == sorted(wanted)


def ensure(
    netlink: Netlink,
    table: str,
    bridge: str,
    subnet: str,
    published: Callable[[], Iterable[Published]],
) -> bool:
    """Install the table unless it is complete; whether it had to.

    `published` is asked only then, for the ports of all containers that live.
    """
    if is_complete(netlink, table, bridge, subnet):
        return False

    def messages() -> tuple[Message, ...]:
        if is_complete(netlink, table, bridge, subnet):  # by somebody else meanwhile
            return ()
        return installation(table, bridge, subnet, published())

    return _change(netlink, messages)


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
    """Delete the table with all that is in it; nothing if there is none."""
    messages = (nft.new_table(table), nft.delete_table(table))
    netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)


# published ports --------------------------------------------------------------------------------


def publish(netlink: Netlink, table: str, published: Iterable[Published]) -> None:
    """Let the ports lead to the container, all at once. ENOENT when the table is missing.

    Whoever calls this holds the host's ports by sockets. So an element that is already there was
    left by a supervisor that was killed, and is replaced in the same transaction.
    """
    wanted = tuple(published)
    messages = _element_messages(table, wanted, nft.add_elements)
    if not messages:
        return
    try:
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *messages)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EEXIST):
            raise
        keys = {(one.set_name, one.key) for one in wanted}
        stale = [one for one in listed(netlink, table) if (one.set_name, one.key) in keys]
        old = _element_messages(table, stale, nft.delete_elements)
        netlink.transact_batch(nft.NFNL_SUBSYS_NFTABLES, *old, *messages)


def unpublish(netlink: Netlink, table: str, published: Iterable[Published]) -> None:
    """Take the ports back, those that are still there."""
    wanted = tuple(published)
    messages = _element_messages(table, wanted, nft.delete_elements)
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
        present = {(one.set_name, one.key, one.value): one for one in listed(netlink, table)}
        wanted = {(one.set_name, one.key, one.value): one for one in published()}
        wrong = [one for place, one in present.items() if place not in wanted]
        missing = [one for place, one in wanted.items() if place not in present]
        return (
            *_element_messages(table, wrong, nft.delete_elements),
            *_element_messages(table, missing, nft.add_elements),
        )

    return _change(netlink, messages)


def listed(netlink: Netlink, table: str) -> tuple[Published, ...]:
    """What is published in the kernel now; nothing when there is no table."""
    found: list[Published] = []
    for name in _NUMBERS:
        try:
            answers = netlink.dump(nft.get_elements(table, name))
        except FileNotFoundError:
            continue
        for answer in answers:
            pairs = nft.listed_elements(answer.payload)
            found += (_as_published(name, key, value) for key, value in pairs)
    return tuple(found)


def _as_published(name: str, key: bytes, value: bytes) -> Published:
    host_ip = "" if name == ANY_ADDRESS else socket.inet_ntoa(key[:4])
    protocol, port = key[-8], int.from_bytes(key[-4:-2], "big")
    return Published(
        host_ip=host_ip,
        host_port=port,
        protocol=_PROTOCOL_NAMES.get(protocol, str(protocol)),
        address=socket.inet_ntoa(value[:4]) if value else "",
        port=int.from_bytes(value[4:6], "big"),
    )


_Elements = Callable[[str, str, Iterable[bytes]], Message]


def _element_messages(
    table: str, published: Iterable[Published], message: _Elements
) -> tuple[Message, ...]:
    by_set: dict[str, list[bytes]] = {}
    for one in published:
        if one.set_name:
            by_set.setdefault(one.set_name, []).append(nft.element(one.key, one.value))
    return tuple(
        message(table, name, elements[start : start + _ELEMENTS_PER_MESSAGE])
        for name, elements in by_set.items()
        for start in range(0, len(elements), _ELEMENTS_PER_MESSAGE)
    )


# what others do to forwarded packets ------------------------------------------------------------

_FAMILY_NAMES = {nft.NFPROTO_INET: "inet", nft.NFPROTO_IPV4: "ip"}


@dataclass(frozen=True, slots=True)
class _Chain:
    family: int
    table: str
    name: str
    drops_forwarded: bool


def _as_chain(payload: bytes) -> _Chain:
    found = nft.body(payload)
    hook = attributes(found.get(4, b"")).get(1, b"")
    drops = hook == nft.HOOK_FORWARD.to_bytes(4, "big") and found.get(5) == bytes(4)
    return _Chain(payload[0], as_text(found[1]), as_text(found[3]), drops)


def forward_warning(netlink: Netlink, table: str, bridge: str) -> str:
    """Why containers will not reach the network, when the host's own firewall sees to that.

    An accept in our table cannot overrule a drop in another. Empty when nothing is in the way, or
    when that table has a rule that names our bridge: then somebody has thought of it.
    """
    chains = [_as_chain(answer.payload) for answer in netlink.dump(nft.get_chains())]
    for chain in chains:
        foreign = chain.family in _FAMILY_NAMES and chain.table != table
        if foreign and chain.drops_forwarded and not _mentions(netlink, chain, bridge):
            return _warning(chain, bridge, chains)
    return ""


def _mentions(netlink: Netlink, chain: _Chain, bridge: str) -> bool:
    name = bridge.encode() + b"\0"
    listed_rules = netlink.dump(nft.get_rules(chain.table, chain.family))
    return any(name in answer.payload for answer in listed_rules)


def _warning(chain: _Chain, bridge: str, chains: list[_Chain]) -> str:
    where = f"{_FAMILY_NAMES[chain.family]} {chain.table} {chain.name}"
    if chain.name == "FORWARD":  # made by iptables, whose users know it by that name
        has_docker = any(one.name == "DOCKER-USER" for one in chains)
        place = "DOCKER-USER" if has_docker else "FORWARD"
        remedy = [f"iptables -I {place} -{way} {bridge} -j ACCEPT" for way in "io"]
    else:
        remedy = [
            f'nft insert rule {where} {way} "{bridge}" accept' for way in ("iifname", "oifname")
        ]
    return (
        f"this host's firewall drops forwarded packets (policy drop in {where}): containers cannot "
        "reach the network and other machines cannot reach published ports. "
        f"To allow it: {'; '.join(remedy)}"
    )
