"""What containers use, at one moment."""

from __future__ import annotations

from dockmagic.commands.container.stats import StatsTable
from dockmagic.commands.units import binary_size, decimal_size
from dockmagic.widgets.html import Markup, bar, join, note, table
from dockmagic.widgets.sanitize import plain
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
