"""The network's part of a plan: what plugs one container into the bridge.

Carried out by the supervisor, in its own network namespace; only `ConfigureInside` and
`BringUpLoopback` speak through the socket that was made inside the container's. What the kernel
removes with that namespace (the veth pair, the addresses) is not undone by hand, and the bridge
and the table stay: they belong to the area.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from selectors import BaseSelector
from typing import ClassVar

from dockmagic_runtime.linux.constants import CLONE_NEWNET
from dockmagic_runtime.linux.interface import Linux
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.network import bridge, conntrack, nft, records, rtnl
from dockmagic_runtime.network.ports import HeldPort, Wish, hold, release
from dockmagic_runtime.network.proxy import PortProxy
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation

# keys of `Context.resources`
HELD = "held ports"  # list of HeldPort
PORTS = "ports"  # as bound: (host address, host port, container port, protocol)
SERVERS = "servers"  # callables that want the supervisor's selector once the program runs
_PROXY = "port proxy"
NETFILTER = "netfilter"

_LOOKS, _BETWEEN_LOOKS = 200, 0.0005  # at most a tenth of a second


def netfilter(context: Context) -> Netlink:
    """The supervisor's netfilter socket, kept until the process ends.

    Closing one after something was deleted waits for the kernel to finish the deletion, 4 to 50
    ms: nobody should wait for that when a container ends.
    """
    kept: Netlink | None = context.resources.get(NETFILTER)
    if kept is None:
        kept = context.resources[NETFILTER] = Netlink(NETLINK_NETFILTER)
    return kept


class KeptForTheArea(UndoneByKernel):
    """Base of the operations whose effect all containers of the area share: it stays."""

    __slots__ = ()
    undoing: ClassVar[str] = "stays: all containers of the area share it"


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureBridge(KeptForTheArea):
    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWLINK bridge", "RTM_NEWADDR")

    bridge: str
    gateway: str
    prefix_length: int

    def describe(self) -> str:
        return f"make sure that bridge {self.bridge} is up with {self.gateway}/{self.prefix_length}"

    def execute(self, context: Context) -> None:
        with Netlink() as netlink:
            bridge.ensure(context.linux, netlink, self.bridge, self.gateway, self.prefix_length)


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureTable(KeptForTheArea):
    """`run` is the area's run directory: where what others publish is found again."""

    calls: ClassVar[tuple[str, ...]] = ("netlink NFT_MSG_NEWTABLE, NEWCHAIN, NEWRULE, NEWSET",)

    table: str
    bridge: str
    subnet: str
    run: str

    def describe(self) -> str:
        return (
            f"make sure that nftables table {self.table} translates addresses for {self.subnet} "
            f"and keeps strangers off {self.bridge}"
        )

    def execute(self, context: Context) -> None:
        ensure_table(netfilter(context), self.table, self.bridge, self.subnet, self.run)


def ensure_table(netlink: Netlink, table: str, bridge_name: str, subnet: str, run: str) -> bool:
    """Install the table with what all that live have published, unless it is complete."""
    return nft.ensure(netlink, table, bridge_name, subnet, lambda: records.alive(run))


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPorts:
    """`ports` are (host address, host port, container port, protocol) as asked for."""

    calls: ClassVar[tuple[str, ...]] = ("socket", "bind", "listen")
    undoing: ClassVar[str] = "close the sockets"

    ports: tuple[Wish, ...]

    def describe(self) -> str:
        places = ", ".join(f"{_place(ip, port)} ({kind})" for ip, port, _, kind in self.ports)
        return f"hold {places} by a listening socket, so that nobody else can take it"

    def execute(self, context: Context) -> None:
        held = hold(self.ports)
        context.resources[HELD] = held
        context.resources[PORTS] = tuple(
            (one.host_ip, one.host_port, one.container_port, one.protocol) for one in held
        )

    def keep(self, context: Context) -> tuple[list[Wish], tuple[int, ...]]:
        held: list[HeldPort] = context.resources[HELD]
        return list(context.resources[PORTS]), tuple(one.socket.fileno() for one in held)

    def take_over(self, context: Context, value: list[Wish], fds: Sequence[int]) -> None:
        context.resources[PORTS] = tuple(map(tuple, value))
        context.resources[HELD] = [
            HeldPort(*wish, socket.socket(fileno=fd)) for wish, fd in zip(value, fds, strict=True)
        ]

    def undo(self, context: Context) -> None:
        release(context.resources.pop(HELD))
        del context.resources[PORTS]


