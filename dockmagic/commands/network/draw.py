"""`dockmagic network draw`: host, bridges and containers, and how they hang together. Ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import layout
from dockmagic_runtime.model.topology import Bridge, Interface, Node, Topology

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network draw",
        usage="[NETWORK]",
        summary="Show host, bridges, containers, addresses and ports, of all networks or one",
        maximum=1,
    )


class Drawn(Result, frozen=True):
    topology: Topology

    def text(self) -> str:
        top = self.topology
        lines = [f"host {top.hostname}"]
        lines += _indented([self._uplink(name, address) for name, address in top.uplinks])
        for bridge in top.bridges:
            inside = ", internal" if bridge.internal else ""
            inside += "" if bridge.exists else ", its bridge does not exist now"
            subnets = ", ".join(filter(None, (bridge.subnet, bridge.subnet6)))
            lines.append(
                f"network {bridge.name} ({bridge.bridge}, {subnets}, "
                f"gateway {bridge.gateway}{inside})"
            )
            lines += _indented([_row(node, end) for node, end in self.members(bridge)])
        return "\n".join([*lines, *self._alone()])

    def _uplink(self, name: str, address: str) -> list[str]:
        routers = [
            router
            for interface, router in self.topology.gateways
            if interface == name and (":" in router) == (":" in address)
        ]
        return [name, address, *([f"gateway {', '.join(routers)}"] if routers else [])]

    def stable(self) -> str:
        """Without addresses and the names of this run's veths."""
        lines = []
        for bridge in self.topology.bridges:
            lines.append(f"network {bridge.name}{' (internal)' if bridge.internal else ''}")
            lines += _indented(
                [[node.name, end.name, _names(end), _ports(node, end)]
                 for node, end in self.members(bridge)]
            )  # fmt: skip
        return "\n".join([*lines, *self._alone()])

    def _alone(self) -> list[str]:
        alone = [[node.name, node.mode] for node in self.topology.nodes if not node.interfaces]
        return ["without a network of their own", *_indented(alone)] if alone else []

    def members(self, bridge: Bridge) -> Iterator[tuple[Node, Interface]]:
        """The containers on a network, each with its interface there."""
        for node in self.topology.nodes:
            if (end := node.on(bridge.name)) is not None:
                yield node, end

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "network": bridge.name,
                "bridge": bridge.bridge,
                "container": node.name,
                "interface": end.name,
                "veth": end.veth,
                "address": end.address,
                "names": ", ".join(end.names),
                "ports": _ports(node, end),
            }
            for bridge in self.topology.bridges
            for node, end in self.members(bridge)
        ]


def _indented(rows: list[list[str]]) -> list[str]:
    return [f"  {line}".rstrip() for line in layout(rows).splitlines()] if rows else []


def _row(node: Node, end: Interface) -> list[str]:
    address = f"{end.address} {end.address6}".strip()
    veth = end.veth if end.is_connected else f"{end.veth} (not in the bridge)"
    return [node.name, f"{end.name} {address}", veth, _names(end), _ports(node, end)]


def _names(end: Interface) -> str:
    return f"names {', '.join(end.names)}" if end.names else ""


def _ports(node: Node, end: Interface) -> str:
    """Of several networks only one leads published ports in."""
    return ports_of(node) if end.is_way_in else ""


def ports_of(node: Node) -> str:
    """`9999 → 80/tcp`, once for all addresses of the host."""
    texts = dict.fromkeys(port_text(*binding) for binding in node.published)
    return ", ".join(texts)


def port_text(host_ip: str, host_port: int, inner: int, protocol: str) -> str:
    if host_ip in ("", "0.0.0.0", "::"):
        return f"{host_port} → {inner}/{protocol}"
    place = f"[{host_ip}]" if ":" in host_ip else host_ip
    return f"{place}:{host_port} → {inner}/{protocol}"


def run(engine: EngineApi, arguments: Arguments) -> Drawn:
    return Drawn(engine.networks.topology(*arguments.words))
