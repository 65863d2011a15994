"""nftables over netlink: the wire form of tables, chains, sets, rules and their expressions.

A rule is a list of expressions over registers: load something, compare it, act. What a rule means
is defined in `ruleset.py`; here is only its encoding. The tests read every rule back
through the `nft` program. Numbers are those of linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from msgspec import Struct

from dockmagic_runtime.linux.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    attribute,
    attributes,
    be32,
    nested,
    text,
    walk,
)

NFNL_SUBSYS_NFTABLES = 10
NFPROTO_UNSPEC, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 0, 1, 2, 10

_NEWTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _NEWRULE, _GETRULE = 0, 2, 3, 4, 6, 7
_NEWSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM, _GETGEN = 9, 12, 13, 14, 16

HOOK_PREROUTING, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = 0, 2, 3, 4
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
DROP, ACCEPT = 0, 1
_SET_IS_INTERVAL, _SET_IS_MAP = 0x4, 0x8
_ELEMENT_ENDS_INTERVAL = 0x1
_LOOKUP_INVERTED = 0x1
# of nft's own numbering, so that `nft list` knows how to print a key; six bits each when joined
TYPE_IPV4, TYPE_IPV6, TYPE_PROTOCOL, TYPE_PORT, TYPE_INTERFACE = 7, 8, 12, 13, 41
_WORDS = {TYPE_IPV4: 1, TYPE_IPV6: 4, TYPE_PROTOCOL: 1, TYPE_PORT: 1, TYPE_INTERFACE: 4}
# in the set's user data: the byte order of its keys, without which `nft list` cannot print names
_KEY_BYTE_ORDER, _HOST_ORDER = 0, 1

# a register holds 16 bytes; as keys are joined from words of four, the words are registers too
_REGISTER, _WORD = 1, 8
_EQUAL, _NOT_EQUAL = 0, 1
_META_IIFNAME, _META_OIFNAME, _META_L4PROTO = 6, 7, 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_CT_STATE, _CT_STATUS = 0, 2
_IPS_DST_NAT = 1 << 5
_CT_ESTABLISHED, _CT_RELATED = 2, 4
_FIB_ADDRTYPE, _FIB_DADDR, _RTN_LOCAL = 3, 2, 2
_NAT_DNAT = 1
_COUNTER_PACKETS = 2
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT: what `nft list` shows as a comment
_IFNAMSIZ = 16


class Family(Struct, frozen=True):
    """Where a header of that protocol has its addresses, and how long they are, in bytes."""

    number: int
    name: str
    address_type: int
    length: int
    source: int
    destination: int
    loopback: tuple[bytes, int]

    @property
    def words(self) -> int:
        return self.length // 4


IPV4 = Family(NFPROTO_IPV4, "ip", TYPE_IPV4, 4, 12, 16, (bytes((127, 0, 0, 0)), 8))
IPV6 = Family(NFPROTO_IPV6, "ip6", TYPE_IPV6, 16, 8, 24, (bytes(15) + b"\x01", 128))


def message(kind: int, payload: bytes, *, flags: int = 0, family: int, what: str = "") -> Message:
    header = struct.pack(">BBH", family, 0, 0)
    return Message(NFNL_SUBSYS_NFTABLES << 8 | kind, header + payload, flags=flags, what=what)


def body(payload: bytes) -> dict[int, bytes]:
    """The attributes of an answer, behind struct nfgenmsg."""
    return attributes(payload, 4)


# objects ----------------------------------------------------------------------------------------


def new_table(table: str, family: Family = IPV4) -> Message:
    what = f"create nftables table {table}"
    return message(_NEWTABLE, text(1, table), flags=NLM_F_CREATE, family=family.number, what=what)


def delete_table(table: str, family: Family = IPV4) -> Message:
    what = f"delete nftables table {table}"
    return message(_DELTABLE, text(1, table), family=family.number, what=what)


def new_chain(
    table: str, chain: str, kind: str, hook: int, priority: int, family: Family = IPV4
) -> Message:
    """A base chain: the kernel calls it at that hook. Its policy is accept."""
    payload = (
        text(1, table)
        + text(3, chain)
        + nested(4, be32(1, hook), attribute(2, struct.pack(">i", priority)))
        + be32(5, ACCEPT)
        + text(7, kind)
    )
    what = f"create nftables chain {chain}"
    return message(_NEWCHAIN, payload, flags=NLM_F_CREATE, family=family.number, what=what)


def new_set(
    table: str,
    name: str,
    number: int,
    key: tuple[int, ...],
    value: tuple[int, ...] = (),
    *,
    intervals: bool = False,
    family: Family = IPV4,
) -> Message:
    """A set of joined keys, or with `value` a map. `number` names it within its batch."""
    kind = (_SET_IS_MAP if value else 0) | (_SET_IS_INTERVAL if intervals else 0)
    payload = (
        text(1, table)
        + text(2, name)
        + be32(3, kind)
        + be32(4, _joined_type(key))
        + be32(5, _length(key))
        + (be32(6, _joined_type(value)) + be32(7, _length(value)) if value else b"")
        + be32(10, number)
        + (_in_host_order() if TYPE_INTERFACE in key else b"")
    )
    what = f"create nftables {'map' if value else 'set'} {name}"
    return message(_NEWSET, payload, flags=NLM_F_CREATE, family=family.number, what=what)


def _in_host_order() -> bytes:
    return attribute(13, struct.pack("=BBI", _KEY_BYTE_ORDER, 4, _HOST_ORDER))


def _joined_type(parts: tuple[int, ...]) -> int:
    joined = 0
    for part in parts:
        joined = joined << 6 | part
    return joined


def _length(parts: tuple[int, ...]) -> int:
    return 4 * sum(_WORDS[part] for part in parts)


def new_rule(
    table: str, chain: str, comment: str, expressions: Iterable[bytes], family: Family = IPV4
) -> Message:
    noted = comment.encode() + b"\0"
    payload = (
        text(1, table)
        + text(2, chain)
        + nested(4, *expressions)
        + attribute(7, struct.pack("=BB", _COMMENT, len(noted)) + noted)
    )
    flags = NLM_F_CREATE | NLM_F_APPEND
    what = f"add the nftables rule “{comment}”"
    return message(_NEWRULE, payload, flags=flags, family=family.number, what=what)


def element(key: bytes, value: bytes = b"") -> bytes:
    """One element of a set, or with `value` of a map."""
    return nested(1, nested(1, attribute(1, key)), nested(2, attribute(1, value)) if value else b"")


def interval(first: bytes, last: bytes) -> bytes:
    """The two elements of a set of intervals that are one interval; `last` belongs to it."""
    behind = (int.from_bytes(last, "big") + 1) % (1 << 8 * len(last))
    end = b""
    if behind:  # without an end it goes to the last address there is
        key = nested(1, attribute(1, behind.to_bytes(len(last), "big")))
        end = nested(1, key, be32(3, _ELEMENT_ENDS_INTERVAL))
    return element(first) + end


def add_elements(
    table: str, name: str, elements: Iterable[bytes], family: Family = IPV4
) -> Message:
    payload = text(1, table) + text(2, name) + nested(3, *elements)
    what = f"add to {name} of nftables table {table}"
    return message(_NEWSETELEM, payload, flags=NLM_F_CREATE, family=family.number, what=what)


def delete_elements(
    table: str, name: str, elements: Iterable[bytes], family: Family = IPV4
) -> Message:
    payload = text(1, table) + text(2, name) + nested(3, *elements)
    what = f"delete from {name} of nftables table {table}"
    return message(_DELSETELEM, payload, family=family.number, what=what)


# questions --------------------------------------------------------------------------------------


def get_generation() -> Message:
    return message(_GETGEN, b"", family=NFPROTO_UNSPEC, what="ask for the nftables generation")


def generation(payload: bytes) -> int:
    return int.from_bytes(body(payload)[1], "big")


def get_rules(table: str, family: int = NFPROTO_IPV4) -> Message:
    return message(_GETRULE, text(1, table), family=family, what=f"list the rules of {table}")


def rule_name(payload: bytes) -> tuple[str, str]:
    """The chain and the comment of a listed rule; an empty comment when it has none."""
    fields = body(payload)
    return fields[2].rstrip(b"\0").decode(), _comment(fields.get(7, b""))


def rule_packets(payload: bytes) -> int:
    """How many packets a listed rule's counter has seen; -1 when it has none."""
    for _, expression in walk(body(payload).get(4, b"")):
        parts = attributes(expression)
        if parts.get(1) == b"counter\0":
            return int.from_bytes(attributes(parts[2])[_COUNTER_PACKETS], "big")
    return -1


