"""What containers use: a table, and a sparkline for each series that was sampled."""

from __future__ import annotations

from collections.abc import Sequence

from dockmagic.commands.quantities import binary_size, decimal_size
from dockmagic.commands.stats import StatsTable
from dockmagic.widgets.html import BLUE, Markup, bar, join, note, table
from dockmagic.widgets.untrusted import plain
from dockmagic_runtime.model.container import Stats


def stats(result: StatsTable, *, deterministic: bool) -> Markup:
    if not result.items:
        return note("no container runs")
    if deterministic:
        return table(["name"], [[plain(item.name)] for item in result.items])
    headings = [
        "name",
        "CPU",
        "",
        "memory",
        "",
        "network in / out",
        "disk read / write",
        "processes",
    ]
    return join([table(headings, [_row(item) for item in result.items])])


def _row(item: Stats) -> list[object]:
    share = item.memory_bytes / item.memory_limit if item.memory_limit else 0.0
    return [
        plain(item.name),
        f"{item.cpu_percent:.1f} %",
        bar(item.cpu_percent / 100, width="5em"),
        f"{binary_size(item.memory_bytes)} of {binary_size(item.memory_limit)}",
        bar(share, width="5em"),
        f"{decimal_size(item.network_rx)} / {decimal_size(item.network_tx)}",
        f"{decimal_size(item.block_read)} / {decimal_size(item.block_write)}",
        str(item.pids),
    ]


def sparkline(
    values: Sequence[float], *, width: int = 240, height: int = 40, color: str = BLUE
) -> Markup:
    """The series as one line of an SVG, scaled to its largest value."""
    top = max(values, default=0.0) or 1.0
    step = width / max(1, len(values) - 1)
    points = " ".join(
        f"{index * step:.1f},{height - 1 - (height - 2) * value / top:.1f}"
        for index, value in enumerate(values)
    )
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><polyline fill="none" stroke="{color}" '
        f'stroke-width="1.5" points="{points}"/></svg>'
    )
