"""`docker volume ls`: volumes, one a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.filters import gather, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, planned, switch, values
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, label_lookup, stable_column
from dockmagic.commands.units import moment
from dockmagic_runtime.model.volume import Volume

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="volume ls",
        usage="[OPTIONS]",
        summary="List volumes",
        maximum=0,
        flags=(
            values(
                "filter",
                "f",
                'Provide filter values (e.g. "dangling=true")',
                type="filter",
                convert=parse_filter,
            ),
            LIST_FORMAT,
            switch("quiet", "q", "Only display volume names"),
            *planned("cluster"),
        ),
    )


class Volumes(Listing, frozen=True, kw_only=True):
    """The rows of `docker volume ls`; `items` are the engine's `Volume` values."""

    go_type: ClassVar[str] = "*formatter.volumeContext"
    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("Driver", "DRIVER"),
        Column("Name", "VOLUME NAME", "_name"),
    )
    headings: ClassVar[dict[str, str]] = {"Mountpoint": "MOUNTPOINT"}
    id_field: ClassVar[str] = "Name"
    raw: ClassVar[tuple[tuple[str, str], ...]] = (("name", "Name"), ("driver", "Driver"))

    items: tuple[Volume, ...]

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": volume.name,
                "driver": volume.driver,
                "mountpoint": volume.mountpoint,
                "created": moment(volume.created),
                "labels": volume.labels,
            }
            for volume in self.items
        ]


def run(engine: EngineApi, arguments: Arguments) -> Volumes:
    volumes = sorted(engine.volumes.list(gather(arguments.flag("filter"))), key=_natural)
    return Volumes(
        items=tuple(volumes),
        fields=tuple(map(row_fields, volumes)),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
    )


def _natural(volume: Volume) -> list[tuple[str, int]]:
    """`v2` before `v10`, as Docker sorts them: numbers by value, the rest by character."""
    parts = re.findall(r"\d+|\D", volume.name)
    return [("0", int(part)) if part.isdigit() else (part, 0) for part in parts]


def row_fields(volume: Volume) -> Fields:
    return {
        "Name": volume.name,
        "_name": "(anonymous)" if volume.is_anonymous else volume.name,
        "Driver": volume.driver,
        "Scope": volume.scope,
        "Mountpoint": volume.mountpoint,
        "Labels": ",".join(f"{key}={text}" for key, text in sorted(volume.labels.items())),
        "Label": label_lookup(volume.labels),
        # what only swarms and `system df` know
        "Availability": "N/A",
        "Group": "N/A",
        "Links": "N/A",
        "Size": "N/A",
        "Status": "N/A",
    }
