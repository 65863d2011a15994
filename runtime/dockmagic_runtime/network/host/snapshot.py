"""The host's network at one moment: links, addresses, routes and neighbours."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from dockmagic_runtime.model.host_network import HostLink, HostNetwork
from dockmagic_runtime.network.host import decode
from dockmagic_runtime.network.host.library import call

V = TypeVar("V")


def read() -> HostNetwork:
    """All of it, by four requests. Takes milliseconds; the first time pyroute2 is imported."""
    return call(_read)


def _read() -> HostNetwork:
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        links = tuple(netlink.get_links())
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
        return HostNetwork(
            links=_decoded(decode.link, links, names),
            addresses=_decoded(decode.address, netlink.get_addr(), names),
            routes=_decoded(decode.route, netlink.get_routes(), names),
            neighbours=_decoded(decode.neighbour, netlink.get_neighbours(), names),
        )


def traffic(name: str) -> int:
    """The bytes that an interface has sent and received; 0 when there is none of that name."""
    return call(lambda: _traffic(name))


def _traffic(name: str) -> int:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as netlink:
            (message,) = netlink.link("get", ifname=name)
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise
        return 0
    counters = message.get_attr("IFLA_STATS64") or {}
    return int(counters.get("rx_bytes", 0)) + int(counters.get("tx_bytes", 0))


def links() -> tuple[HostLink, ...]:
    """The interfaces alone, with their counters."""
    return call(_links)


def _links() -> tuple[HostLink, ...]:
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        messages = tuple(netlink.get_links())
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in messages}
    return _decoded(decode.link, messages, names)


def _decoded(
    function: Callable[[Any, dict[int, str]], V | None],
    messages: Iterable[Any],
    names: dict[int, str],
) -> tuple[V, ...]:
    values = (function(message, names) for message in messages)
    return tuple(value for value in values if value is not None)