def _place(ip: str, port: int) -> str:
    return f"{ip or 'all addresses'}:{port}" if port else f"a free port of {ip or 'all addresses'}"


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVeth(UndoneByKernel):
    """`owner` goes into the interface's alias, where `ip link` shows it."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWLINK veth",)

    name: str
    bridge: str
    address: str
    owner: str

    def describe(self) -> str:
        return (
            f"create veth pair {self.name} ⇄ eth0, plug {self.name} into bridge {self.bridge} "
            f"and put eth0 into the container, with MAC {rtnl.mac_of(self.address)}"
        )

    def execute(self, context: Context) -> None:
        with Netlink() as netlink:
            plugged = rtnl.find_link(netlink, self.bridge)
            if plugged is None:
                raise OSError(errno.ENODEV, f"bridge {self.bridge} is gone")
            self._make_way(netlink)
            self._create(netlink, plugged.index, context.netns_fd)

    def _make_way(self, netlink: Netlink) -> None:
        """A namespace ends some milliseconds after its last process: a restart may meet it."""
        old = rtnl.find_link(netlink, self.name)
        if old is not None and old.alias == self.owner:
            netlink.transact(rtnl.delete_link(self.name), allow=(errno.ENODEV,))

    def _create(self, netlink: Netlink, bridge_index: int, netns_fd: int) -> None:
        mac = rtnl.mac_of(self.address)
        netlink.transact(rtnl.add_veth(self.name, bridge_index, "eth0", mac, netns_fd))
        made = rtnl.find_link(netlink, self.name)
        if made is None:
            raise OSError(errno.ENODEV, f"interface {self.name} is gone")
        netlink.transact(rtnl.set_port(self.name, self.owner), rtnl.pin_mac(made.index, mac))


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureInside(UndoneByKernel):
    """A second address of family AF_INET6, and IPv6 left on, come here with IPv6 subnets."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWADDR", "RTM_NEWLINK up", "RTM_NEWROUTE")

    address: str
    prefix_length: int
    gateway: str

    def describe(self) -> str:
        return (
            f"inside: bring up lo, give eth0 {self.address}/{self.prefix_length}, bring it up, "
            f"route everything else by {self.gateway}"
        )

    def execute(self, context: Context) -> None:
        disable_ipv6_inside(context, "eth0")
        with Netlink(descriptor=context.inside_netlink) as netlink:
            eth0 = rtnl.find_link(netlink, "eth0")
            if eth0 is None:
                raise OSError(errno.ENODEV, "the container's eth0 is gone")
            netlink.transact(
                rtnl.set_up(rtnl.LOOPBACK),
                rtnl.add_address(eth0.index, self.address, self.prefix_length),
                rtnl.set_up(eth0.index),
                rtnl.add_default_route(self.gateway),
            )


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitCarrier(UndoneByKernel):
    """A carrier is noticed by a kernel worker some time after both ends are up.

    Until then the bridge's port drops everything, and a first packet that is lost costs TCP a
    second. Asking for the interface makes Linux 6.8 notice it at once; before, we look again.
    """

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_GETLINK",)

    veth: str
    bridge: str

    def describe(self) -> str:
        return f"wait until {self.veth} and {self.bridge} pass packets on"

    def execute(self, context: Context) -> None:
        with Netlink(descriptor=context.inside_netlink) as netlink:
            await_running(netlink, "eth0")
        with Netlink() as netlink:
            await_running(netlink, self.veth)  # first: a bridge has the carrier of its ports
            await_running(netlink, self.bridge)


