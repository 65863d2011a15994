"""`docker buildx du`: what the build cache takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.builder.prune import check_builder
from dockmagic.commands.options.filters import apply, as_boolean, as_moment, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, switch, value, values
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.result import Result
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.model.times import ago
from dockmagic_runtime.model.usage import CacheUsage

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="buildx du",
        usage="[OPTIONS]",
        summary="Disk usage of the build cache",
        maximum=0,
        flags=(
            value("builder", help="The only one is called default", convert=check_builder),
            values("filter", help='Filter by id, inuse or until, such as "until=24h"',
                   type="filter", convert=parse_filter),
            switch("verbose", help="Show all that is known of each"),
        ),
    )  # fmt: skip


_FILTERS: dict[str, Callable[[CacheUsage, str], bool]] = {
    "id": lambda entry, value: entry.id.startswith(value),
    "inuse": lambda entry, value: entry.in_use is as_boolean("inuse", value),
    "until": lambda entry, value: entry.used < as_moment("until", value),
}


class Cache(Listing, frozen=True):
    """One row for each result that has a layer."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("ID", "ID"),
        stable_column("Reclaimable", "RECLAIMABLE"),
        Column("Size", "SIZE"),
        Column("LastAccessed", "LAST ACCESSED"),
    )

    def text(self) -> str:
        sizes = [(row["size"], row["reclaimable"]) for row in self.rows()]
        unused = sum(size for size, is_unused in sizes if is_unused)
        total = sum(size for size, _ in sizes)
        return "\n".join(
            [
                self.table(),
                f"Reclaimable:\t{decimal_size(unused)}",
                f"Total:\t\t{decimal_size(total)}",
            ]
        )

    def table(self) -> str:
        return Listing.text(self)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": entry.id,
                "reclaimable": not entry.in_use,
                "size": entry.size,
                "used": entry.used,
            }
            for entry in self.items
        ]


class Verbose(Cache, frozen=True):
    """A paragraph for each."""

    def table(self) -> str:
        return "\n\n".join(map(_paragraph, self.items)) + "\n"


def _paragraph(entry: CacheUsage) -> str:
    lines = {
        "ID": entry.id,
        "Created at": entry.created,
        "Mutable": "false",
        "Reclaimable": str(not entry.in_use).lower(),
        "Shared": str(entry.in_use).lower(),
        "Size": decimal_size(entry.size),
        "Last used": ago(entry.used),
        "Type": "regular",
    }
    return "\n".join(f"{f'{name}:':<16}{value}" for name, value in lines.items())


def run(engine: EngineApi, arguments: Arguments) -> Result:
    items = tuple(apply(engine.system.df().build_cache, arguments.flag("filter"), _FILTERS))
    kind = Verbose if arguments.flag("verbose") else Cache
    return kind(items=items, fields=tuple(map(_fields, items)))


def _fields(entry: CacheUsage) -> Fields:
    return {
        "ID": entry.id[:25],
        "Reclaimable": str(not entry.in_use).lower(),
        "Size": decimal_size(entry.size),
        "LastAccessed": ago(entry.used),
    }
