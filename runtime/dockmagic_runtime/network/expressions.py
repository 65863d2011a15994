"""nftables over netlink: the wire form of tables, chains, sets, rules and their expressions.

A rule is a list of expressions over registers: load something, compare it, act. What a rule means
is said in `nft.py`; here is only how the kernel wants it written. The tests read every rule back
through the `nft` program. Numbers are those of linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

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
NFPROTO_UNSPEC, NFPROTO_INET, NFPROTO_IPV4 = 0, 1, 2

(
    _NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _DELCHAIN, _NEWRULE, _GETRULE,
    _DELRULE, _NEWSET, _GETSET, _DELSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM, _NEWGEN, _GETGEN,
) = range(17)  # fmt: skip

HOOK_PREROUTING, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = 0, 2, 3, 4
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
DROP, ACCEPT = 0, 1
_SET_IS_MAP = 0x8
# of nft's own numbering, so that `nft list` knows how to print a key; six bits each when joined
TYPE_IPV4, TYPE_PROTOCOL, TYPE_PORT = 7, 12, 13

# a register holds 16 bytes; as keys are joined from words of four, the words are registers too
_REGISTER, _WORD = 1, 8
_EQUAL, _NOT_EQUAL = 0, 1
_META_IIFNAME, _META_OIFNAME, _META_L4PROTO = 6, 7, 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_SOURCE_OFFSET, _DESTINATION_OFFSET = 12, 16  # in the IPv4 header
_CT_STATE, _CT_STATUS = 0, 2
_IPS_DST_NAT = 1 << 5
_CT_ESTABLISHED, _CT_RELATED = 2, 4
_FIB_ADDRTYPE, _FIB_DADDR, _RTN_LOCAL = 3, 2, 2
_NAT_DNAT = 1
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT: what `nft list` shows as a comment
_IFNAMSIZ = 16


def message(kind: int, payload: bytes, *, flags: int = 0, family: int, what: str = "") -> Message:
    header = struct.pack(">BBH", family, 0, 0)
    return Message(NFNL_SUBSYS_NFTABLES << 8 | kind, header + payload, flags=flags, what=what)


def body(payload: bytes) -> dict[int, bytes]:
    """The attributes of an answer, behind struct nfgenmsg."""
    return attributes(payload, 4)


# objects, all of family ip --------------------------------------------------------------------


def new_table(table: str) -> Message:
    what = f"create nftables table {table}"
    return message(_NEWTABLE, text(1, table), flags=NLM_F_CREATE, family=NFPROTO_IPV4, what=what)


def delete_table(table: str) -> Message:
    what = f"delete nftables table {table}"
    return message(_DELTABLE, text(1, table), family=NFPROTO_IPV4, what=what)


def new_chain(table: str, chain: str, kind: str, hook: int, priority: int) -> Message:
    """A base chain: the kernel calls it at that hook. Its policy is accept."""
    payload = (
        text(1, table)
        + text(3, chain)
        + nested(4, be32(1, hook), attribute(2, struct.pack(">i", priority)))
        + be32(5, ACCEPT)
        + text(7, kind)
    )
    what = f"create nftables chain {chain}"
    return message(_NEWCHAIN, payload, flags=NLM_F_CREATE, family=NFPROTO_IPV4, what=what)


def new_set(
    table: str, name: str, number: int, key: tuple[int, ...], value: tuple[int, ...] = ()
) -> Message:
    """A set of joined keys, or with `value` a map. `number` names it within its batch."""
    payload = (
        text(1, table)
        + text(2, name)
        + be32(3, _SET_IS_MAP if value else 0)
        + be32(4, _joined_type(key))
        + be32(5, 4 * len(key))
        + (be32(6, _joined_type(value)) + be32(7, 4 * len(value)) if value else b"")
        + be32(10, number)
    )
    what = f"create nftables {'map' if value else 'set'} {name}"
    return message(_NEWSET, payload, flags=NLM_F_CREATE, family=NFPROTO_IPV4, what=what)


def _joined_type(parts: tuple[int, ...]) -> int:
    joined = 0
    for part in parts:
        joined = joined << 6 | part
    return joined


def new_rule(table: str, chain: str, comment: str, expressions: Iterable[bytes]) -> Message:
    noted = comment.encode() + b"\0"
    payload = (
        text(1, table)
        + text(2, chain)
        + nested(4, *expressions)
        + attribute(7, struct.pack("=BB", _COMMENT, len(noted)) + noted)
    )
    flags = NLM_F_CREATE | NLM_F_APPEND
    what = f"add the nftables rule “{comment}”"
    return message(_NEWRULE, payload, flags=flags, family=NFPROTO_IPV4, what=what)


def element(key: bytes, value: bytes = b"") -> bytes:
    """One element of a set, or with `value` of a map."""
    return nested(1, nested(1, attribute(1, key)), nested(2, attribute(1, value)) if value else b"")


def add_elements(table: str, name: str, elements: Iterable[bytes]) -> Message:
    payload = text(1, table) + text(2, name) + nested(3, *elements)
    what = f"add to {name} of nftables table {table}"
    return message(_NEWSETELEM, payload, flags=NLM_F_CREATE, family=NFPROTO_IPV4, what=what)


def delete_elements(table: str, name: str, elements: Iterable[bytes]) -> Message:
    payload = text(1, table) + text(2, name) + nested(3, *elements)
    what = f"delete from {name} of nftables table {table}"
    return message(_DELSETELEM, payload, family=NFPROTO_IPV4, what=what)


# questions --------------------------------------------------------------------------------------


def get_generation() -> Message:
    return message(_GETGEN, b"", family=NFPROTO_UNSPEC, what="ask for the nftables generation")


def generation(payload: bytes) -> int:
    return int.from_bytes(body(payload)[1], "big")


def get_rules(table: str, family: int = NFPROTO_IPV4) -> Message:
    return message(_GETRULE, text(1, table), family=family, what=f"list the rules of {table}")


def rule_place(payload: bytes) -> tuple[str, str]:
    """The chain and the comment of a listed rule; an empty comment when it has none."""
    found = body(payload)
    return found[2].rstrip(b"\0").decode(), _comment(found.get(7, b""))


def _comment(userdata: bytes) -> str:
    while len(userdata) >= 2:
        kind, length = userdata[0], userdata[1]
        if kind == _COMMENT:
            return userdata[2 : 2 + length].rstrip(b"\0").decode(errors="replace")
        userdata = userdata[2 + length :]
    return ""


def get_elements(table: str, name: str) -> Message:
    payload = text(1, table) + text(2, name)
    return message(_GETSETELEM, payload, family=NFPROTO_IPV4, what=f"list the elements of {name}")


def listed_elements(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each element in an answer to `get_elements`; no value in a set."""
    for _, one in walk(body(payload).get(3, b"")):
        parts = attributes(one)
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


