"""`docker system df`: what takes space, and what of it could go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.container.ps import status_text
from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import ellipsis, layout
from dockmagic.commands.references import familiar, repository_and_tag
from dockmagic.commands.units import ago, decimal_size
from dockmagic_runtime.model.go_values import quote
from dockmagic_runtime.model.usage import ContainerUsage, DiskUsage, ImageUsage

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

    usage: DiskUsage

    def rows(self) -> list[dict[str, Any]]:
        return [{name.lower(): text for name, text in row.items()} for row in self.fields]


def run(engine: EngineApi, arguments: Arguments) -> Result:
    usage = engine.system.df()
    if arguments.flag("verbose") and not arguments.flag("format"):
        return Details(usage)
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


class Details(Result, frozen=True):
    """Every image, container, volume and cached result of a build."""

    usage: DiskUsage

    def text(self) -> str:
        cache = sum(record.size for record in self.usage.build_cache if not record.in_use)
        parts = [
            "Images space usage:\n",
            _table(_IMAGES, [_image(image) for image in self.usage.images]),
            "\nContainers space usage:\n",
            _table(_CONTAINERS, [_container(container) for container in self.usage.containers]),
            "\nLocal Volumes space usage:\n",
            _table(
                _VOLUMES,
                [(v.volume.name, str(v.links), decimal_size(v.size)) for v in self.usage.volumes],
            ),
            f"\nBuild cache usage: {decimal_size(cache)}\n",
            _table(_CACHE, self._cache()),
        ]
        return "\n".join(parts)

    def stable(self) -> str:
        usage = self.usage
        return (
            f"{len(usage.images)} images, {len(usage.containers)} containers, "
            f"{len(usage.volumes)} volumes"
        )

    def _cache(self) -> list[tuple[str, ...]]:
        return [
            (
                record.id.removeprefix("sha256:")[:12],
                "regular",
                decimal_size(record.size),
                ago(record.used),
                ago(record.used),
                "1",
                "true" if record.in_use else "false",
            )
            for record in self.usage.build_cache
        ]

    def rows(self) -> list[dict[str, Any]]:
        usage = self.usage
        return [
            *({"kind": "image", "id": i.image.id, "size": i.image.size} for i in usage.images),
            *(
                {"kind": "container", "id": container.container.id, "size": container.size}
                for container in usage.containers
            ),
            *({"kind": "volume", "id": v.volume.name, "size": v.size} for v in usage.volumes),
            *({"kind": "build cache", "id": b.id, "size": b.size} for b in usage.build_cache),
        ]


_IMAGES = (
    "REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS",
)  # fmt: skip
_CONTAINERS = (
    "CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES",
)  # fmt: skip
_VOLUMES = ("VOLUME NAME", "LINKS", "SIZE")
_CACHE = ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED")


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return layout([headings, *rows])


def _image(usage: ImageUsage) -> tuple[str, ...]:
    image = usage.image
    tag = image.tags[0] if image.tags else ""
    repository, version = repository_and_tag(tag) if tag else ("<none>", "<none>")
    return (
        repository,
        version,
        image.short_id,
        ago(image.created),
        decimal_size(image.size),
        decimal_size(usage.shared, digits=4),
        decimal_size(usage.unique, digits=4),
        str(usage.containers),
    )


def _container(usage: ContainerUsage) -> tuple[str, ...]:
    container = usage.container
    return (
        container.short_id,
        familiar(container.image).removesuffix(":latest"),
        quote(ellipsis(" ".join(container.command), 20)),
        str(usage.volumes),
        decimal_size(usage.size),
        ago(container.created),
        status_text(container),
        container.name,
    )
