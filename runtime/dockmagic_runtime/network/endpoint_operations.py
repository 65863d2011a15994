"""The operations for one container on one network: the veth pair, the configuration of its inner
end, and the container's endpoint file.

Changes inside are sent over a netlink socket that was created in the container's namespace. What
the kernel removes with that namespace (the veth pair, the addresses) is not undone by hand.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from dockmagic_runtime.linux.constants import CLONE_NEWNET
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import Message, Netlink
from dockmagic_runtime.network import endpoints, rtnl
from dockmagic_runtime.network.requirements import needs_sysctl
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation

_ATTEMPTS, _INTERVAL = 200, 0.0005  # seconds; at most a tenth of a second in all


@operation
class CreateVeth(UndoneByKernel, frozen=True, kw_only=True):
    """`owner` becomes the interface's alias, which `ip link` shows. Without a `mac` one is derived
    from the address. `isolated`: neighbours on the bridge do not reach the container."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWLINK veth",)

    name: str
    bridge: str
    address: str
    owner: str
    interface: str = "eth0"
    mac: str = ""
    mtu: int = 0
    isolated: bool = False

    def describe(self) -> str:
        return (
            f"create veth pair {self.name} ⇄ {self.interface}, plug {self.name} into bridge "
            f"{self.bridge} and put {self.interface} into the container, with MAC {self._mac}"
        )

    @property
    def _mac(self) -> str:
        return self.mac or rtnl.mac_of(self.address)

    def execute(self, context: Context) -> None:
        with Netlink() as netlink:
            bridge = rtnl.find_link(netlink, self.bridge)
            if bridge is None:
                raise OSError(errno.ENODEV, f"bridge {self.bridge} is gone")
            self._remove_old(netlink)
            self._create(netlink, bridge.index, context.netns_fd)

    def _remove_old(self, netlink: Netlink) -> None:
        """A namespace ends some milliseconds after its last process: on a restart the old veth may
        still exist."""
        old = rtnl.find_link(netlink, self.name)
        if old is not None and old.alias == self.owner:
            netlink.transact(rtnl.delete_link(self.name), allow=(errno.ENODEV,))

    def _create(self, netlink: Netlink, bridge_index: int, netns_fd: int) -> None:
        mac = self._mac
        pair = rtnl.add_veth(self.name, bridge_index, self.interface, mac, netns_fd, self.mtu)
        netlink.transact(pair)
        link = rtnl.find_link(netlink, self.name)
        if link is None:
            raise OSError(errno.ENODEV, f"interface {self.name} is gone")
        isolated = self.isolated and not _rules_see_bridged_packets()
        port = rtnl.set_port(self.name, self.owner, isolated=isolated)
        netlink.transact(port, rtnl.pin_mac(link.index, mac))


def _rules_see_bridged_packets() -> bool:
    """Whether bridged packets pass nftables: then its rules keep neighbours apart.

    An isolated port would block published ports too: a packet that is translated while it crosses
    the bridge is bridged, and not sent by the host.
    """
    return all(
        _is_on(f"/proc/sys/net/bridge/bridge-nf-call-{name}tables") for name in ("ip", "ip6")
    )


