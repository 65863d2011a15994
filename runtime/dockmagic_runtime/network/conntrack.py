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

from dockmagic_runtime.linux.netlink import Message, Netlink, attribute, nested, u8, u32
from dockmagic_runtime.network.nft import Published

_CT_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_CTA_TUPLE_REPLY, _CTA_FILTER = 2, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC = 1
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_PROTOCOL, _BY_SOURCE_PORT = 1 << 0, 1 << 3, 1 << 4
# EINVAL: Linux before 5.8 does not filter; its flows end with their timeout
_NOTHING_TO_DO = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP)


def forget(netlink: Netlink, published: Iterable[Published]) -> None:
    """Delete the UDP flows whose answers come from these containers' ports."""
    messages = [_delete(one) for one in published if one.protocol == "udp"]
    if messages:
        netlink.transact(*messages, allow=_NOTHING_TO_DO)


def _delete(one: Published) -> Message:
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
    payload = struct.pack(">BBH", socket.AF_INET, 0, 0) + answered_by + flags
    return Message(_CT_DELETE, payload, what=f"forget UDP flows to {one.address}:{one.port}")
