"""What containers use, at one moment."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.container.stats import StatsTable
from dockmagic.commands.units import binary_size, decimal_size
from dockmagic.widgets.frame import muted
from dockmagic.widgets.html import BLUE, GREEN, Markup, bar, join, note, table, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.container import Stats

_EMPTY = "no container runs: %docker run -d IMAGE starts one"
_HEADINGS = ["NAME", "CPU", "", "MEMORY / LIMIT", "", "NETWORK IN / OUT", "BLOCK READ / WRITE",
             "PIDS"]  # fmt: skip


def stats(result: StatsTable, *, deterministic: bool) -> Markup:
    if result.format:
        return Markup("")
    if not result.items:
        return note(_EMPTY)
    if deterministic:
        return table(["NAME"], [[tag("b", plain(item.name))] for item in result.items])
    return table(_HEADINGS, [_row(item) for item in result.items], numbers=frozenset([1, 7]))


def _row(item: Stats) -> list[Any]:
    """A share of the limit that a bar would not show is said as a number."""
    share = item.memory_bytes / item.memory_limit if item.memory_limit else 0.0
    limit = f" / {binary_size(item.memory_limit)}" if item.memory_limit else ""
    return [
        tag("b", plain(item.name)),
        f"{item.cpu_percent:.1f} %",
        bar(item.cpu_percent / 100, BLUE, width="5em"),
        join([binary_size(item.memory_bytes), muted(limit)]),
        bar(share, GREEN, width="5em"),
        f"{decimal_size(item.network_rx)} / {decimal_size(item.network_tx)}",
        f"{decimal_size(item.block_read)} / {decimal_size(item.block_write)}",
        str(item.pids),
    ]
