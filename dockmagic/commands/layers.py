"""`dockmagic layers`: the stack an image is made of, with what each layer brings. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.flags import Arguments, Parser, switch, value
from dockmagic.commands.listing import Column, Fields, Listing, steady
from dockmagic.commands.quantities import decimal_size
from dockmagic.commands.references import familiar
from dockmagic.commands.table import ellipsis
from dockmagic_runtime.model.image import Layer

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="layers",
        usage="[OPTIONS] IMAGE",
        summary="Show the layers of an image, the lowest first",
        minimum=1,
        maximum=1,
        flags=(
            value("format", help='"table TEMPLATE", a Go template, or json'),
            switch("no-trunc", help="Show ids and instructions in full"),
            switch("quiet", "q", "Only ids"),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Layers(Listing):
    """The stack, bottom first; `items` are the engine's `Layer` values with their files."""

    columns: ClassVar[tuple[Column, ...]] = (
        steady("Number", "#"),
        Column("ID", "LAYER"),
        Column("Size", "SIZE"),
        Column("Files", "FILES"),
        Column("SharedWith", "SHARED WITH"),
        steady("CreatedBy", "CREATED BY"),
    )

    items: tuple[Layer, ...]
    image: str = ""

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "number": number,
                "id": layer.chain_id.removeprefix("sha256:")[:12],
                "created_by": layer.created_by,
                "size": layer.size,
                "files": len(layer.files),
                "shared_with": len(layer.shared_with),
            }
            for number, layer in enumerate(self.items, 1)
        ]


def run(engine: Engine, arguments: Arguments) -> Layers:
    name = arguments.words[0]
    items = engine.layers(name)
    in_full = arguments.flag("no-trunc")
    return Layers(
        items=items,
        fields=tuple(_fields(n, item, in_full=in_full) for n, item in enumerate(items, 1)),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
        in_full=in_full,
        image=name,
    )


def _fields(number: int, layer: Layer, *, in_full: bool) -> Fields:
    chain = layer.chain_id
    created_by = " ".join(layer.created_by.split())
    found: dict[str, Any] = {
        "Number": str(number),
        "ID": chain if in_full else chain.removeprefix("sha256:")[:12],
        "Size": decimal_size(layer.size),
        "Bytes": layer.size,
        "Files": str(len(layer.files)),
        "SharedWith": ", ".join(map(familiar, layer.shared_with)),
        "CreatedBy": created_by if in_full else ellipsis(created_by, 60),
    }
    return found
