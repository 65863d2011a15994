"""What hangs together by networks at one moment, and the path of one connection through it."""

from __future__ import annotations

from msgspec import Struct

Published = tuple[str, int, int, str]  # host address, host port, container port, protocol


class Interface(Struct, frozen=True, kw_only=True):
    """One end of a container on one network: `name` inside, `veth` outside.

    `names` are those under which its neighbours find it; none on the default network.
    `is_way_in`: published ports lead to it, and so does the container's default route.
    `is_connected`: its veth is a port of the network's bridge, as it should be.
    """

    network: str
    name: str
    veth: str
    address: str
    address6: str = ""
    mac: str = ""
    names: tuple[str, ...] = ()
    is_way_in: bool = False
    is_connected: bool = True


class Node(Struct, frozen=True, kw_only=True):
    """One container that runs. Without interfaces `mode` says why: host, none or container:NAME."""

    id: str
    name: str
    mode: str
    interfaces: tuple[Interface, ...] = ()
    published: tuple[Published, ...] = ()

    def on(self, network: str) -> Interface | None:
        return next((item for item in self.interfaces if item.network == network), None)


class Bridge(Struct, frozen=True, kw_only=True):
    """One network and its bridge, which does not exist on the host between a reboot and the next
    start of a container there."""

    id: str
    name: str
    bridge: str
    subnet: str
    gateway: str
    subnet6: str = ""
    internal: bool = False
    exists: bool = True


class Topology(Struct, frozen=True, kw_only=True):
    """`uplinks` are the host's own interfaces with an address each, as CIDR; `gateways` are the
    interfaces of its default routes, with the address of the router each."""

    hostname: str
    uplinks: tuple[tuple[str, str], ...]
    bridges: tuple[Bridge, ...]
    nodes: tuple[Node, ...]
    gateways: tuple[tuple[str, str], ...] = ()


class Hop(Struct, frozen=True, kw_only=True):
    """One station of a connection.

    `kind` is "client", "proxy", "rule", "bridge", "veth", "interface", "process" or "answer";
    `what` is the same from run to run, `detail` has the addresses and names of this one. `rule`
    says in two lines where nftables has it, and what of its map has matched. `before` and `after`
    are the counter of a rule in packets, or of a veth in bytes, -1 where nothing is counted.
    """

    kind: str
    what: str
    detail: str = ""
    rule: str = ""
    before: int = -1
    after: int = -1

    @property
    def counted(self) -> int:
        return self.after - self.before


class Route(Struct, frozen=True, kw_only=True):
    """One way to a port of a container, as the probe that was sent to `address` found it.

    `name` is what a sentence calls the place, the same from run to run. `way` is "translated"
    (nftables), "proxy" (the supervisor's port proxy) or "direct". `failure` says why the probe was
    not taken, and is empty when it was.
    """

    name: str
    address: str
    way: str
    hops: tuple[Hop, ...]
    failure: str = ""

    @property
    def answered(self) -> bool:
        return not self.failure


class Trace(Struct, frozen=True, kw_only=True):
    """The ways to what was asked for, each with a probe of its own.

    The first is that of `target` itself. Where the proxy serves it and a rule leads to the same
    port by an address of this host, that way is the second. `remark` says why it is so.
    """

    target: str
    port: int
    protocol: str
    container: str
    routes: tuple[Route, ...]
    remark: str = ""

    @property
    def answered(self) -> bool:
        """Whether the probe that was asked for was taken."""
        return self.routes[0].answered
