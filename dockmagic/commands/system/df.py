"""`docker system df`: what takes space, and what of it could go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.result import Result
from dockmagic.commands.system.df_details import Details
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.model.usage import DiskUsage

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="system df",
        usage="[OPTIONS]",
        summary="Show docker disk usage",
        maximum=0,
        flags=(
            LIST_FORMAT,
            switch("verbose", "v", "Show detailed information on space usage"),
        ),
    )


class Usage(Listing, frozen=True, kw_only=True):
    """One row for images, containers, volumes and build cache each."""

    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("Type", "TYPE"),
        stable_column("TotalCount", "TOTAL"),
        stable_column("Active", "ACTIVE"),
        Column("Size", "SIZE"),
        Column("Reclaimable", "RECLAIMABLE"),
    )

    raw: ClassVar[tuple[tuple[str, str], ...]] = (
        ("type", "Type"), ("total", "TotalCount"), ("active", "Active"), ("size", "Size"),
        ("reclaimable", "Reclaimable"),
    )  # fmt: skip
    go_type: ClassVar[str] = "*formatter.diskUsageImagesContext"

    usage: DiskUsage

    def rows(self) -> list[dict[str, Any]]:
        return [{name.lower(): text for name, text in row.items()} for row in self.fields]


def run(engine: EngineApi, arguments: Arguments) -> Result:
    usage = engine.system.df()
    if arguments.flag("verbose"):
        return Details(usage, arguments.flag("format"))
    fields = tuple(_summary(usage))
    return Usage(items=fields, fields=fields, format=arguments.flag("format"), usage=usage)


def _summary(usage: DiskUsage) -> list[Fields]:
    images, containers = usage.images, usage.containers
    used = sum(image.unique for image in images if image.containers)
    volumes, cache = usage.volumes, usage.build_cache
    return [
        _row(
            "Images",
            len(images),
            sum(image.containers > 0 for image in images),
            usage.layers,
            usage.layers - used,
        ),
        _row(
            "Containers",
            len(containers),
            sum(container.is_active for container in containers),
            sum(container.size for container in containers),
            sum(container.size for container in containers if not container.is_active),
        ),
        _row(
            "Local Volumes",
            len(volumes),
            sum(volume.links > 0 for volume in volumes),
            sum(volume.size for volume in volumes),
            sum(volume.size for volume in volumes if not volume.links),
        ),
        _row(
            "Build Cache",
            len(cache),
            sum(record.in_use for record in cache),
            sum(record.size for record in cache if not record.in_use),
            sum(record.size for record in cache if not record.in_use),
            percent=False,
        ),
    ]


def _row(
    kind: str, total: int, active: int, size: int, reclaimable: int, *, percent: bool = True
) -> Fields:
    share = f" ({reclaimable * 100 // size}%)" if size and percent else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": decimal_size(size, digits=4),
        "Reclaimable": f"{decimal_size(reclaimable, digits=4)}{share}",
    }
