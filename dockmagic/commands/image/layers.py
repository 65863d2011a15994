"""`dockmagic layers`: an image's layers, and what they bring, waste and share. Ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.image.file_history import FileHistory
from dockmagic.commands.image.shared_layers import SharedLayers
from dockmagic.commands.options.flags import Arguments, Parser, WrongUsage, switch, value
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import ellipsis, layout
from dockmagic.commands.output.text_tree import lines, printable
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.model.analysis import Anatomy, WastedFile
from dockmagic_runtime.model.image import Layer

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WASTED = 10  # files that are named below the table


def parser() -> Parser:
    return Parser(
        verb="layers",
        usage="[OPTIONS] IMAGE [IMAGE]",
        summary="Show the layers of an image, or what two images share",
        minimum=1,
        maximum=2,
        flags=(
            value("file", help="Show which layers touch this path, and how", type="path"),
            value("format", help='"table TEMPLATE", a Go template, or json for everything'),
            switch("no-trunc", help="Show ids and instructions in full"),
            switch("quiet", "q", "Only ids"),
            switch("tree", help="Show the files of each layer: A added, C changed, D removed"),
        ),
    )


class Layers(Listing, frozen=True, kw_only=True):
    """The stack, lowest first; `items` are the engine's `Layer` values with their files.

    `anatomy.efficiency` is the part of all bytes (0 to 1) that no later layer replaces or removes,
    `anatomy.wasted` the files that the rest is in.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        stable_column("Number", "#"),
        Column("ID", "LAYER"),
        Column("Size", "SIZE"),
        Column("Wasted", "WASTED"),
        Column("Files", "FILES"),
        Column("SharedWith", "SHARED WITH"),
        stable_column("CreatedBy", "CREATED BY"),
    )

    items: tuple[Layer, ...]
    anatomy: Anatomy
    image: str = ""
    with_tree: bool = False

    def text(self) -> str:
        if self.format == "json":
            return self.json()
        if self.format or self.quiet:
            return Listing.text(self)
        parts = [Listing.text(self), *self._trees(), _waste(self.anatomy)]
        return "\n\n".join(parts)

    def stable(self) -> str:
        if self.quiet or self.format or self.in_full:
            return self.text()
        return "\n\n".join([self._table(self.stable_columns()), *self._trees()])

    def _trees(self) -> list[str]:
        if not self.with_tree:
            return []
        return [
            "\n".join([f"{fields['Number']}  {fields['CreatedBy']}", *_tree(layer)])
            for layer, fields in zip(self.items, self.fields, strict=True)
        ]

    def rows(self) -> list[dict[str, Any]]:
        wasted = _by_layer(self.anatomy)
        return [
            {
                "number": number,
                "id": layer.chain_id.removeprefix("sha256:")[:12],
                "created_by": layer.created_by,
                "size": layer.size,
                "wasted": wasted.get(number, 0),
                "files": layer.added + layer.changed + layer.removed,
                "added": layer.added,
                "changed": layer.changed,
                "removed": layer.removed,
                "shared_with": len(layer.shared_with),
            }
            for number, layer in enumerate(self.items, 1)
        ]

    def file_rows(self) -> list[dict[str, Any]]:
        """One dict for each path of each layer: layer, kind (A, C or D), path, size."""
        return [
            {"layer": number, "kind": file.kind, "path": file.path, "size": file.size}
            for number, layer in enumerate(self.items, 1)
            for file in layer.files
        ]

    def json(self) -> str:
        """All of it as one document."""
        from json import dumps

        anatomy = self.anatomy
        document = {
            "Image": anatomy.image.id,
            "Names": [familiar(tag) for tag in anatomy.image.tags],
            "Size": anatomy.size,
            "Efficiency": anatomy.efficiency,
            "WastedBytes": anatomy.wasted_bytes,
            "WastedFiles": [_wasted_json(file) for file in anatomy.wasted],
            "Layers": [_layer_json(n, layer) for n, layer in enumerate(self.items, 1)],
        }
        return dumps(document, indent=4)


def run(engine: EngineApi, arguments: Arguments) -> Result:
    name, *other = arguments.words
    if path := arguments.flag("file"):
        if other:
            raise WrongUsage("--file looks into one image", verb="layers")
        return FileHistory(
            engine.images.file_history(name, path), name, as_json=_only_json(arguments)
        )
    if other:
        sharing = engine.images.compare(name, other[0])
        return SharedLayers.of(sharing, (name, other[0]), as_json=_only_json(arguments))
    return _layers(engine.images.analyze(name), name, arguments)


