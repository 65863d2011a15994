"""The ways into a container as a picture: the stations of each one below the other.

Two ways stand side by side, and what both pass is at one height: they differ above it only. Where
a viewer takes SVG away, the table is left.
"""

from __future__ import annotations

import textwrap
from itertools import pairwise, zip_longest

from dockmagic.commands.network.trace import WAYS, Traced, counter
from dockmagic.widgets.frame import sheet
from dockmagic.widgets.html import (
    BLUE,
    GREEN,
    GREY,
    NET,
    RED,
    Markup,
    badge,
    details,
    join,
    note,
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.sanitize import plain
from dockmagic.widgets.svg import GAP, LINE, PAD, Box, letters, number, picture, text
from dockmagic_runtime.model.topology import Hop, Route

# the host is info, what passes on and translates net, the container run: red is for failures
_KINDS = {
    "client": BLUE, "proxy": NET, "rule": NET, "bridge": GREY, "veth": GREY,
    "interface": GREEN, "process": GREEN, "answer": NET,
}  # fmt: skip
_OWN = ("client", "proxy", "rule")  # stations before the ways meet
_COLUMN = 430  # pixels: the width of a station
_FLEXIBLE = f"flex:1 1 {_COLUMN * 3 // 4}px;max-width:{_COLUMN + 2}px"  # still to be read
_ARROW = 30  # pixels from its column's left edge
_HEADINGS = ["", "station", "what it was", "counter"]


def traced(result: Traced, *, deterministic: bool) -> Markup:
    routes = result.trace.routes
    verdicts = [_verdict(result, route) for route in routes]
    remark = note(plain(result.trace.remark)) if result.trace.remark else ""
    if deterministic:
        parts = zip(verdicts, (_table(route, deterministic=True) for route in routes), strict=True)
        return join([*map(join, parts), remark])
    tables = [
        tag("div", plain(result.verdict(route)), _table(route, deterministic=False))
        for route in routes
    ]
    return sheet(*verdicts, _picture(result), remark, details("As a table", *tables))


def _verdict(result: Traced, route: Route) -> Markup:
    said = badge("answered", GREEN) if route.answered else badge("no answer", RED)
    if route.answered and result.trace.protocol == "udp":
        said = badge("not refused", GREEN)  # no program has to answer a datagram
    return tag("div", said, " ", plain(result.verdict(route)), style="margin:.2em 0")


def _table(route: Route, *, deterministic: bool) -> Markup:
    wanted = _HEADINGS[:2] if deterministic else _HEADINGS
    rows = [
        [
            str(at),
            hop.what,
            plain(", ".join(filter(None, (hop.detail, *hop.rule.splitlines())))),
            counter(hop),
        ]
        for at, hop in enumerate(route.hops, 1)
    ]
    return table(wanted, [[plain(cell) for cell in row[: len(wanted)]] for row in rows])


# ------------------------------------------------------------------ the picture


def _picture(result: Traced) -> Markup:
    """One for each way, beside each other where there is room."""
    routes = result.trace.routes
    columns = [[_station(route, hop) for hop in route.hops] for route in routes]
    bottom = _stack(columns, [sum(hop.kind in _OWN for hop in item.hops) for item in routes])
    pictures = [
        tag("div", _column(route, column, bottom + 1), style=_FLEXIBLE)
        for route, column in zip(routes, columns, strict=True)
    ]
    return tag(
        "div", *pictures, style=f"display:flex;flex-wrap:wrap;gap:{GAP}px;margin-bottom:.5em"
    )


def _column(route: Route, column: list[Box], height: float) -> Markup:
    heading = text(WAYS[route.way], PAD, column[0].top - GAP / 2, _COLUMN, strong=True)
    parts = [heading, *_arrows(column), *(box.draw() for box in column)]
    return picture(f"The path to {plain(route.name)}", height, parts, _COLUMN + 2)


def _station(route: Route, hop: Hop) -> Box:
    is_end = hop is route.hops[-1] and not route.answered
    box = Box(1, _COLUMN, 0, _KINDS[hop.kind], dashed=is_end, foot=counter(hop))
    most = letters(_COLUMN - 2 * PAD)
    for part in (hop.what, hop.detail, *hop.rule.splitlines()):
        box.lines += [("", line) for line in textwrap.wrap(part, most, break_on_hyphens=False)]
        box.heads = len(box.lines) if part == hop.what else box.heads
    return box


def _stack(columns: list[list[Box]], own: list[int]) -> float:
    """Put each station below the one before, the common ones side by side; where all end."""
    tops = [_below(column[:count], 2.0 * LINE) for column, count in zip(columns, own, strict=True)]
    top = max(tops)
    for row in zip_longest(*(column[count:] for column, count in zip(columns, own, strict=True))):
        boxes = [box for box in row if box is not None]
        top = max(_below([box], top) for box in boxes)
    return top - GAP


def _below(boxes: list[Box], top: float) -> float:
    for box in boxes:
        box.top = top
        top = box.bottom + GAP
    return top


def _arrows(column: list[Box]) -> list[Markup]:
    return [
        _arrow(above.left + _ARROW, above.bottom, below.top) for above, below in pairwise(column)
    ]


def _arrow(x: float, start: float, end: float) -> Markup:
    line = f"M{number(x)} {number(start)} V{number(end - 1)} m-4 -6 l4 6 l4 -6"
    return tag("path", d=line, fill="none", stroke="currentColor", stroke_width="1.6")
