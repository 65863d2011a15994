"""Route netlink: the few messages that connect a container to a bridge, and their answers.

Every function returns one `Message`, to be sent in batches. Addresses are texts for callers and
four or sixteen bytes on the wire: a colon shows that the family is IPv6.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from msgspec import Struct

from dockmagic_runtime.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Answer,
    Message,
    Netlink,
    as_text,
    attribute,
    attributes,
    nested,
    text,
    u8,
    u32,
)
from dockmagic_runtime.network.ipam.pools import Block, family_of, packed

# linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR = 20
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26
_RTM_NEWNEIGH = 28
_IFF_UP = 0x1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_OPERSTATE, _IF_OPER_UP = 16, 6
_IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 20, 26, 28
_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE = 8, 1
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_BRPORT_MODE, _IFLA_BRPORT_ISOLATED = 4, 33
_VETH_INFO_PEER = 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_NODAD = 0x2
_NDA_LLADDR, _NUD_NOARP, _NTF_MASTER, _NTF_STICKY = 2, 0x40, 0x04, 0x40
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST, _RTN_LOCAL = 254, 3, 1, 2

_IFINFO = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=8BI")  # family, lengths, tos, table, protocol, scope, type; flags
_SHORT_ATTRIBUTE = struct.Struct("=HHI")  # one with a number
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type

LOOPBACK = 1  # its index, in every network namespace


class Link(Struct, frozen=True):
    """One network interface, as far as a start needs it."""

    index: int
    name: str
    is_up: bool
    is_running: bool  # and it has a carrier: packets are not dropped
    master: int
    alias: str


def mac_of(address: str) -> str:
    """Docker's classic choice: the address below a locally administered prefix.

    The next container with the same address has the same MAC, so no neighbour cache goes stale.
    """
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + socket.inet_aton(address))


def _mac(text_form: str) -> bytes:
    return bytes.fromhex(text_form.replace(":", ""))


def _info(index: int = 0, *, up: bool = False, family: int = socket.AF_UNSPEC) -> bytes:
    flag = _IFF_UP if up else 0
    return _IFINFO.pack(family, 0, index, flag, flag)


def get_link(name: str) -> Message:
    payload = _info() + text(_IFLA_IFNAME, name)
    return Message(_RTM_GETLINK, payload, what=f"look at interface {name}")


def add_bridge(name: str, mac: str, mtu: int = 0) -> Message:
    """A bridge, down, with a MAC of its own: else it has that of a port, which changes."""
    payload = (
        _info()
        + text(_IFLA_IFNAME, name)
        + attribute(_IFLA_ADDRESS, _mac(mac))
        + (u32(_IFLA_MTU, mtu) if mtu else b"")
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"))
    )
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(_RTM_NEWLINK, payload, flags=flags, what=f"create bridge {name}")


def add_veth(
    name: str, bridge: int, peer: str, peer_mac: str, peer_netns: int, mtu: int = 0
) -> Message:
    """A pair in one message: this end in the bridge and up, the other in the namespace.

    The peer cannot be brought up here: the kernel would open it before the pair is complete.
    """
    size = u32(_IFLA_MTU, mtu) if mtu else b""
    peer_info = (
        _info()
        + text(_IFLA_IFNAME, peer)
        + attribute(_IFLA_ADDRESS, _mac(peer_mac))
        + u32(_IFLA_NET_NS_FD, peer_netns)
        + size
    )
    payload = (
        _info(up=True)
        + text(_IFLA_IFNAME, name)
        + u32(_IFLA_MASTER, bridge)
        + size
        + nested(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_KIND, "veth"),
            nested(_IFLA_INFO_DATA, nested(_VETH_INFO_PEER, peer_info)),
        )
    )
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(_RTM_NEWLINK, payload, flags=flags, what=f"create veth pair {name} and {peer}")


def set_port(name: str, alias: str, *, isolated: bool = False) -> Message:
    """Set the alias of a bridge port, and hairpin mode: the bridge may send a packet back by the
    port on which it arrived.

    Hairpin mode matters where bridged packets pass nftables: the packet of a container that calls
    its own published port is then sent back by the bridge itself. An `isolated` port reaches no
    other isolated port, only the bridge.
    """
    payload = (
        _info()
        + text(_IFLA_IFNAME, name)
        + text(_IFLA_IFALIAS, alias)
        + nested(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_SLAVE_KIND, "bridge"),
            nested(
                _IFLA_INFO_SLAVE_DATA,
                u8(_IFLA_BRPORT_MODE, 1),
                u8(_IFLA_BRPORT_ISOLATED, 1) if isolated else b"",
            ),
        )
    )
    return Message(_RTM_NEWLINK, payload, what=f"set up bridge port {name}")


def delete_link(name: str) -> Message:
    payload = _info() + text(_IFLA_IFNAME, name)
    return Message(_RTM_DELLINK, payload, what=f"delete interface {name}")


def set_up(index: int) -> Message:
    return Message(_RTM_NEWLINK, _info(index, up=True), what=f"bring up interface {index}")


def without_link_local(index: int) -> Message:
    """No link-local address when it comes up: a network without IPv6 should have none."""
    mode = u8(_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE)
    payload = _info(index) + nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
    return Message(_RTM_NEWLINK, payload, what=f"keep interface {index} without IPv6")


def add_address(index: int, address: str, prefix_length: int) -> Message:
    """Usable at once: leases are unique, so IPv6 need not detect duplicates."""
    payload = (
        _IFADDR.pack(family_of(address), prefix_length, _no_detection(address), 0, index)
        + attribute(_IFA_LOCAL, packed(address))
        + attribute(_IFA_ADDRESS, packed(address))
        + _broadcast(address, prefix_length)
    )
    flags = NLM_F_CREATE | NLM_F_REPLACE
    what = f"give interface {index} the address {address}/{prefix_length}"
    return Message(_RTM_NEWADDR, payload, flags=flags, what=what)


def _broadcast(address: str, prefix_length: int) -> bytes:
    """The last address of an IPv4 subnet, if there is room for one."""
    if ":" in address or prefix_length > 30:
        return b""
    last = Block.parse(f"{address}/{prefix_length}").network.last
    return attribute(_IFA_BROADCAST, last.to_bytes(4, "big"))


def _no_detection(address: str) -> int:
    return _IFA_F_NODAD if ":" in address else 0


def _default_route(gateway: str, index: int) -> bytes:
    family, oif = family_of(gateway), u32(_RTA_OIF, index) if index else b""
    header = _ROUTE.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, 0, _RTN_UNICAST, 0)
    return header + attribute(_RTA_GATEWAY, packed(gateway)) + oif


def add_default_route(gateway: str, index: int = 0) -> Message:
    """Replaces another default route, if there is one."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    payload = _default_route(gateway, index)
    return Message(_RTM_NEWROUTE, payload, flags=flags, what=f"route everything by {gateway}")


