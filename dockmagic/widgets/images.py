"""`images` as a table: sizes to scale, dangling ones muted, stand-ins marked."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.image.images import Images
from dockmagic.widgets.frame import muted, pill
from dockmagic.widgets.html import BLUE, Markup, bar, code, join, note, table, tag
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.image import Image

_EMPTY = "no images are here: %pull NAME gets one, a %%dockerfile cell makes one"


def images(result: Images, *, deterministic: bool) -> Markup:
    if result.quiet or result.format:
        return Markup("")
    if not result.items:
        return note(_EMPTY)
    largest = max(image.size for image in result.items) or 1
    headings = [
        "REPOSITORY",
        "TAG",
        *([] if deterministic else ["SIZE", "", "CREATED", "IMAGE ID"]),
    ]
    rows = [
        _row(image, fields, largest, deterministic=deterministic)
        for image, fields in zip(result.items, result.fields, strict=True)
    ]
    return table(headings, rows, numbers=frozenset([] if deterministic else [2]))


def _row(image: Image, fields: dict[str, Any], largest: int, *, deterministic: bool) -> list[Any]:
    name, tag_name = plain(str(fields["Repository"])), plain(str(fields["Tag"]))
    is_dangling = name == "<none>"
    shown = muted(name) if is_dangling else tag("b", name)
    stand_in = [" ", pill("stand-in", "warn")] if image.is_stand_in else []
    cells: list[Any] = [join([shown, *stand_in]), muted(tag_name) if is_dangling else tag_name]
    if not deterministic:
        cells += [
            plain(str(fields["Size"])),
            bar(image.size / largest, BLUE, width="5em"),
            plain(str(fields["CreatedSince"])),
            muted(code(plain(str(fields["ID"])))),
        ]
    return cells
