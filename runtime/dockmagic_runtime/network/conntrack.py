"""Connection tracking: forgetting the UDP flows that were led to a container that has ended.

A flow keeps the translation of its first packet for as long as the client goes on sending, and
UDP has no end: without this, the next container on the port would never see that client. Numbers
of linux/netfilter/nfnetlink_conntrack.h.
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
from dockmagic_runtime.network.nft import Published

_CT_GET, _CT_DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_*
_HEADER = struct.pack(">BBH", socket.AF_INET, 0, 0)  # struct nfgenmsg
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_FILTER = 1, 2, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC = 1
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_PROTOCOL, _BY_SOURCE_PORT = 1 << 0, 1 << 3, 1 << 4
_NO_FILTER = (errno.EINVAL, errno.EOPNOTSUPP)


def forget(netlink: Netlink, published: Iterable[Published]) -> None:
    """Delete the UDP flows whose answers come from these containers' ports."""
    concerned = [one for one in published if one.protocol == "udp"]
    if not concerned:
        return
    try:
        netlink.transact(*map(_delete, concerned), allow=(errno.ENOENT,))
    except OSError as error:
        if error.errno not in _NO_FILTER:
            raise
        for one in concerned:
            _forget_each(netlink, one)


def _forget_each(netlink: Netlink, one: Published) -> None:
    """For kernels whose deleting knows no filter, as Linux 6.1: their listing does since 5.8.

    Before that a flow ends with its timeout.
    """
    try:
        flows = netlink.dump(_list(one))
    except OSError as error:
        if error.errno not in _NO_FILTER:
            raise
        return
    asked = (attributes(flow.payload, len(_HEADER)).get(_CTA_TUPLE_ORIG, b"") for flow in flows)
    messages = [
        Message(_CT_DELETE, _HEADER + nested(_CTA_TUPLE_ORIG, tuple_), what="forget a UDP flow")
        for tuple_ in asked
    ]
    if messages:
        netlink.transact(*messages, allow=(errno.ENOENT,))  # it may have ended meanwhile


def _delete(one: Published) -> Message:
    return Message(_CT_DELETE, _flows(one), what=f"forget UDP flows to {one.address}:{one.port}")


def _list(one: Published) -> Message:
    return Message(_CT_GET, _flows(one), what=f"list UDP flows to {one.address}:{one.port}")


def _flows(one: Published) -> bytes:
    answered_by = nested(
        _CTA_TUPLE_REPLY,
        nested(_CTA_TUPLE_IP, attribute(_CTA_IP_V4_SRC, socket.inet_aton(one.address))),
        nested(
            _CTA_TUPLE_PROTO,
            u8(_CTA_PROTO_NUM, socket.IPPROTO_UDP),
            attribute(_CTA_PROTO_SRC_PORT, one.port.to_bytes(2, "big")),
        ),
    )
    flags = nested(
        _CTA_FILTER,
        u32(_CTA_FILTER_ORIG_FLAGS, 0),
        u32(_CTA_FILTER_REPLY_FLAGS, _BY_SOURCE | _BY_PROTOCOL | _BY_SOURCE_PORT),
    )
    return _HEADER + answered_by + flags
