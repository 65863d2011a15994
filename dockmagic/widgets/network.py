"""Networks as a picture: the host on the left, its bridges, the containers on the right.

The picture is an SVG without scripts: `currentColor` and half transparent colours read on light
and on dark pages. A green line is the way of a published port, from the host's edge into the
container. Where a viewer takes SVG away, the table is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from dockmagic.commands.network_draw import Drawn, port_text
from dockmagic.commands.network_trace import Traced, counter
from dockmagic.widgets.html import (
    BLUE,
    GREEN,
    LEFT,
    ORANGE,
    RED,
    Markup,
    badge,
    details,
    join,
    note,
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.untrusted import plain
from dockmagic_runtime.model.topology import Bridge, Hop, Interface, Node, Trace

_WIDTH = 900
_HOST, _BRIDGE, _NODE = (10, 200), (310, 200), (620, 270)  # left edge and width of each column
_LINE, _PAD, _GAP = 17, 8, 18  # pixels: a line of text, around it, between two boxes
_LETTERS = 6.3  # width of one, about
_FONT = "12px sans-serif"


@dataclass(slots=True)
class _Box:
    """A rectangle with lines of text, and the middle of each line by its name."""

    left: float
    width: float
    top: float
    color: str
    lines: list[tuple[str, str]] = field(default_factory=list)  # name and text
    dashed: bool = False

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + 2 * _PAD

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def middle(self) -> float:
        return self.top + self.height / 2

    def at(self, name: str) -> float:
        """The height at which a line of that name is met."""
        number = next(n for n, (one, _) in enumerate(self.lines) if one == name)
        return self.top + _PAD + (number + 0.5) * _LINE

    def draw(self) -> Markup:
        frame = tag(
            "rect", x=_n(self.left), y=_n(self.top), width=_n(self.width), height=_n(self.height),
            rx="6", fill=self.color, fill_opacity=".12", stroke=self.color,
            **({"stroke_dasharray": "5 3"} if self.dashed else {}),
        )  # fmt: skip
        texts = [
            _text(text, self.left + _PAD, self.top + _PAD + number * _LINE + 13, self.width,
                  strong=number == 0)
            for number, (_, text) in enumerate(self.lines)
        ]  # fmt: skip
        return tag("g", frame, *texts)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _text(text: str, x: float, y: float, room: float, *, strong: bool = False) -> Markup:
    whole = plain(text)
    most = int((room - 2 * _PAD) / _LETTERS)
    shown = whole if len(whole) <= most else f"{whole[: most - 1]}…"
    weight = {"font_weight": "bold"} if strong else {"opacity": ".85"}
    title = tag("title", whole) if shown != whole else ""
    return tag("text", title, shown, x=_n(x), y=_n(y), fill="currentColor", **weight)


# ------------------------------------------------------------------ the whole


def drawn(result: Drawn, *, deterministic: bool) -> Markup:
    if not (result.topology.bridges or result.topology.nodes):
        return note("no networks are in use, and no container runs")
    shown = _table(result, deterministic=deterministic)
    if deterministic:
        return shown
    return join([_picture(result), details("As a table", shown)])


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
    nodes = {one.id: box for one, box in _nodes(result)}
    bridges = dict(_bridges(result, nodes))
    host = _host(result)
    bottom = max(box.top + box.height for box in (host, *nodes.values(), *bridges.values()))
    edges = [
        edge for bridge in top.bridges for edge in _edges(result, bridge, host, bridges, nodes)
    ]
    boxes = [box.draw() for box in (host, *bridges.values(), *nodes.values())]
    return _svg("Networks of this host", bottom + _GAP / 2, [*edges, *boxes])


def _svg(label: str, height: float, parts: list[Markup]) -> Markup:
    return tag(
        "svg", *parts,
        xmlns="http://www.w3.org/2000/svg", role="img", aria_label=label,
        viewBox=f"0 0 {_WIDTH} {_n(height)}",
        style=f"width:100%;max-width:{_WIDTH}px;height:auto;{LEFT};font:{_FONT}",
    )  # fmt: skip


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


def _nodes(result: Drawn) -> Iterator[tuple[Node, _Box]]:
    top = float(_GAP) / 2
    for node in _ordered(result):
        box = _Box(*_NODE, top, BLUE, dashed=not node.interfaces)
        box.lines.append(("", node.name if node.interfaces else f"{node.name}: {node.mode}"))
        for end in node.interfaces:
            box.lines.append((end.network, f"{end.name} {end.address}  ⇄ {end.veth}"))
            if end.address6:
                box.lines.append(("", end.address6))
            aliases = [name for name in end.names if name != node.name]
            if aliases:
                box.lines.append(("", f"also named {', '.join(aliases)}"))
        box.lines += [("", text) for text in dict.fromkeys(port_text(*o) for o in node.published)]
        top += box.height + _GAP
        yield node, box


def _bridges(result: Drawn, nodes: dict[str, _Box]) -> Iterator[tuple[str, _Box]]:
    """Each as near to the middle of its containers as the one above lets it be."""
    top = float(_GAP) / 2
    for bridge in result.topology.bridges:
        box = _Box(*_BRIDGE, top, ORANGE, dashed=bridge.internal)
        inside = " (internal)" if bridge.internal else ""
        box.lines = [("", f"{bridge.name}{inside}"), ("", bridge.bridge), ("", bridge.subnet),
                     ("", f"gateway {bridge.gateway}")]  # fmt: skip
        middles = [nodes[node.id].at(bridge.name) for node, _ in result.members(bridge)]
        if middles:
            box.top = max(top, sum(middles) / len(middles) - box.height / 2)
        top = box.top + box.height + _GAP
        yield bridge.name, box


def _host(result: Drawn) -> _Box:
    box = _Box(*_HOST, _GAP / 2, GREEN)
    box.lines = [("", result.topology.hostname)]
    box.lines += [("", f"{name}  {address}") for name, address in result.topology.uplinks]
    numbers = count()
    for node in result.topology.nodes:
        for text in _ports(node):
            box.lines.append((f"port {next(numbers)}", text))
    return box


def _ports(node: Node) -> list[str]:
    return list(dict.fromkeys(f"{port_text(*one)} {node.name}" for one in node.published))


def _edges(
    result: Drawn,
    bridge: Bridge,
    host: _Box,
    bridges: dict[str, _Box],
    nodes: dict[str, _Box],
) -> Iterator[Markup]:
    box = bridges[bridge.name]
    if not bridge.internal:
        yield _curve(host.right, host.middle, box.left, box.middle, "currentColor", ".35")
    numbers = count()
    for node in result.topology.nodes:
        for _ in _ports(node):
            name = f"port {next(numbers)}"
            if node.interfaces and _way_in(node).network == bridge.name:
                yield _curve(host.right, host.at(name), box.left, box.middle, GREEN, ".9")
    for node, end in result.members(bridge):
        is_way_in = bool(node.published) and end == _way_in(node)
        color, opacity = (GREEN, ".9") if is_way_in else ("currentColor", ".5")
        target = nodes[node.id]
        yield _curve(box.right, box.middle, target.left, target.at(bridge.name), color, opacity)


def _way_in(node: Node) -> Interface:
    return node.interfaces[0]


def _curve(x1: float, y1: float, x2: float, y2: float, color: str, opacity: str) -> Markup:
    half = (x1 + x2) / 2
    path = f"M{_n(x1)} {_n(y1)} C{_n(half)} {_n(y1)} {_n(half)} {_n(y2)} {_n(x2)} {_n(y2)}"
    return tag("path", d=path, fill="none", stroke=color, stroke_width="1.6", opacity=opacity)


# ------------------------------------------------------------------ one path

_KINDS = {
    "client": GREEN, "proxy": RED, "rule": RED, "bridge": ORANGE, "veth": ORANGE,
    "interface": BLUE, "process": BLUE,
}  # fmt: skip
_STATION, _STEP = 640, 34


def traced(result: Traced, *, deterministic: bool) -> Markup:
    trace = result.trace
    color = GREEN if trace.answered else RED
    head = tag("div", badge("answered" if trace.answered else "no answer", color), " ",
               plain(result.verdict))  # fmt: skip
    if deterministic:
        rows = [[str(number), hop.what] for number, hop in enumerate(trace.hops, 1)]
        return join([head, table(["", "station"], rows)])
    return join([head, _path(trace), note(plain(trace.remark)) if trace.remark else ""])


def _path(trace: Trace) -> Markup:
    """The stations one below the other, as the packet passes them."""
    top = float(_GAP) / 2
    parts: list[Markup] = []
    for number, hop in enumerate(trace.hops):
        box = _station(hop, top, dashed=number == len(trace.hops) - 1 and not trace.answered)
        if number:
            parts.append(_arrow(top))
        parts.append(box.draw())
        if text := counter(hop):
            parts.append(_text(text, box.right + 14, box.middle + 4, 240, strong=True))
        top += box.height + _STEP - 16
    label = f"The path to {plain(trace.target)}"
    return _svg(label, top, parts)


def _station(hop: Hop, top: float, *, dashed: bool) -> _Box:
    box = _Box(10, _STATION, top, _KINDS[hop.kind], dashed=dashed)
    box.lines = [("", text) for text in (hop.what, hop.detail, hop.rule) if text]
    return box


def _arrow(top: float) -> Markup:
    x, start = 40, top - (_STEP - 16)
    line = f"M{x} {_n(start)} V{_n(top - 1)} m-4 -6 l4 6 l4 -6"
    return tag("path", d=line, fill="none", stroke="currentColor", stroke_width="1.6")
