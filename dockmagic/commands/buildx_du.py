"""`docker buildx du`: what the build cache takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.flags import Arguments, Parser, planned
from dockmagic.commands.listing import Column, Fields, Listing, steady
from dockmagic.commands.quantities import ago, decimal_size
from dockmagic.commands.result import Result

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine
    from dockmagic_runtime.model.usage import CacheUsage


def parser() -> Parser:
    return Parser(
        verb="buildx du",
        usage="[OPTIONS]",
        summary="Disk usage of the build cache",
        maximum=0,
        flags=planned("builder=string", "filter=filter", "verbose"),
    )


class Cache(Listing):
    """One row for each result that has a layer."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("ID", "ID"),
        steady("Reclaimable", "RECLAIMABLE"),
        Column("Size", "SIZE"),
        Column("LastAccessed", "LAST ACCESSED"),
    )

    def text(self) -> str:
        sizes = [(row["size"], row["reclaimable"]) for row in self.rows()]
        unused = sum(size for size, is_unused in sizes if is_unused)
        total = sum(size for size, _ in sizes)
        return "\n".join(
            [
                Listing.text(self),
                f"Reclaimable:\t{decimal_size(unused)}",
                f"Total:\t\t{decimal_size(total)}",
            ]
        )

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"id": one.id, "reclaimable": not one.in_use, "size": one.size, "used": one.used}
            for one in self.items
        ]


def run(engine: Engine, arguments: Arguments) -> Result:
    items = engine.disk_usage().build_cache
    return Cache(items=items, fields=tuple(map(_fields, items)))


def _fields(one: CacheUsage) -> Fields:
    return {
        "ID": one.id[:25],
        "Reclaimable": str(not one.in_use).lower(),
        "Size": decimal_size(one.size),
        "LastAccessed": ago(one.used),
    }