def _interface(key: int, name: str, operation: int) -> tuple[bytes, ...]:
    return (_meta(key), _compare(name.encode().ljust(_IFNAMSIZ, b"\0"), operation))


def comes_in_by(name: str) -> tuple[bytes, ...]:
    return _interface(_META_IIFNAME, name, _EQUAL)


def comes_in_elsewhere_than(name: str) -> tuple[bytes, ...]:
    return _interface(_META_IIFNAME, name, _NOT_EQUAL)


def goes_out_by(name: str) -> tuple[bytes, ...]:
    return _interface(_META_OIFNAME, name, _EQUAL)


def goes_out_elsewhere_than(name: str) -> tuple[bytes, ...]:
    return _interface(_META_OIFNAME, name, _NOT_EQUAL)


def _in_subnet(offset: int, network: bytes, length: int, operation: int) -> tuple[bytes, ...]:
    mask = (0xFFFF_FFFF << 32 - length & 0xFFFF_FFFF).to_bytes(4, "big")
    load = _payload(_NETWORK_HEADER, offset, 4)
    reduce = () if length == 32 else (_masked(mask),)
    within = bytes(a & b for a, b in zip(network, mask, strict=True))
    return (load, *reduce, _compare(within, operation))


def source_in(network: bytes, length: int) -> tuple[bytes, ...]:
    """The source is in that IPv4 network, of any prefix length from 0 to 32."""
    return _in_subnet(_SOURCE_OFFSET, network, length, _EQUAL)


def destination_in(network: bytes, length: int) -> tuple[bytes, ...]:
    return _in_subnet(_DESTINATION_OFFSET, network, length, _EQUAL)


def destination_outside(network: bytes, length: int) -> tuple[bytes, ...]:
    return _in_subnet(_DESTINATION_OFFSET, network, length, _NOT_EQUAL)


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
    """Its destination was rewritten, so somebody published the port."""
    return _connection_has(_CT_STATUS, _IPS_DST_NAT)


def _protocol_and_port(word: int) -> tuple[bytes, ...]:
    # of any transport: the destination port is at the same place in TCP and UDP, and the
    # protocol is part of the key, so that others never match
    return (_meta(_META_L4PROTO, word), _payload(_TRANSPORT_HEADER, 2, 2, word + 1))


def _address_protocol_and_port() -> tuple[bytes, ...]:
    load = _payload(_NETWORK_HEADER, _DESTINATION_OFFSET, 4, _WORD)
    return (load, *_protocol_and_port(_WORD + 1))


def _lookup(name: str, number: int, *, into: bool) -> bytes:
    target = be32(3, _WORD) if into else b""
    return _expression("lookup", text(1, name), be32(2, _WORD), target, be32(4, number))


def _to_looked_up() -> bytes:
    where = be32(3, _WORD) + be32(5, _WORD + 1)
    return _expression("nat", be32(1, _NAT_DNAT), be32(2, NFPROTO_IPV4), where)


def rewrite_by_port(name: str, number: int) -> tuple[bytes, ...]:
    """DNAT to what the map of (protocol, port) says; nothing where it has no element."""
    return (*_protocol_and_port(_WORD), _lookup(name, number, into=True), _to_looked_up())


def rewrite_by_address_and_port(name: str, number: int) -> tuple[bytes, ...]:
    """DNAT to what the map of (address, protocol, port) says."""
    return (*_address_protocol_and_port(), _lookup(name, number, into=True), _to_looked_up())


def address_and_port_in(name: str, number: int) -> tuple[bytes, ...]:
    return (*_address_protocol_and_port(), _lookup(name, number, into=False))


def counted() -> tuple[bytes, ...]:
    return (_expression("counter"),)


def verdict(code: int) -> tuple[bytes, ...]:
    data = nested(2, nested(2, be32(1, code)))
    return (_expression("immediate", be32(1, 0), data),)


def masquerade() -> tuple[bytes, ...]:
    return (_expression("masq"),)