def delete_default_route(gateway: str) -> Message:
    payload = _default_route(gateway, 0)
    return Message(_RTM_DELROUTE, payload, what=f"route no longer everything by {gateway}")


def pin_mac(index: int, mac: str) -> Message:
    """Add a static entry to the bridge's table: `mac` is behind this port.

    A neighbour that sends with this MAC as its source receives no packet of the container by that.
    And a predecessor's namespace may last for some milliseconds with the same address and MAC: no
    packet for the new container is delivered to it.
    """
    payload = _NEIGHBOUR.pack(
        socket.AF_BRIDGE, index, _NUD_NOARP, _NTF_MASTER | _NTF_STICKY, 0
    ) + attribute(_NDA_LLADDR, _mac(mac))
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Message(_RTM_NEWNEIGH, payload, flags=flags, what=f"put {mac} behind port {index}")


def ask_route(address: str) -> Message:
    bits = 8 * len(packed(address))
    payload = _ROUTE.pack(family_of(address), bits, 0, 0, 0, 0, 0, 0, 0) + attribute(
        _RTA_DST, packed(address)
    )
    return Message(_RTM_GETROUTE, payload, what=f"ask for the route to {address}")


def as_link(answer: Answer) -> Link:
    """The interface that an answer to `get_link` describes."""
    _, _, index, flags, _ = _IFINFO.unpack_from(answer.payload)
    fields = attributes(answer.payload, _IFINFO.size)
    master = fields.get(_IFLA_MASTER)
    return Link(
        index=index,
        name=as_text(fields.get(_IFLA_IFNAME, b"")),
        is_up=bool(flags & _IFF_UP),
        is_running=fields.get(_IFLA_OPERSTATE) == bytes((_IF_OPER_UP,)),
        master=struct.unpack("=I", master)[0] if master else 0,
        alias=as_text(fields.get(_IFLA_IFALIAS, b"")),
    )


def find_link(netlink: Netlink, name: str) -> Link | None:
    """The interface of that name in the socket's namespace, or None."""
    answers = netlink.transact(get_link(name), allow=(errno.ENODEV,))
    return as_link(answers[0]) if answers else None


def is_local(answer: Answer) -> bool:
    """Whether an answer to `ask_route` says that the address is one of this host's own."""
    return bool(answer.payload[7] == _RTN_LOCAL)


def routes(netlink: Netlink) -> Iterator[tuple[int, int, int]]:
    """First address, prefix length and interface of the main table's IPv4 routes, without default
    routes. A host may have hundreds: they are read as numbers, without a value for each."""
    empty = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    for answer in netlink.dump(Message(_RTM_GETROUTE, empty, what="list the routes")):
        payload = answer.payload
        if payload[4] != _RT_TABLE_MAIN or not payload[1]:
            continue
        first, index, at = -1, 0, _ROUTE.size
        while at + 8 <= len(payload):
            size, kind, value = _SHORT_ATTRIBUTE.unpack_from(payload, at)
            if kind == _RTA_DST:
                first = int.from_bytes(payload[at + 4 : at + 8], "big")
            elif kind == _RTA_OIF:
                index = value
            at += (size + 3 & ~3) or 4
        if first >= 0:
            yield first, payload[1], index