def _is_on(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read().strip() == b"1"
    except FileNotFoundError:
        return False  # br_netfilter is not loaded


@operation
class ConfigureInside(UndoneByKernel, frozen=True, kw_only=True):
    """Without a gateway, only the network itself is reached by this interface.

    `link_local` are further addresses, in 169.254.0.0/16 or fe80::/64.
    """

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWADDR", "RTM_NEWLINK up", "RTM_NEWROUTE")

    address: str
    prefix_length: int
    gateway: str
    interface: str = "eth0"
    address6: str = ""
    prefix_length6: int = 0
    gateway6: str = ""
    link_local: tuple[str, ...] = ()

    def describe(self) -> str:
        addresses = f"{self.address}/{self.prefix_length}"
        addresses += f" and {self.address6}/{self.prefix_length6}" if self.address6 else ""
        addresses += "".join(f" and {address}" for address in self.link_local)
        gateways = " and ".join(filter(None, (self.gateway, self.gateway6)))
        route = f", route everything else by {gateways}" if gateways else ""
        return f"bring up lo inside, give {self.interface} {addresses}, bring it up{route}"

    def execute(self, context: Context) -> None:
        has_ipv6 = bool(self.address6) or any(":" in address for address in self.link_local)
        set_ipv6_inside(context, self.interface, on=has_ipv6)
        with Netlink(descriptor=context.inside_netlink) as netlink:
            link = rtnl.find_link(netlink, self.interface)
            if link is None:
                raise OSError(errno.ENODEV, f"the container's {self.interface} is gone")
            netlink.transact(
                rtnl.set_up(rtnl.LOOPBACK), *self._addresses(link.index), rtnl.set_up(link.index)
            )
            routes = [rtnl.add_default_route(gateway, link.index) for gateway in self._gateways]
            if routes:
                netlink.transact(*routes)

    @property
    def _gateways(self) -> list[str]:
        return [gateway for gateway in (self.gateway, self.gateway6) if gateway]

    def _addresses(self, index: int) -> list[Message]:
        messages = [rtnl.add_address(index, self.address, self.prefix_length)]
        if self.address6:
            messages.append(rtnl.add_address(index, self.address6, self.prefix_length6))
        for address in self.link_local:
            messages.append(rtnl.add_address(index, address, 64 if ":" in address else 16))
        return messages


@operation
class AwaitCarrier(UndoneByKernel, frozen=True, kw_only=True):
    """Waits for the carrier, which a kernel worker notices some time after both ends are up.

    Until then the bridge's port drops everything, and a first packet that is lost costs TCP a
    second. Reading the interface makes Linux 6.8 notice it at once; before, it is polled.
    """

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_GETLINK",)

    veth: str
    bridge: str
    interface: str = "eth0"

    def describe(self) -> str:
        return f"wait until {self.veth} and {self.bridge} pass packets on"

    def execute(self, context: Context) -> None:
        with Netlink(descriptor=context.inside_netlink) as netlink:
            await_running(netlink, self.interface)
        with Netlink() as netlink:
            await_running(netlink, self.veth)  # first: a bridge has its ports' carrier
            await_running(netlink, self.bridge)


def await_running(netlink: Netlink, name: str) -> None:
    """Wait, with a limit: the carrier comes by itself, and a lost packet is no failed start."""
    for _ in range(_ATTEMPTS):
        link = rtnl.find_link(netlink, name)
        if link is None:
            raise OSError(errno.ENODEV, f"interface {name} is gone")
        if link.is_running:
            return
        time.sleep(_INTERVAL)


def set_ipv6_inside(context: Context, interface: str, *, on: bool) -> None:
    """Switch IPv6 on or off in the container. As in Docker it is off on networks without IPv6: else
    a neighbour could configure the container by router advertisements.

    There is no netlink message for it, and /proc/sys/net shows the namespace of the process that
    opens it: so this process, which has one thread, enters the namespace and returns.
    """
    conf = f"/proc/sys/net/ipv6/conf/{interface}"
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        context.linux.setns(context.netns_fd, CLONE_NEWNET)
        try:
            if on:  # its only router is the bridge
                _write_if_there(context.linux, f"{conf}/accept_ra", b"0")
            _write_if_there(context.linux, f"{conf}/disable_ipv6", b"0" if on else b"1")
        finally:
            context.linux.setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def _write_if_there(linux: Linux, path: str, value: bytes) -> None:
    try:
        with needs_sysctl(path):
            linux.write_file(path, value)
    except FileNotFoundError:
        pass  # a kernel without IPv6 has nothing to switch off


@operation
class BringUpLoopback(UndoneByKernel, frozen=True):
    """The whole network configuration of `--network none`."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWLINK up",)

    def describe(self) -> str:
        return "bring up lo inside, and nothing else"

    def execute(self, context: Context) -> None:
        with Netlink(descriptor=context.inside_netlink) as netlink:
            netlink.transact(rtnl.set_up(rtnl.LOOPBACK))


@operation
class RegisterEndpoint(Struct, frozen=True, kw_only=True):
    """Writes the endpoint file, from which the DNS servers of the neighbours read names.

    `networks` is the data root's directory of networks; `directory` is the container's, where a
    changed name is kept.
    """

    calls: ClassVar[tuple[str, ...]] = ("open", "rename")
    undoing: ClassVar[str] = "delete the file"

    networks: str
    network_id: str
    container_id: str
    directory: str
    name: str
    aliases: tuple[str, ...]
    ipv4: str
    ipv6: str
    hostname: str
    network: str = ""
    internal: bool = False
    links: tuple[tuple[str, str], ...] = ()  # names for this container alone, and their targets

    def describe(self) -> str:
        return f"let network {self.network_id[:12]} know {self.name} at {self.ipv4}"

    def execute(self, context: Context) -> None:
        entry = endpoints.NetworkEndpoint(
            name=_current_name(self.directory) or self.name,
            aliases=self.aliases,
            ipv4=self.ipv4,
            ipv6=self.ipv6,
            short_id=self.container_id[:12],
            hostname=self.hostname,
            network=self.network,
            internal=self.internal,
            links=dict(self.links),
        )
        endpoints.write(self.networks, self.network_id, self.container_id, entry)

    def resume(self, context: Context) -> None:
        """The file of the start is kept: on a full disk it could not be written again."""
        if not endpoints.is_known(self.networks, self.network_id, self.container_id):
            self.execute(context)

    def keep(self, context: Context) -> tuple[None, tuple[int, ...]]:
        return None, ()

    def take_over(self, context: Context, value: None, fds: Sequence[int]) -> None:
        """Nothing: the file is all there is."""

    def undo(self, context: Context) -> None:
        endpoints.remove(self.networks, self.network_id, self.container_id)


def _current_name(directory: str) -> str:
    try:
        with open(f"{directory}/name", encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


@operation
class RemoveVeth(UndoneByKernel, frozen=True):
    """Disconnects a running container: deleting one end of a veth pair deletes the other."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_DELLINK",)

    name: str

    def describe(self) -> str:
        return f"delete veth {self.name} with its other end in the container"

    def execute(self, context: Context) -> None:
        with Netlink() as netlink:
            netlink.transact(rtnl.delete_link(self.name), allow=(errno.ENODEV,))


@operation
class RouteBy(UndoneByKernel, frozen=True, kw_only=True):
    """Replaces the default routes of a running container, after a change of its networks.

    Without a gateway the route is deleted.
    """

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWROUTE",)

    gateway: str
    gateway6: str = ""
    before: str = ""
    before6: str = ""

    def describe(self) -> str:
        where = " and ".join(filter(None, (self.gateway, self.gateway6))) or "nowhere"
        return f"route everything else inside by {where}"

    def execute(self, context: Context) -> None:
        with Netlink(descriptor=context.inside_netlink) as netlink:
            for now, then in ((self.gateway, self.before), (self.gateway6, self.before6)):
                if now:
                    netlink.transact(rtnl.add_default_route(now))
                elif then:
                    gone = (errno.ESRCH, errno.ENETUNREACH, errno.ENODEV)
                    netlink.transact(rtnl.delete_default_route(then), allow=gone)
