"""`docker system df --verbose`: every image, container, volume and cached result of a build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockmagic.commands.container.ps import Containers
from dockmagic.commands.container.ps import row_fields as container_fields
from dockmagic.commands.gotemplate.encode import as_json
from dockmagic.commands.gotemplate.types import Context
from dockmagic.commands.image.images import ImagesWithDigests
from dockmagic.commands.image.images import row_fields as image_fields
from dockmagic.commands.output.listing import Fields
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import ellipsis, layout
from dockmagic.commands.references import familiar, repository_and_tag
from dockmagic.commands.units import decimal_size
from dockmagic.commands.volume.ls import Volumes
from dockmagic.commands.volume.ls import row_fields as volume_fields
from dockmagic_runtime.model.container_texts import status_text
from dockmagic_runtime.model.go_values import quote
from dockmagic_runtime.model.times import ago
from dockmagic_runtime.model.usage import (
    CacheUsage,
    ContainerUsage,
    DiskUsage,
    ImageUsage,
    VolumeUsage,
)


class Details(Result, frozen=True):
    """Every image, container, volume and cached result of a build."""

    usage: DiskUsage
    format: str = ""

    def text(self) -> str:
        return self._formatted() if self.format not in ("", "table") else self._tables()

    def _formatted(self) -> str:
        parts = {
            "Images": [_image_row(image) for image in self.usage.images],
            "Containers": [_container_row(container) for container in self.usage.containers],
            "Volumes": [_volume_row(volume) for volume in self.usage.volumes],
            "BuildCache": [_cache_row(record) for record in self.usage.build_cache],
        }
        if self.format == "raw":
            return "\n".join(_raw(kind, row) for kind, rows in parts.items() for row in rows)
        if self.format in ("json", "{{json .}}"):
            members = (f"{as_json(name)}:{as_json(part)}" for name, part in parts.items())
            return f"{{{','.join(members)}}}"
        from dockmagic.commands.gotemplate.template import Template

        return Template(self.format).render(Context(parts, "*formatter.diskUsageContext"))

    def _tables(self) -> str:
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


# The word for one thing of each kind, and its fields, in `--format raw`.
_RAW: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "Images": ("Image", ImagesWithDigests.raw),
    "Containers": ("Container", (*Containers.raw, ("size", "Size"))),
    "Volumes": ("Volume", Volumes.raw),
    "BuildCache": ("Build Cache", (
        ("build_cache_id", "ID"), ("parent_id", "Parent"), ("build_cache_type", "CacheType"),
        ("description", "Description"), ("created_since", "CreatedSince"),
        ("last_used_since", "LastUsedSince"), ("usage_count", "UsageCount"), ("in_use", "InUse"),
        ("shared", "Shared"),
    )),
}  # fmt: skip


def _raw(kind: str, row: Context) -> str:
    word, names = _RAW[kind]
    lines = [f"{label}: {row.fields[field]}" for label, field in names]
    lines = ["ports:" if line == "ports: " else line for line in lines]  # of all fields, this one
    return "\n".join([f"type: {word}", *lines, ""])


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


def _row(fields: Fields, go_type: str) -> Context:
    public = {name: text for name, text in fields.items() if not name.startswith("_")}
    return Context(public, go_type)


def _image_row(usage: ImageUsage) -> Context:
    image = usage.image
    fields = image_fields(image, image.tags[0] if image.tags else "", {}, in_full=True) | {
        "Containers": str(usage.containers),
        "Digest": "",
        "SharedSize": decimal_size(usage.shared, digits=4),
        "UniqueSize": decimal_size(usage.unique, digits=4),
    }
    return _row(fields, "*formatter.imageContext")


def _container_row(usage: ContainerUsage) -> Context:
    fields = container_fields(usage.container, in_full=True) | {"Size": decimal_size(usage.size)}
    return _row(fields, "*formatter.ContainerContext")


def _volume_row(usage: VolumeUsage) -> Context:
    fields = volume_fields(usage.volume) | {
        "Links": str(usage.links),
        "Size": decimal_size(usage.size),
    }
    return _row(fields, "*formatter.volumeContext")


def _cache_row(record: CacheUsage) -> Context:
    used = ago(record.used)
    fields = {
        "ID": record.id.removeprefix("sha256:"),
        "Parent": "",
        "CacheType": "regular",
        "Description": record.created,
        "InUse": "true" if record.in_use else "false",
        "Shared": "true" if record.in_use else "false",
        "Size": decimal_size(record.size),
        "CreatedSince": used,
        "LastUsedSince": used,
        "UsageCount": "1",
    }
    return _row(fields, "*formatter.buildCacheContext")
