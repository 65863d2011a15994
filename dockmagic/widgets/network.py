"""Networks as a picture: the host on the left, its bridges, the containers on the right.

The picture is an SVG without scripts: `currentColor` and half transparent colours read on light
and on dark pages. A green line is the way of a published port, from the host's edge into the
container. Where a viewer takes SVG away, the table is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from dockmagic.commands.network.draw import Drawn, port_text
from dockmagic.widgets.frame import sheet
from dockmagic.widgets.html import BLUE, GREEN, NET, Markup, details, note, table, tag
from dockmagic.widgets.sanitize import plain
from dockmagic.widgets.svg import GAP, Box, number, picture
from dockmagic_runtime.model.topology import Bridge, Node

_HOST, _BRIDGE, _NODE = (10, 200), (310, 200), (620, 270)  # left edge and width of each column


def drawn(result: Drawn, *, deterministic: bool) -> Markup:
    if not (result.topology.bridges or result.topology.nodes):
        return note("no networks are in use, and no container runs")
    shown = _table(result, deterministic=deterministic)
    if deterministic:
        return shown
    return sheet(_picture(result), details("As a table", shown))


def _table(result: Drawn, *, deterministic: bool) -> Markup:
    addresses = ["bridge", "veth", "address"]
    headings = ["network", "container", "interface", "names", "ports"]
    rows = result.rows()
    wanted = headings if deterministic else [*headings, *addresses]
    shown = [[plain(str(row[key])) for key in wanted] for row in rows]
    alone = [
        [plain(node.mode), plain(node.name), *[""] * (len(wanted) - 2)]
        for node in result.topology.nodes
        if not node.interfaces
    ]
    return table(wanted, [*shown, *alone])


def _picture(result: Drawn) -> Markup:
    top = result.topology
    nodes = {item.id: box for item, box in _nodes(result)}
    bridges = dict(_bridges(result, nodes))
    host = _host(result)
    bottom = max(box.top + box.height for box in (host, *nodes.values(), *bridges.values()))
    edges = [
        edge for bridge in top.bridges for edge in _edges(result, bridge, host, bridges, nodes)
    ]
    boxes = [box.draw() for box in (host, *bridges.values(), *nodes.values())]
    return picture("Networks of this host", bottom + GAP / 2, [*edges, *boxes])


def _ordered(result: Drawn) -> Iterator[Node]:
    """By their first network, so that few lines cross; those without one last."""
    order = {bridge.name: number for number, bridge in enumerate(result.topology.bridges)}
    last = len(order)
    yield from sorted(
        result.topology.nodes,
        key=lambda node: (
            order.get(node.interfaces[0].network, last) if node.interfaces else last + 1,
            node.name,
        ),
    )


def _nodes(result: Drawn) -> Iterator[tuple[Node, Box]]:
    top = float(GAP) / 2
    for node in _ordered(result):
        box = Box(*_NODE, top, GREEN, dashed=not node.interfaces)
        box.lines.append(("", node.name if node.interfaces else f"{node.name}: {node.mode}"))
        for end in node.interfaces:
            box.lines.append((end.network, f"{end.name} {end.address}  ⇄ {end.veth}"))
            if end.address6:
                box.lines.append(("", end.address6))
            aliases = [name for name in end.names if name != node.name]
            if aliases:
                box.lines.append(("", f"also named {', '.join(aliases)}"))
        box.lines += [("", text) for text in dict.fromkeys(port_text(*o) for o in node.published)]
        top += box.height + GAP
        yield node, box


def _bridges(result: Drawn, nodes: dict[str, Box]) -> Iterator[tuple[str, Box]]:
    """Each as near to the middle of its containers as the one above lets it be."""
    top = float(GAP) / 2
    for bridge in result.topology.bridges:
        box = Box(*_BRIDGE, top, NET, dashed=bridge.internal)
        inside = " (internal)" if bridge.internal else ""
        shown = (f"{bridge.name}{inside}", bridge.bridge, bridge.subnet, bridge.subnet6,
                f"gateway {bridge.gateway}")  # fmt: skip
        box.lines = [("", text) for text in shown if text]
        middles = [nodes[node.id].at(bridge.name) for node, _ in result.members(bridge)]
        if middles:
            box.top = max(top, sum(middles) / len(middles) - box.height / 2)
        top = box.top + box.height + GAP
        yield bridge.name, box


def _host(result: Drawn) -> Box:
    box = Box(*_HOST, GAP / 2, BLUE)
    box.lines = [("", result.topology.hostname)]
    box.lines += [("", f"{name}  {address}") for name, address in result.topology.uplinks]
    numbers = count()
    for node in result.topology.nodes:
        for text in _ports(node):
            box.lines.append((f"port {next(numbers)}", text))
    return box


def _ports(node: Node) -> list[str]:
    return list(dict.fromkeys(f"{port_text(*item)} {node.name}" for item in node.published))


def _edges(
    result: Drawn,
    bridge: Bridge,
    host: Box,
    bridges: dict[str, Box],
    nodes: dict[str, Box],
) -> Iterator[Markup]:
    box = bridges[bridge.name]
    if not bridge.internal:
        yield _curve(host.right, host.middle, box.left, box.middle, "currentColor", ".35")
    numbers = count()
    for node in result.topology.nodes:
        for _ in _ports(node):
            name = f"port {next(numbers)}"
            if (end := node.on(bridge.name)) and end.is_way_in:
                yield _curve(host.right, host.at(name), box.left, box.middle, GREEN, ".9")
    for node, end in result.members(bridge):
        is_used = bool(node.published) and end.is_way_in
        color, opacity = (GREEN, ".9") if is_used else ("currentColor", ".5")
        target = nodes[node.id]
        yield _curve(box.right, box.middle, target.left, target.at(bridge.name), color, opacity)


def _curve(x1: float, y1: float, x2: float, y2: float, color: str, opacity: str) -> Markup:
    points = ((x1 + x2) / 2, y1, (x1 + x2) / 2, y2, x2, y2)
    path = f"M{number(x1)} {number(y1)} C{' '.join(map(number, points))}"
    return tag("path", d=path, fill="none", stroke=color, stroke_width="1.6", opacity=opacity)
