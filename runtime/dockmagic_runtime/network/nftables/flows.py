"""The entry of connection tracking for one connection: its answering end, and whether it answered.

Separate from `conntrack`, which every supervisor loads. Numbers of linux/netfilter/
nfnetlink_conntrack.h and nf_conntrack_common.h.
"""

from __future__ import annotations

import errno
import socket
import struct

from msgspec import Struct

from dockmagic_runtime.linux.netlink import Message, Netlink, attribute, attributes, nested, u8
from dockmagic_runtime.network.ipam.pools import family_of, packed

_CT_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_HEADER = struct.Struct(">BBH")  # struct nfgenmsg
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS = 1, 2, 3
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_SRC = {socket.AF_INET: 1, socket.AF_INET6: 3}
_CTA_IP_DST = {socket.AF_INET: 2, socket.AF_INET6: 4}
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_IPS_SEEN_REPLY = 1 << 1
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_NOTHING = (
    errno.ENOENT,
    errno.EINVAL,
    errno.EOPNOTSUPP,
)  # is noted, or the kernel has no connection tracking

SocketAddress = tuple[str, int]  # address and port


class Flow(Struct, frozen=True, kw_only=True):
    """`answers_from` is the translated destination, from which answers come."""

    answers_from: SocketAddress
    is_answered: bool


def find(
    netlink: Netlink, protocol: str, source: SocketAddress, destination: SocketAddress
) -> Flow | None:
    """Of the connection that `source` made to `destination`; None when nothing is noted of it."""
    family = family_of(destination[0])
    question = Message(
        _CT_GET,
        _HEADER.pack(family, 0, 0) + _query(family, protocol, source, destination),
        what=f"look for the flow to {destination[0]}:{destination[1]}",
    )
    answers = netlink.transact(question, allow=_NOTHING)
    return _as_flow(answers[0].payload, family) if answers else None


def _query(
    family: socket.AddressFamily, protocol: str, source: SocketAddress, destination: SocketAddress
) -> bytes:
    return nested(
        _CTA_TUPLE_ORIG,
        nested(
            _CTA_TUPLE_IP,
            attribute(_CTA_IP_SRC[family], packed(source[0])),
            attribute(_CTA_IP_DST[family], packed(destination[0])),
        ),
        nested(
            _CTA_TUPLE_PROTO,
            u8(_CTA_PROTO_NUM, _PROTOCOLS[protocol]),
            attribute(_CTA_PROTO_SRC_PORT, source[1].to_bytes(2, "big")),
            attribute(_CTA_PROTO_DST_PORT, destination[1].to_bytes(2, "big")),
        ),
    )


def _as_flow(payload: bytes, family: socket.AddressFamily) -> Flow:
    fields = attributes(payload, _HEADER.size)
    reply = attributes(fields[_CTA_TUPLE_REPLY])
    address = attributes(reply[_CTA_TUPLE_IP])[_CTA_IP_SRC[family]]
    port = attributes(reply[_CTA_TUPLE_PROTO])[_CTA_PROTO_SRC_PORT]
    status = int.from_bytes(fields.get(_CTA_STATUS, b""), "big")
    return Flow(
        answers_from=(socket.inet_ntop(family, address), int.from_bytes(port, "big")),
        is_answered=bool(status & _IPS_SEEN_REPLY),
    )
