"""The operations on the host that connect a container: bridges, rules, and published ports.

The start process executes them, in the host's network namespace. Bridges and the table stay: all
containers share them. What belongs to one container is in `endpoint_operations`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from msgspec import Struct

from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.linux.netlink import NETLINK_NETFILTER, Netlink
from dockmagic_runtime.network import bridge, network_config, published_ports_file
from dockmagic_runtime.network.nftables import published_ports, ruleset
from dockmagic_runtime.network.nftables.bridge_config import BridgeConfig
from dockmagic_runtime.network.nftables.published_ports import Published
from dockmagic_runtime.network.nftables.wire import IPV6
from dockmagic_runtime.network.port_proxy.held_ports import (
    Bound,
    HeldPort,
    PortRequest,
    hold,
    release,
)
from dockmagic_runtime.network.requirements import needs_nftables
from dockmagic_runtime.sandbox.operation import Context, UndoneByKernel, operation
from dockmagic_runtime.sandbox.slots import Slot

if TYPE_CHECKING:
    from dockmagic_runtime.linux.event_loop import EventLoop


class ServingPorts(Protocol):
    """What serves published ports on loopback, from when the program runs."""

    def close(self) -> None: ...


HELD: Final = Slot[list[HeldPort]]("held ports")
PORTS: Final = Slot[tuple[Bound, ...]]("ports as bound")
FETCHED: Final = Slot[list[HeldPort]]("held ports, from the proxy of a supervisor that was killed")
TAKEN: Final = Slot[list[str]]("why ports are not held: other processes have taken them")
SERVERS: Final = Slot["list[Callable[[EventLoop], None]]"]("to be served once the program runs")
PROXY: Final = Slot[ServingPorts]("what serves the ports, to be closed at the end")
NETFILTER: Final = Slot[Netlink]("netfilter socket")


def netfilter(context: Context) -> Netlink:
    """The supervisor's netfilter socket, kept until the process ends.

    Closing one after something was deleted waits for the kernel to finish the deletion, 4 to 50
    ms, by which the end of a container would be delayed.
    """
    kept = NETFILTER.get(context.slots)
    if kept is None:
        kept = NETFILTER.put(context.slots, Netlink(NETLINK_NETFILTER))
    return kept


class KeptForDataRoot(UndoneByKernel, frozen=True):
    """Base of the operations with an effect that all containers share: it stays."""

    undoing: ClassVar[str] = "stays: all containers of the area share it"


@operation
class EnsureBridge(KeptForDataRoot, frozen=True, kw_only=True):
    """The fields are those of `bridge.Bridge`."""

    calls: ClassVar[tuple[str, ...]] = ("netlink RTM_NEWLINK bridge", "RTM_NEWADDR")

    bridge: str
    gateway: str
    prefix_length: int
    gateway6: str = ""
    prefix_length6: int = 0
    mtu: int = 0
    internal: bool = False

    def describe(self) -> str:
        also = f" and {self.gateway6}/{self.prefix_length6}" if self.gateway6 else ""
        return (
            f"make sure that bridge {self.bridge} is up with "
            f"{self.gateway}/{self.prefix_length}{also}"
        )

    def execute(self, context: Context) -> None:
        wanted = bridge.Bridge(
            name=self.bridge,
            gateway=self.gateway,
            prefix_length=self.prefix_length,
            gateway6=self.gateway6,
            prefix_length6=self.prefix_length6,
            mtu=self.mtu,
            internal=self.internal,
        )
        with Netlink() as netlink:
            bridge.ensure(context.linux, netlink, wanted)


@operation
class EnsureTable(KeptForDataRoot, frozen=True, kw_only=True):
    """The fields from `bridge` on are those of a `BridgeConfig`.

    `run` is the area's run directory, where what others publish is found again, and `networks`
    its directory of networks.
    """

    calls: ClassVar[tuple[str, ...]] = ("netlink NFT_MSG_NEWTABLE, NEWCHAIN, NEWRULE, NEWSET",)

    table: str
    run: str
    networks: str
    bridge: str
    subnet: str
    subnet6: str = ""
    internal: bool = False
    icc: bool = True
    masquerade: bool = True

    def describe(self) -> str:
        return (
            f"make sure that nftables table {self.table} translates addresses for {self.subnet} "
            f"and keeps strangers off {self.bridge}"
        )

    @property
    def config(self) -> BridgeConfig:
        return BridgeConfig(
            bridge=self.bridge,
            subnet=self.subnet,
            subnet6=self.subnet6,
            internal=self.internal,
            icc=self.icc,
            masquerade=self.masquerade,
        )

    def execute(self, context: Context) -> None:
        with needs_nftables():
            netlink = netfilter(context)
        ensure_table(netlink, self.table, self.config, self.networks, self.run)


def ensure_table(netlink: Netlink, table: str, own: BridgeConfig, networks: str, run: str) -> bool:
    """Install the table with all networks and all ports of running containers, unless it is
    complete and has this network. Returns whether it was installed."""
    with needs_nftables():
        return ruleset.ensure(
            netlink,
            table,
            own,
            lambda: network_config.everything(networks),
            lambda: published_ports_file.alive(run),
        )


@operation
class HoldPorts(Struct, frozen=True, kw_only=True):
    """`ports` are (host address, host port, container port, protocol) as asked for; of a range
    also the last host port. `run` is the directory of all run directories: a container that lost
    its supervisor keeps its ports, although no process holds them."""

    calls: ClassVar[tuple[str, ...]] = ("socket", "bind", "listen")
    undoing: ClassVar[str] = "close the sockets"

    ports: tuple[PortRequest, ...]
    run: str = ""

    def describe(self) -> str:
        addresses = ", ".join(
            f"{_format(ip, port, *last)} ({kind})" for ip, port, _, kind, *last in self.ports
        )
        return f"hold {addresses} by a listening socket, so that no other program can take it"

    def execute(self, context: Context) -> None:
        unattended = tuple(published_ports_file.unattended(self.run)) if self.run else ()
        held = hold(self.ports, partial(_is_among, unattended))
        HELD.put(context.slots, held)
        PORTS.put(context.slots, tuple(map(_bound, held)))

    def resume(self, context: Context) -> None:
        """Hold the ports again: those of `FETCHED` are held by the proxy process that was found.

        A port that another program has by now stays its own: nftables leads other hosts to the
        container all the same, only loopback does not.
        """
        held = FETCHED.take(context.slots) or []
        known = {(port.host_ip, port.host_port, port.protocol) for port in held}
        for request in self.ports:
            if (request[0], request[1], request[3]) in known:
                continue
            try:
                held += hold((request,))
            except DockmagicError as error:
                TAKEN.setdefault(context.slots, []).append(str(error))
        HELD.put(context.slots, held)
        PORTS.put(context.slots, tuple((port[0], port[1], port[2], port[3]) for port in self.ports))

    def keep(self, context: Context) -> tuple[tuple[list[Bound], list[Bound]], tuple[int, ...]]:
        held = HELD.require(context.slots)
        ports = list(PORTS.require(context.slots))
        return (ports, list(map(_bound, held))), tuple(port.socket.fileno() for port in held)

    def take_over(
        self, context: Context, value: tuple[list[Bound], list[Bound]], fds: Sequence[int]
    ) -> None:
        ports, bound = value
        sockets = (socket.socket(fileno=fd) for fd in fds)
        held = [HeldPort(*port, listener) for port, listener in zip(bound, sockets, strict=True)]
        PORTS.put(context.slots, tuple((port[0], port[1], port[2], port[3]) for port in ports))
        HELD.put(context.slots, held)

    def undo(self, context: Context) -> None:
        release(HELD.take(context.slots) or ())
        PORTS.take(context.slots)


def _bound(held: HeldPort) -> Bound:
    return held.host_ip, held.host_port, held.container_port, held.protocol


def _is_among(those: Sequence[Published], ip: str, port: int, protocol: str) -> bool:
    """Whether one of them has the port, at that address or at one that overlaps it."""
    return any(
        (known.host_port, known.protocol) == (port, protocol)
        and (known.family is IPV6) == (":" in ip)
        and (known.host_ip in ("", ip) or ip in ("0.0.0.0", "::"))
        for known in those
    )


def _format(ip: str, port: int, last: int = 0) -> str:
    where = ip or "all addresses"
    if last > port:
        return f"a free port from {port} to {last} of {where}"
    return f"{where}:{port}" if port else f"a free port of {where}"


def published(context: Context, address: str, address6: str) -> tuple[Published, ...]:
    """The held ports as elements of the rules. Without an IPv6 address of the container, the proxy
    alone serves those of IPv6."""
    return tuple(
        Published(
            host_ip="" if host_ip in ("0.0.0.0", "::") else host_ip,
            host_port=host_port,
            protocol=protocol,
            address=address6 if ":" in host_ip else address,
            port=container_port,
        )
        for host_ip, host_port, container_port, protocol in (PORTS.get(context.slots) or ())
        if ":" not in host_ip or address6
    )


@operation
class PublishPorts(Struct, frozen=True, kw_only=True):
    """`run` is the directory of all run directories; the container's is called `container_id`."""

    calls: ClassVar[tuple[str, ...]] = ("netlink NFT_MSG_NEWSETELEM",)
    undoing: ClassVar[str] = "delete the elements, close the proxy"

    container_id: str
    address: str
    table: str
    run: str
    address6: str = ""

    def describe(self) -> str:
        return (
            f"let the held ports lead to {self.address}: elements in the maps of nftables table "
            f"{self.table}, and a proxy for connections from this host to localhost"
        )

    def execute(self, context: Context) -> None:
        wanted = published(context, self.address, self.address6)
        published_ports_file.write(self._record, wanted)
        try:
            self._publish(netfilter(context), wanted)
        except BaseException:
            published_ports_file.remove(self._record)
            raise
        self.take_over(context, None, ())

    def resume(self, context: Context) -> None:
        self.take_over(context, None, ())

    def keep(self, context: Context) -> tuple[None, tuple[int, ...]]:
        return None, ()

    def take_over(self, context: Context, value: None, fds: Sequence[int]) -> None:
        SERVERS.setdefault(context.slots, []).append(self._server(context))

    @property
    def _record(self) -> str:
        return f"{self.run}/{self.container_id}"

    def _publish(self, netlink: Netlink, wanted: tuple[Published, ...]) -> None:
        try:
            published_ports.publish(netlink, self.table, wanted)
        except FileNotFoundError:
            # the rules were flushed since `EnsureTable`: the proxy serves alone until the next
            # repair, which reads the file written above
            pass

    def _server(self, context: Context) -> Callable[[EventLoop], None]:
        # imported by the launcher ahead of time; one that plans a start has no use for it
        from dockmagic_runtime.network.port_proxy.proxy import PortProxy

        def serve(loop: EventLoop) -> None:
            PROXY.put(context.slots, PortProxy(loop, HELD.require(context.slots), self.address))

        return serve

    def undo(self, context: Context) -> None:
        proxy = PROXY.take(context.slots)
        if proxy is not None:
            proxy.close()
        taken = published(context, self.address, self.address6)
        published_ports_file.remove(self._record)
        published_ports.unpublish(netfilter(context), self.table, taken)
        from dockmagic_runtime.network.nftables import conntrack  # as above

        conntrack.forget(netfilter(context), taken)