def _comment(userdata: bytes) -> str:
    while len(userdata) >= 2:
        kind, length = userdata[0], userdata[1]
        if kind == _COMMENT:
            return userdata[2 : 2 + length].rstrip(b"\0").decode(errors="replace")
        userdata = userdata[2 + length :]
    return ""


def get_elements(table: str, name: str, family: Family = IPV4) -> Message:
    payload = text(1, table) + text(2, name)
    return message(_GETSETELEM, payload, family=family.number, what=f"list the elements of {name}")


def get_element(table: str, name: str, key: bytes, family: Family = IPV4) -> Message:
    """A look-up: ENOENT when the element does not exist."""
    payload = text(1, table) + text(2, name) + nested(3, element(key))
    return message(_GETSETELEM, payload, family=family.number, what=f"look into {name}")


def listed_elements(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each element in an answer to `get_elements`; no value in a set."""
    for _, listed in walk(body(payload).get(3, b"")):
        parts = attributes(listed)
        value = attributes(parts[2])[1] if 2 in parts else b""
        yield attributes(parts[1])[1], value


def get_chains() -> Message:
    return message(_GETCHAIN, b"", family=NFPROTO_UNSPEC, what="list the nftables chains")


# expressions ------------------------------------------------------------------------------------


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(1, value))


def _compare(value: bytes, operation: int = _EQUAL) -> bytes:
    return _expression("cmp", be32(1, _REGISTER), be32(2, operation), _data(3, value))


def _masked(mask: bytes) -> bytes:
    register, length = be32(1, _REGISTER) + be32(2, _REGISTER), be32(3, len(mask))
    return _expression("bitwise", register, length, _data(4, mask), _data(5, bytes(len(mask))))


def _meta(key: int, register: int = _REGISTER) -> bytes:
    return _expression("meta", be32(1, register), be32(2, key))


def _payload(base: int, offset: int, length: int, register: int = _REGISTER) -> bytes:
    where = be32(2, base) + be32(3, offset) + be32(4, length)
    return _expression("payload", be32(1, register), where)


def _other_interface(key: int, name: str) -> tuple[bytes, ...]:
    return (_meta(key), _compare(name.encode().ljust(_IFNAMSIZ, b"\0"), _NOT_EQUAL))


def comes_in_elsewhere_than(name: str) -> tuple[bytes, ...]:
    return _other_interface(_META_IIFNAME, name)


def goes_out_elsewhere_than(name: str) -> tuple[bytes, ...]:
    return _other_interface(_META_OIFNAME, name)


def interface_key(*names: str) -> bytes:
    """The key of a set of interface names, or of pairs of them."""
    return b"".join(name.encode().ljust(_IFNAMSIZ, b"\0") for name in names)


def comes_in_by_one_of(name: str, number: int) -> tuple[bytes, ...]:
    return (_meta(_META_IIFNAME, _WORD), _lookup(name, number))


def comes_in_by_none_of(name: str, number: int) -> tuple[bytes, ...]:
    return (_meta(_META_IIFNAME, _WORD), _lookup(name, number, inverted=True))


def goes_out_by_one_of(name: str, number: int) -> tuple[bytes, ...]:
    return (_meta(_META_OIFNAME, _WORD), _lookup(name, number))


def goes_out_by_none_of(name: str, number: int) -> tuple[bytes, ...]:
    return (_meta(_META_OIFNAME, _WORD), _lookup(name, number, inverted=True))


def comes_in_and_goes_out_by(name: str, number: int) -> tuple[bytes, ...]:
    """The pair of interfaces is in that set."""
    both = (_meta(_META_IIFNAME, _WORD), _meta(_META_OIFNAME, _WORD + 4))
    return (*both, _lookup(name, number))


def source_in_set(name: str, number: int, family: Family) -> tuple[bytes, ...]:
    load = _payload(_NETWORK_HEADER, family.source, family.length, _WORD)
    return (load, _lookup(name, number))


def destination_in_set(name: str, number: int, family: Family) -> tuple[bytes, ...]:
    load = _payload(_NETWORK_HEADER, family.destination, family.length, _WORD)
    return (load, _lookup(name, number))


def not_for_loopback(family: Family) -> tuple[bytes, ...]:
    """The destination is outside 127.0.0.0/8, or not ::1."""
    network, length = family.loopback
    mask = ((1 << length) - 1 << 8 * len(network) - length).to_bytes(len(network), "big")
    load = _payload(_NETWORK_HEADER, family.destination, family.length)
    reduce = () if length == 8 * len(network) else (_masked(mask),)
    return (load, *reduce, _compare(network, _NOT_EQUAL))


def is_of(protocol: int) -> tuple[bytes, ...]:
    """Of that transport protocol."""
    return (_meta(_META_L4PROTO), _compare(bytes((protocol,))))


def is_not_of(protocol: int) -> tuple[bytes, ...]:
    return (_meta(_META_L4PROTO), _compare(bytes((protocol,)), _NOT_EQUAL))


def transport_byte_is(offset: int, value: int) -> tuple[bytes, ...]:
    """The transport header, or what follows it, has that byte there."""
    return (_payload(_TRANSPORT_HEADER, offset, 1), _compare(bytes((value,))))


def destination_is_this_host() -> tuple[bytes, ...]:
    asked = be32(1, _REGISTER) + be32(2, _FIB_ADDRTYPE) + be32(3, _FIB_DADDR)
    return (_expression("fib", asked), _compare(struct.pack("=I", _RTN_LOCAL)))


def _connection_has(key: int, bits: int) -> tuple[bytes, ...]:
    load = _expression("ct", be32(1, _REGISTER), be32(2, key))
    any_of = _masked(struct.pack("=I", bits))
    return (load, any_of, _compare(bytes(4), _NOT_EQUAL))


def connection_known() -> tuple[bytes, ...]:
    return _connection_has(_CT_STATE, _CT_ESTABLISHED | _CT_RELATED)


def connection_was_published() -> tuple[bytes, ...]:
    """Its destination was rewritten, so the port is published."""
    return _connection_has(_CT_STATUS, _IPS_DST_NAT)


def _protocol_and_port(word: int) -> tuple[bytes, ...]:
    # of any transport: the destination port is at the same place in TCP and UDP, and the
    # protocol is part of the key, so that others never match
    return (_meta(_META_L4PROTO, word), _payload(_TRANSPORT_HEADER, 2, 2, word + 1))


def _address_protocol_and_port(family: Family) -> tuple[bytes, ...]:
    load = _payload(_NETWORK_HEADER, family.destination, family.length, _WORD)
    return (load, *_protocol_and_port(_WORD + family.words))


def _lookup(name: str, number: int, *, into: bool = False, inverted: bool = False) -> bytes:
    target = be32(3, _WORD) if into else b""
    flags = be32(5, _LOOKUP_INVERTED) if inverted else b""
    return _expression("lookup", text(1, name), be32(2, _WORD), target, be32(4, number), flags)


def _to_looked_up(family: Family) -> bytes:
    where = be32(3, _WORD) + be32(5, _WORD + family.words)
    return _expression("nat", be32(1, _NAT_DNAT), be32(2, family.number), where)


def rewrite_by_port(name: str, number: int, family: Family) -> tuple[bytes, ...]:
    """DNAT to what the map of (protocol, port) says; nothing where it has no element."""
    lookup = _lookup(name, number, into=True)
    return (*_protocol_and_port(_WORD), lookup, _to_looked_up(family))


def rewrite_by_address_and_port(name: str, number: int, family: Family) -> tuple[bytes, ...]:
    """DNAT to what the map of (address, protocol, port) says."""
    lookup = _lookup(name, number, into=True)
    return (*_address_protocol_and_port(family), lookup, _to_looked_up(family))


def address_and_port_in(name: str, number: int, family: Family) -> tuple[bytes, ...]:
    return (*_address_protocol_and_port(family), _lookup(name, number))


def counted() -> tuple[bytes, ...]:
    return (_expression("counter"),)


def verdict(code: int) -> tuple[bytes, ...]:
    data = nested(2, nested(2, be32(1, code)))
    return (_expression("immediate", be32(1, 0), data),)


def masquerade() -> tuple[bytes, ...]:
    return (_expression("masq"),)


# the container's own table ----------------------------------------------------------------------

_IPV4_DESTINATION = 16  # in its header


def goes_to(address: bytes, protocol: int, port: int) -> tuple[bytes, ...]:
    """To that IPv4 address and that port of a transport protocol."""
    return (
        _payload(_NETWORK_HEADER, _IPV4_DESTINATION, 4),
        _compare(address),
        _meta(_META_L4PROTO),
        _compare(bytes((protocol,))),
        _payload(_TRANSPORT_HEADER, 2, 2),
        _compare(port.to_bytes(2, "big")),
    )


def rewrite_to(address: bytes, port: int) -> tuple[bytes, ...]:
    """DNAT to that IPv4 address and port."""
    target = be32(1, _NAT_DNAT) + be32(2, NFPROTO_IPV4) + be32(3, _WORD) + be32(5, _WORD + 1)
    return (
        _loaded(_WORD, address),
        _loaded(_WORD + 1, port.to_bytes(2, "big")),
        _expression("nat", target),
    )


def _loaded(register: int, value: bytes) -> bytes:
    return _expression("immediate", be32(1, register), _data(2, value))
