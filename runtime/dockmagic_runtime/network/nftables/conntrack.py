"""Connection tracking: deletes the flows to the published ports of a container that has ended.

A flow keeps the translation of its first packet for as long as the client goes on sending. UDP has
no end, and clients of SCTP often connect from the same port again: without this, the next container
with the port would never receive the packets of such a client.

Numbers of linux/netfilter/nfnetlink_conntrack.h.
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
from dockmagic_runtime.network.nftables.published_ports import Published

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
    """Delete the UDP and SCTP flows with answers from these containers' ports."""
    concerned = [port for port in published if port.protocol in _LASTING]
    # Linux compares IPv6 addresses of a filter for difference instead of equality (6.18)
    one_by_one = [port for port in concerned if ":" in port.address]
    at_once = [port for port in concerned if ":" not in port.address]
    try:
        if at_once:
            netlink.transact(*map(_delete, at_once), allow=(errno.ENOENT,))
    except OSError as error:
        if error.errno not in _NO_FILTER:
            raise
        one_by_one = concerned
    for port in one_by_one:
        _forget_each(netlink, port)


def _forget_each(netlink: Netlink, port: Published) -> None:
    """List the flows and delete each: for kernels without a filter for deletion, as Linux 6.1.

    Listing has a filter since 5.8; before, a flow ends with its timeout.
    """
    try:
        flows = netlink.dump(_list(port))
    except OSError as error:
        if error.errno not in _NO_FILTER:
            raise
        return
    parsed = (attributes(flow.payload, _HEADER_SIZE) for flow in flows)
    messages = [
        Message(
            _CT_DELETE,
            _header(port) + nested(_CTA_TUPLE_ORIG, flow[_CTA_TUPLE_ORIG]),
            what="forget a flow",
        )
        for flow in parsed
        if _answering(flow) == packed(port.address)
    ]
    if messages:
        netlink.transact(*messages, allow=(errno.ENOENT,))  # it may have ended meanwhile


def _answering(flow: dict[int, bytes]) -> bytes:
    """The address that a flow's answers come from."""
    addresses = attributes(attributes(flow[_CTA_TUPLE_REPLY])[_CTA_TUPLE_IP])
    return addresses.get(_CTA_IP_V4_SRC) or addresses[_CTA_IP_V6_SRC]


def _delete(port: Published) -> Message:
    return Message(_CT_DELETE, _flows(port), what=f"forget flows to {port.address}:{port.port}")


def _list(port: Published) -> Message:
    return Message(_CT_GET, _flows(port), what=f"list flows to {port.address}:{port.port}")


def _header(port: Published) -> bytes:
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    return struct.pack(">BBH", family, 0, 0)


def _flows(port: Published) -> bytes:
    is_ipv6 = ":" in port.address
    source = _CTA_IP_V6_SRC if is_ipv6 else _CTA_IP_V4_SRC
    compared = _BY_PROTOCOL | _BY_SOURCE_PORT | (0 if is_ipv6 else _BY_SOURCE)
    answered_by = nested(
        _CTA_TUPLE_REPLY,
        nested(_CTA_TUPLE_IP, attribute(source, packed(port.address))),
        nested(
            _CTA_TUPLE_PROTO,
            u8(_CTA_PROTO_NUM, _LASTING[port.protocol]),
            attribute(_CTA_PROTO_SRC_PORT, port.port.to_bytes(2, "big")),
        ),
    )
    flags = nested(
        _CTA_FILTER,
        u32(_CTA_FILTER_ORIG_FLAGS, 0),
        u32(_CTA_FILTER_REPLY_FLAGS, compared),
    )
    return _header(port) + answered_by + flags