def _only_json(arguments: Arguments) -> bool:
    format = arguments.flag("format")
    if format not in ("", "table", "json"):
        raise WrongUsage("only --format json goes with --file and with two images", verb="layers")
    return bool(format == "json")


def _layers(anatomy: Anatomy, name: str, arguments: Arguments) -> Layers:
    in_full = arguments.flag("no-trunc")
    wasted = _by_layer(anatomy)
    return Layers(
        items=anatomy.layers,
        fields=tuple(
            _fields(n, layer, wasted.get(n, 0), in_full=in_full)
            for n, layer in enumerate(anatomy.layers, 1)
        ),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
        in_full=in_full,
        anatomy=anatomy,
        image=name,
        with_tree=arguments.flag("tree"),
    )


def _fields(number: int, layer: Layer, wasted: int, *, in_full: bool) -> Fields:
    chain = layer.chain_id
    created_by = printable(" ".join(layer.created_by.split()))
    return {
        "Number": str(number),
        "ID": chain if in_full else chain.removeprefix("sha256:")[:12],
        "Size": decimal_size(layer.size),
        "Bytes": layer.size,
        "Wasted": decimal_size(wasted),
        "Files": files(layer),
        "Added": str(layer.added),
        "Changed": str(layer.changed),
        "Removed": str(layer.removed),
        "SharedWith": ", ".join(map(familiar, layer.shared_with)),
        "CreatedBy": created_by if in_full else ellipsis(created_by, 60),
    }


def files(layer: Layer) -> str:
    """How many paths a layer adds, changes and removes: "12A 3C 1D"."""
    counts = ((layer.added, "A"), (layer.changed, "C"), (layer.removed, "D"))
    return " ".join(f"{count}{kind}" for count, kind in counts if count)


def _by_layer(anatomy: Anatomy) -> dict[int, int]:
    """Wasted bytes by the layer that carries them, as far as files are listed one by one."""
    wasted: dict[int, int] = {}
    for file in anatomy.wasted:
        wasted[file.layer] = wasted.get(file.layer, 0) + file.size
    return wasted


def _tree(layer: Layer) -> list[str]:
    asides = (
        (file.path, file.kind, decimal_size(file.size) if file.size else "") for file in layer.files
    )
    shown = lines(asides)
    left = layer.added + layer.changed + layer.removed - len(layer.files)
    return [*shown, f"… and {left} more"] if left else shown


def _waste(anatomy: Anatomy) -> str:
    head = (
        f"Efficiency {anatomy.efficiency:.1%}: {decimal_size(anatomy.wasted_bytes)} of "
        f"{decimal_size(anatomy.size)} are in files that a later layer replaces or removes"
    )
    if not anatomy.wasted:
        return head
    rows = [[*_wasted_row(file)] for file in anatomy.wasted[:_WASTED]]
    left = anatomy.wasted_files - len(rows)
    more = [f"… and {left} more"] if left else []
    return "\n".join([head, layout([["SIZE", "LAYER", "HIDDEN", "PATH"], *rows]), *more])


def _wasted_row(file: WastedFile) -> tuple[str, str, str, str]:
    how = "removed" if file.is_removed else "replaced"
    return (
        decimal_size(file.size),
        str(file.layer),
        f"{how} by {file.hidden_by}",
        printable(file.path),
    )


def _wasted_json(file: WastedFile) -> dict[str, Any]:
    return {
        "Path": file.path,
        "Size": file.size,
        "Layer": file.layer,
        "HiddenBy": file.hidden_by,
        "Removed": file.is_removed,
    }


def _layer_json(number: int, layer: Layer) -> dict[str, Any]:
    return {
        "Number": number,
        "ID": layer.chain_id,
        "DiffID": layer.diff_id,
        "CreatedBy": layer.created_by,
        "Size": layer.size,
        "Added": layer.added,
        "Changed": layer.changed,
        "Removed": layer.removed,
        "SharedWith": list(map(familiar, layer.shared_with)),
        "Files": [[file.kind, file.path, file.size] for file in layer.files],
    }
