"""`docker history`: how an image came to be, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import LIST_FORMAT
from dockmagic.commands.options.platform import check_image, variant
from dockmagic.commands.output.listing import Column, Fields, Listing, stable_column
from dockmagic.commands.output.table import ellipsis
from dockmagic.commands.units import decimal_size, moment, rfc3339
from dockmagic_runtime.model.image import History
from dockmagic_runtime.model.times import ago

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="history",
        usage="[OPTIONS] IMAGE",
        summary="Show the history of an image",
        minimum=1,
        maximum=1,
        flags=(
            LIST_FORMAT,
            switch("human", "H", "Print sizes and dates in human readable format", default=True),
            switch("no-trunc", help="Don't truncate output"),
            switch("quiet", "q", "Only show image IDs"),
            variant("Show history for the given platform."),
        ),
    )


class ImageHistory(Listing, frozen=True, kw_only=True):
    """The rows of `docker history`; `items` are the engine's `History` values."""

    go_type: ClassVar[str] = "*image.historyContext"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("ID", "IMAGE"),
        Column("CreatedSince", "CREATED"),
        stable_column("CreatedBy", "CREATED BY"),
        Column("Size", "SIZE"),
        stable_column("Comment", "COMMENT"),
    )
    headings: ClassVar[dict[str, str]] = {"CreatedAt": "CREATED AT"}

    items: tuple[History, ...]
    image: str = ""

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "created": moment(item.created),
                "created_by": item.created_by,
                "size": item.size,
                "has_layer": not item.empty_layer,
                "comment": item.comment,
            }
            for item in self.items
        ]


class ExactHistory(ImageHistory, frozen=True, kw_only=True):
    """The same with times and bytes, for `--human=false`."""

    columns: ClassVar[tuple[Column, ...]] = (
        ImageHistory.columns[0],
        Column("CreatedAt", "CREATED AT"),
        *ImageHistory.columns[2:],
    )


def run(engine: EngineApi, arguments: Arguments) -> ImageHistory:
    name = arguments.words[0]
    image = engine.images.get(name)
    check_image(image, name, arguments.flag("platform"))
    items = engine.images.history(name)
    ids = [image.id, *["<missing>"] * (len(items) - 1)]
    kind = ImageHistory if arguments.flag("human") else ExactHistory
    return kind(
        items=items,
        fields=tuple(_fields(item, id, arguments) for item, id in zip(items, ids, strict=False)),
        format=arguments.flag("format"),
        quiet=arguments.flag("quiet"),
        in_full=arguments.flag("no-trunc"),
        image=name,
    )


def _fields(item: History, image_id: str, arguments: Arguments) -> Fields:
    in_full, human = arguments.flag("no-trunc"), arguments.flag("human")
    created_by = " ".join(item.created_by.replace("\t", " ").split("\n"))
    created_at = rfc3339(item.created)
    return {
        "ID": image_id if in_full else image_id.removeprefix("sha256:")[:12],
        "CreatedSince": ago(item.created) if human else created_at,
        "CreatedAt": created_at,
        "CreatedBy": created_by if in_full else ellipsis(created_by, 45),
        "Size": decimal_size(item.size) if human else str(item.size),
        "Comment": item.comment,
    }
