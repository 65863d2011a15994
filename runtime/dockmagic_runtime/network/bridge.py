"""A network's bridge: created when it is missing; one round trip shows that it is complete."""

from __future__ import annotations

import errno

from msgspec import Struct

from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import Message, Netlink
from dockmagic_runtime.network import rtnl
from dockmagic_runtime.network.requirements import needs_forwarding

_IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_IP6_CONF = "/proc/sys/net/ipv6/conf"


class Bridge(Struct, frozen=True, kw_only=True):
    """The bridge as it should be. `gateway` and `gateway6` are this host's addresses on it.

    The latter may be empty. `mtu` 0 is the kernel's choice. `internal`: the host need not forward.
    """

    name: str
    gateway: str
    prefix_length: int
    gateway6: str = ""
    prefix_length6: int = 0
    mtu: int = 0
    internal: bool = False


def ensure(linux: Linux, netlink: Netlink, wanted: Bridge) -> None:
    """Afterwards the bridge is up with its addresses, and the host forwards packets.

    Forwarding is never switched off again, as with Docker: others may rely on it meanwhile.
    """
    if not wanted.internal:  # first: a host that refuses it keeps no bridge that leads nowhere
        _forward(linux, _IP_FORWARD)
        if wanted.gateway6:
            _forward6(linux)
    if not is_ready(netlink, wanted.name, wanted.gateway):
        _create(linux, netlink, wanted)


def _forward(linux: Linux, path: str) -> None:
    with needs_forwarding(path):
        if linux.read_file(path).strip() != b"1":
            linux.write_file(path, b"1")


def _forward6(linux: Linux) -> None:
    """A host that forwards IPv6 ignores router advertisements, and would lose its own default
    route: so interfaces that accepted them are set to accept them in any case."""
    path = f"{_IP6_CONF}/all/forwarding"
    with needs_forwarding(path):
        if linux.read_file(path).strip() == b"1":
            return
        for name in linux.subdirectories(_IP6_CONF):
            if name not in ("all", "default"):
                _accept_always(linux, f"{_IP6_CONF}/{name}/accept_ra")
        linux.write_file(path, b"1")


def _accept_always(linux: Linux, accepts: str) -> None:
    try:
        if linux.read_file(accepts).strip() == b"1":
            linux.write_file(accepts, b"2")
    except FileNotFoundError:
        pass  # the interface has just gone


def is_ready(netlink: Netlink, name: str, gateway: str) -> bool:
    """Whether the bridge is up and the gateway's address is this host's."""
    missing = (errno.ENODEV, errno.ENETUNREACH, errno.EHOSTUNREACH)
    questions = (rtnl.get_link(name), rtnl.ask_route(gateway))
    answers = netlink.transact(*questions, allow=missing)
    if len(answers) < len(questions):
        return False
    link, route = answers
    return rtnl.as_link(link).is_up and rtnl.is_local(route)


def _create(linux: Linux, netlink: Netlink, wanted: Bridge) -> None:
    # another process may create it at the same time: no step fails for that
    mac = rtnl.mac_of(wanted.gateway)
    was_there = rtnl.find_link(netlink, wanted.name) is not None
    netlink.transact(rtnl.add_bridge(wanted.name, mac, wanted.mtu), allow=(errno.EEXIST,))
    try:
        _set_up(linux, netlink, wanted)
    except OSError:
        if not was_there:
            remove(netlink, wanted.name)
        raise


def _set_up(linux: Linux, netlink: Netlink, wanted: Bridge) -> None:
    link = rtnl.find_link(netlink, wanted.name)
    if link is None:
        raise OSError(errno.ENODEV, f"bridge {wanted.name} is gone")
    _refuse_router_advertisements(linux, wanted.name)
    if wanted.gateway6:
        _set(linux, wanted.name, "disable_ipv6", b"0")
        # a neighbour solicitation needs a source address after its duplicate detection: for two
        # seconds this host would send none, and packets from elsewhere would wait
        _set(linux, wanted.name, "accept_dad", b"0")
    netlink.transact(
        *([] if wanted.gateway6 else [rtnl.without_link_local(link.index)]),
        *_addresses(link.index, wanted),
        rtnl.set_up(link.index),
        allow=(errno.EAFNOSUPPORT,),  # a kernel without IPv6 has no link-local addresses either
    )


def _addresses(index: int, wanted: Bridge) -> list[Message]:
    messages = [rtnl.add_address(index, wanted.gateway, wanted.prefix_length)]
    if wanted.gateway6:
        messages.append(rtnl.add_address(index, wanted.gateway6, wanted.prefix_length6))
    return messages


def _refuse_router_advertisements(linux: Linux, name: str) -> None:
    """A container could make itself this host's IPv6 router otherwise (CVE-2020-13401)."""
    try:
        _set(linux, name, "accept_ra", b"0")
    except OSError:
        # as in a container with a read-only /proc/sys: without IPv6 there are no advertisements
        if linux.read_file(f"{_IP6_CONF}/{name}/disable_ipv6").strip() != b"1":
            raise


def _set(linux: Linux, name: str, key: str, value: bytes) -> None:
    """Set a sysctl of the interface, unless it has the value: /proc/sys may be read-only."""
    path = f"{_IP6_CONF}/{name}/{key}"
    try:
        if linux.read_file(path).strip() != value:
            linux.write_file(path, value)
    except FileNotFoundError:
        pass  # a kernel without IPv6 has nothing to set


def remove(netlink: Netlink, name: str) -> None:
    """Delete the bridge with its addresses and routes, if it exists."""
    netlink.transact(rtnl.delete_link(name), allow=(errno.ENODEV,))
