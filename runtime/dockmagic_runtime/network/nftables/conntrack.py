"""Connection tracking: forgetting the flows that were led to a container that has ended.

A flow keeps the translation of its first packet for as long as the client goes on sending. UDP has
no end, and clients of SCTP often call from the same port again: without this, the next container
on the port would never see such a client. Numbers of linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable

from dockmagic_runtime.linux.netlink import (
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    u8,
    u32,
)
from dockmagic_runtime.network.ipam.pools import packed
from dockmagic_runtime.network.nftables.ruleset import Published

_CT_GET, _CT_DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_*
_HEADER_SIZE = 4  # of struct nfgenmsg
_LASTING = {"udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_FILTER = 1, 2, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V6_SRC = 1, 3
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_PROTOCOL, _BY_SOURCE_PORT = 1 << 0, 1 << 3, 1 << 4
_NO_FILTER = (errno.EINVAL, errno.EOPNOTSUPP)


def forget(netlink: Netlink, published: Iterable[Published]) -> None:
    """Delete the UDP and SCTP flows whose answers come from these containers' ports."""
    concerned = [one for one in published if one.protocol in _LASTING]
    # where Linux should compare IPv6 addresses for equality it looks whether they differ (6.18)
    one_by_one = [one for one in concerned if ":" in one.address]
    at_once = [one for one in concerned if ":" not in one.address]
    try:
        if at_once:
            netlink.transact(*map(_delete, at_once), allow=(errno.ENOENT,))
    except OSError as error:
        if error.errno not in _NO_FILTER:
            raise
        one_by_one = concerned
    for one in one_by_one:
        _forget_each(netlink, one)


def _forget_each(netlink: Netlink, one: Published) -> None:
    """Also for kernels whose deleting knows no filter, as Linux 6.1: their listing does since 5.8.

    Before that a flow ends with its timeout.
    """
    try:
        flows = netlink.dump(_list(one))
    except OSError as error:
        if error.errno not in _NO_FILTER:
            raise
        return
    found = (attributes(flow.payload, _HEADER_SIZE) for flow in flows)
    messages = [
        Message(
            _CT_DELETE,
            _header(one) + nested(_CTA_TUPLE_ORIG, flow[_CTA_TUPLE_ORIG]),
            what="forget a flow",
        )
        for flow in found
        if _answering(flow) == packed(one.address)
    ]
    if messages:
        netlink.transact(*messages, allow=(errno.ENOENT,))  # it may have ended meanwhile


def _answering(flow: dict[int, bytes]) -> bytes:
    """The address that a flow's answers come from."""
    addresses = attributes(attributes(flow[_CTA_TUPLE_REPLY])[_CTA_TUPLE_IP])
    return addresses.get(_CTA_IP_V4_SRC) or addresses[_CTA_IP_V6_SRC]


def _delete(one: Published) -> Message:
    return Message(_CT_DELETE, _flows(one), what=f"forget flows to {one.address}:{one.port}")


def _list(one: Published) -> Message:
    return Message(_CT_GET, _flows(one), what=f"list flows to {one.address}:{one.port}")


def _header(one: Published) -> bytes:
    family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
    return struct.pack(">BBH", family, 0, 0)


def _flows(one: Published) -> bytes:
    is_ipv6 = ":" in one.address
    source = _CTA_IP_V6_SRC if is_ipv6 else _CTA_IP_V4_SRC
    compared = _BY_PROTOCOL | _BY_SOURCE_PORT | (0 if is_ipv6 else _BY_SOURCE)
    answered_by = nested(
        _CTA_TUPLE_REPLY,
        nested(_CTA_TUPLE_IP, attribute(source, packed(one.address))),
        nested(
            _CTA_TUPLE_PROTO,
            u8(_CTA_PROTO_NUM, _LASTING[one.protocol]),
            attribute(_CTA_PROTO_SRC_PORT, one.port.to_bytes(2, "big")),
        ),
    )
    flags = nested(
        _CTA_FILTER,
        u32(_CTA_FILTER_ORIG_FLAGS, 0),
        u32(_CTA_FILTER_REPLY_FLAGS, compared),
    )
    return _header(one) + answered_by + flags
