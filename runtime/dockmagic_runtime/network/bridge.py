"""The area's bridge: made when it is missing, told by one round trip when it is there."""

from __future__ import annotations

import errno

from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import Netlink
from dockmagic_runtime.network import rtnl

_IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"


def ensure(linux: Linux, netlink: Netlink, name: str, gateway: str, prefix_length: int) -> None:
    """Afterwards the bridge is up with that address, and the host forwards packets.

    Forwarding is never switched off again, as with Docker: others may rely on it meanwhile.
    """
    if not is_ready(netlink, name, gateway):
        _make(linux, netlink, name, gateway, prefix_length)
    if linux.read_file(_IP_FORWARD).strip() != b"1":
        linux.write_file(_IP_FORWARD, b"1")


def is_ready(netlink: Netlink, name: str, gateway: str) -> bool:
    """Whether the bridge is up and the gateway's address is this host's."""
    missing = (errno.ENODEV, errno.ENETUNREACH, errno.EHOSTUNREACH)
    questions = (rtnl.get_link(name), rtnl.ask_route(gateway))
    answers = netlink.transact(*questions, allow=missing)
    if len(answers) < len(questions):
        return False
    link, route = answers
    return rtnl.as_link(link).is_up and rtnl.is_local(route)


def _make(linux: Linux, netlink: Netlink, name: str, gateway: str, prefix_length: int) -> None:
    # somebody else may be making it at the same time: every step bears that
    netlink.transact(rtnl.add_bridge(name, rtnl.mac_of(gateway)), allow=(errno.EEXIST,))
    made = rtnl.find_link(netlink, name)
    if made is None:
        raise OSError(errno.ENODEV, f"bridge {name} is gone")
    _refuse_router_advertisements(linux, name)
    netlink.transact(
        rtnl.without_link_local(made.index),
        rtnl.add_address(made.index, gateway, prefix_length),
        rtnl.set_up(made.index),
        allow=(errno.EAFNOSUPPORT,),  # a kernel without IPv6 has no link-local addresses either
    )


def _refuse_router_advertisements(linux: Linux, name: str) -> None:
    """A container could make itself this host's IPv6 router otherwise (CVE-2020-13401)."""
    try:
        linux.write_file(f"/proc/sys/net/ipv6/conf/{name}/accept_ra", b"0")
    except FileNotFoundError:
        pass  # a kernel without IPv6 listens to none


def remove(netlink: Netlink, name: str) -> None:
    """Delete it with its address and routes; nothing if there is none."""
    netlink.transact(rtnl.delete_link(name), allow=(errno.ENODEV,))
