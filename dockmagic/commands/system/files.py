"""`dockmagic files`: what is in a directory of a container or an image. Ours."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.text_tree import printable
from dockmagic.commands.units import decimal_size, moment, timestamp
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.container import PathStat

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_MOST = 10_000  # entries of a directory


def parser() -> Parser:
    return Parser(
        verb="files",
        usage="[OPTIONS] CONTAINER|IMAGE [PATH]",
        summary="List the files in a directory of a container or an image",
        minimum=1,
        maximum=2,
        flags=(LIST_FORMAT, switch("quiet", "q", "Only names")),
    )


class Files(Listing, frozen=True, kw_only=True):
    """A directory; `items` are the engine's `PathStat` values, directories first."""

    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("Mode", "MODE"),
        Column("Size", "SIZE"),
        Column("Modified", "MODIFIED"),
        stable_column("Name", "NAME"),
    )
    id_field: ClassVar[str] = "Name"

    items: tuple[PathStat, ...]
    container: str = ""  # its id, of an image empty
    image: str = ""
    name: str = ""  # as it was asked for
    path: str = "/"

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": entry.name,
                "mode": entry.mode,
                "size": entry.size,
                "modified": moment(entry.mtime),
                "target": entry.link_target,
            }
            for entry in self.items
        ]


def run(engine: EngineApi, arguments: Arguments) -> Files:
    name, path = (*arguments.words, "/")[:2]
    container, image = "", ""
    try:
        container = engine.containers.get(name).id
    except NotFound as missing:
        try:
            image = engine.images.get(name).id
        except NotFound:
            raise NotFound(f"No such container or image: {name}") from missing
    items = listed(engine, path, container=container, image=image)
    return Files(
        items=items,
        fields=fields_of(items),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
        container=container,
        image=image,
        name=name,
        path=path,
    )


def listed(engine: EngineApi, path: str, *, container: str, image: str) -> tuple[PathStat, ...]:
    """The entries of a directory, directories first. Raises NotFound, Conflict."""
    if container:
        entries = engine.containers.list_directory(container, path, limit=_MOST)
    else:
        entries = engine.images.list_directory(image, path, limit=_MOST)
    return tuple(sorted(entries, key=lambda entry: (not entry.is_directory, entry.name)))


def fields_of(items: tuple[PathStat, ...]) -> tuple[Fields, ...]:
    """The texts of the table's rows."""
    return tuple(map(_fields, items))


def _fields(entry: PathStat) -> Fields:
    name = printable(entry.name)
    return {
        "Mode": stat.filemode(entry.mode),
        "Size": "" if entry.is_directory else decimal_size(entry.size),
        "Modified": timestamp(entry.mtime).removesuffix(" +0000 UTC"),
        "Name": f"{name} -> {printable(entry.link_target)}" if entry.is_link else name,
    }