def await_running(netlink: Netlink, name: str) -> None:
    """Not for ever: it will come up by itself, and a lost packet is not a failed start."""
    for _ in range(_LOOKS):
        link = rtnl.find_link(netlink, name)
        if link is None:
            raise OSError(errno.ENODEV, f"interface {name} is gone")
        if link.is_running:
            return
        time.sleep(_BETWEEN_LOOKS)


def disable_ipv6_inside(context: Context, interface: str) -> None:
    """As Docker does on networks without IPv6: else a neighbour's router advertisement counts.

    There is no netlink message for it, and /proc/sys/net shows the namespace of whoever opens it:
    so this single-threaded process goes there and comes back.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        context.linux.setns(context.netns_fd, CLONE_NEWNET)
        try:
            _write_if_there(
                context.linux, f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", b"1"
            )
        finally:
            context.linux.setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def _write_if_there(linux: Linux, path: str, value: bytes) -> None:
    try:
        linux.write_file(path, value)
    except FileNotFoundError:
        pass  # a kernel without IPv6 has nothing to switch off


@operation
@dataclass(frozen=True, slots=True)
class BringUpLoopback(UndoneByKernel):
    """All there is with `--network none`."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWLINK up",)

    def describe(self) -> str:
        return "inside: bring up lo, and nothing else"

    def execute(self, context: Context) -> None:
        with Netlink(descriptor=context.inside_netlink) as netlink:
            netlink.transact(rtnl.set_up(rtnl.LOOPBACK))


def published(context: Context, address: str) -> tuple[nft.Published, ...]:
    """What the held ports are to netfilter; the IPv6 ones are the proxy's alone."""
    return tuple(
        nft.Published(
            host_ip="" if host_ip == "0.0.0.0" else host_ip,
            host_port=host_port,
            protocol=protocol,
            address=address,
            port=container_port,
        )
        for host_ip, host_port, container_port, protocol in context.resources.get(PORTS, ())
        if ":" not in host_ip
    )


@operation
@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPorts:
    """`run` is the area's run directory, in which the container's own is called `container_id`."""

    calls: ClassVar[tuple[str, ...]] = ("netlink NFT_MSG_NEWSETELEM",)
    undoing: ClassVar[str] = "delete the elements, close the proxy"

    container_id: str
    address: str
    table: str
    bridge: str
    subnet: str
    run: str

    def describe(self) -> str:
        return (
            f"let the held ports lead to {self.address}: elements in the maps of nftables table "
            f"{self.table}, and a proxy for connections from this host to localhost"
        )

    def execute(self, context: Context) -> None:
        wanted = published(context, self.address)
        records.write(self._record, wanted)
        try:
            self._publish(netfilter(context), wanted)
        except BaseException:
            records.remove(self._record)
            raise
        self.take_over(context, None, ())

    def keep(self, context: Context) -> tuple[None, tuple[int, ...]]:
        return None, ()

    def take_over(self, context: Context, value: None, fds: Sequence[int]) -> None:
        context.resources.setdefault(SERVERS, []).append(self._server(context))

    @property
    def _record(self) -> str:
        return f"{self.run}/{self.container_id}"

    def _publish(self, netlink: Netlink, wanted: tuple[nft.Published, ...]) -> None:
        try:
            nft.publish(netlink, self.table, wanted)
        except FileNotFoundError:  # somebody has flushed the rules since `EnsureTable`
            ensure_table(netlink, self.table, self.bridge, self.subnet, self.run)
            nft.publish(netlink, self.table, wanted)

    def _server(self, context: Context) -> Callable[[BaseSelector], None]:
        def serve(selector: BaseSelector) -> None:
            context.resources[_PROXY] = PortProxy(selector, context.resources[HELD], self.address)

        return serve

    def undo(self, context: Context) -> None:
        proxy = context.resources.pop(_PROXY, None)
        if proxy is not None:
            proxy.close()
        taken = published(context, self.address)
        records.remove(self._record)
        nft.unpublish(netfilter(context), self.table, taken)
        conntrack.forget(netfilter(context), taken)
