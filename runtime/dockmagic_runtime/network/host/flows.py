"""The entry of connection tracking for one connection: its translation, and whether it answered."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from msgspec import Struct

from dockmagic_runtime.network.host.library import call
from dockmagic_runtime.network.ipam.pools import family_of

_IPS_SEEN_REPLY: Final = 1 << 1  # linux/netfilter/nf_conntrack_common.h
_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
# no entry, or a kernel without connection tracking
_NOTHING: Final = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)

SocketAddress = tuple[str, int]  # address and port


class Flow(Struct, frozen=True, kw_only=True):
    """`answers_from` is the translated destination, from which answers come."""

    answers_from: SocketAddress
    is_answered: bool


def find(protocol: str, source: SocketAddress, destination: SocketAddress) -> Flow | None:
    """The flow of the connection from `source` to `destination`; None when there is no entry."""
    try:
        return call(lambda: _find(protocol, source, destination))
    except OSError as error:
        if error.errno not in _NOTHING:
            raise
        return None


def _find(protocol: str, source: SocketAddress, destination: SocketAddress) -> Flow | None:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

    family = family_of(destination[0])
    original = NFCTAttrTuple(
        family=family,
        saddr=source[0],
        daddr=destination[0],
        proto=_PROTOCOLS[protocol],
        sport=source[1],
        dport=destination[1],
    )
    with NFCTSocket(nfgen_family=family) as netlink:
        answers = netlink.entry("get", tuple_orig=original)
    return next((_as_flow(answer) for answer in answers if _is_entry(answer)), None)


def _is_entry(answer: Any) -> bool:
    return any(name == "CTA_TUPLE_REPLY" for name, *_ in answer["attrs"])


def _as_flow(answer: Any) -> Flow:
    reply = answer.get_attr("CTA_TUPLE_REPLY")
    addresses, ports = reply.get_attr("CTA_TUPLE_IP"), reply.get_attr("CTA_TUPLE_PROTO")
    address = addresses.get_attr("CTA_IP_V4_SRC") or addresses.get_attr("CTA_IP_V6_SRC")
    return Flow(
        answers_from=(address, ports.get_attr("CTA_PROTO_SRC_PORT")),
        is_answered=bool((answer.get_attr("CTA_STATUS") or 0) & _IPS_SEEN_REPLY),
    )
