"""From pyroute2's route netlink messages to values. Pure: the messages are passed in."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

from dockmagic_runtime.model.host_network import HostAddress, HostLink, HostRoute, Neighbour

Message = Any  # pyroute2's messages are dictionaries with an attribute look-up, and are not typed

_IFF_UP: Final = 0x1
_MAIN_TABLE: Final = 254
_UNICAST: Final = 1
_DISCARDING: Final = {6: "blackhole", 7: "unreachable", 8: "prohibit"}  # types of routes
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
# linux/neighbour.h; entries without ARP are the kernel's own, as for multicast
_NUD_NOARP: Final = 0x40
_STATES: Final = {
    0x01: "incomplete",
    0x02: "reachable",
    0x04: "stale",
    0x08: "delay",
    0x10: "probe",
    0x20: "failed",
    0x80: "permanent",
}


def link(message: Message, names: Mapping[int, str]) -> HostLink | None:
    """The interface; None for a message that describes only its role as a bridge's port."""
    if message["family"] == socket.AF_BRIDGE:
        return None
    info = message.get_attr("IFLA_LINKINFO")
    counters = message.get_attr("IFLA_STATS64") or {}
    return HostLink(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME") or "",
        kind=(info.get_attr("IFLA_INFO_KIND") or "") if info is not None else "",
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU") or 0,
        is_up=bool(message["flags"] & _IFF_UP),
        has_carrier=bool(message.get_attr("IFLA_CARRIER")),
        bridge=names.get(message.get_attr("IFLA_MASTER") or 0, ""),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        rx_bytes=counters.get("rx_bytes", 0),
        tx_bytes=counters.get("tx_bytes", 0),
        rx_packets=counters.get("rx_packets", 0),
        tx_packets=counters.get("tx_packets", 0),
    )


def address(message: Message, names: Mapping[int, str]) -> HostAddress | None:
    """The address; None for one of an unknown interface, which was removed meanwhile."""
    name = names.get(message["index"])
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if name is None or not text:
        return None
    return HostAddress(interface=name, address=text, prefix_length=message["prefixlen"])


def route(message: Message, names: Mapping[int, str]) -> HostRoute | None:
    """The route; None for one outside the main table, and for multicast and local ones."""
    table = message.get_attr("RTA_TABLE") or message["table"]
    discards = message["type"] in _DISCARDING
    if table != _MAIN_TABLE or message["family"] not in _FAMILIES:
        return None
    if message["type"] != _UNICAST and not discards:
        return None
    nothing = "::" if message["family"] == socket.AF_INET6 else "0.0.0.0"
    gateway, index = _next_hop(message)
    return HostRoute(
        destination=f"{message.get_attr('RTA_DST') or nothing}/{message['dst_len']}",
        gateway=gateway,
        interface="" if discards else names.get(index, ""),
        source=message.get_attr("RTA_PREFSRC") or "",
        metric=message.get_attr("RTA_PRIORITY") or 0,
    )


def _next_hop(message: Message) -> tuple[str, int]:
    """Address of the gateway and index of the interface; of several next hops, the first."""
    hops = message.get_attr("RTA_MULTIPATH")
    if hops:
        return _gateway(hops[0]), hops[0]["oif"]
    return _gateway(message), message.get_attr("RTA_OIF") or 0


def _gateway(message: Message) -> str:
    via = message.get_attr("RTA_VIA") or {}  # of the other family
    return str(message.get_attr("RTA_GATEWAY") or via.get("addr", ""))


def neighbour(message: Message, names: Mapping[int, str]) -> Neighbour | None:
    """The entry; None for a bridge's own table and for the kernel's entries without ARP."""
    name = names.get(message["ifindex"])
    state = message["state"]
    if message["family"] not in _FAMILIES or name is None or state & _NUD_NOARP:
        return None
    return Neighbour(
        interface=name,
        address=message.get_attr("NDA_DST") or "",
        mac=message.get_attr("NDA_LLADDR") or "",
        state=_STATES.get(state, ""),
    )
