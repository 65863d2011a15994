"""The stack of an image: the top layer first, as it lies, each with its bar and its files."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.image.file_history import FileHistory, describe, word
from dockmagic.commands.image.layers import Layers
from dockmagic.commands.image.layers import files as counted
from dockmagic.commands.image.shared_layers import SharedLayers
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.html import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    RED,
    Markup,
    badge,
    bar,
    code,
    details,
    join,
    note,
    pre,
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.sanitize import plain
from dockmagic.widgets.tree import TreeEntry, tree
from dockmagic_runtime.model.analysis import Anatomy, FileVersion, WastedFile
from dockmagic_runtime.model.image import Layer

_SIZE, _ROW, _FILE = 16_000, 560, 130  # bytes of HTML: in all, of a layer, of a file
_ROWS = 25
_INSTRUCTION = 200
_PATH = 300
_WASTED = 8
_DIFF = 4000  # characters of one difference
_COLORS = {"A": GREEN, "C": ORANGE, "D": RED}


def layers(result: Layers, *, deterministic: bool) -> Markup:
    items = result.items
    whole = sum(layer.size for layer in items)
    largest = max((layer.size for layer in items), default=0)
    shown = max(1, min(len(items), _ROWS))
    each = max(0, _SIZE - shown * _ROW) // _FILE // shown
    rows = [
        _row(number, layer, largest, each, deterministic=deterministic)
        for number, layer in reversed(list(enumerate(items, 1)))
    ]
    sum_up = f"{len(items)} layers" + ("" if deterministic else f", {decimal_size(whole)} in all")
    stack = table(["#", "size", "", "made by, and what it brings"], rows, limit=_ROWS)
    return join([stack, note(sum_up), "" if deterministic else _waste(result.anatomy)])


def _row(number: int, layer: Layer, largest: int, files: int, *, deterministic: bool) -> list[Any]:
    share = layer.size / largest if largest else 0.0
    shared = [badge(f"shared with {familiar(tag)}", GREEN) for tag in layer.shared_with[:3]]
    if len(layer.shared_with) > 3:
        shared.append(tag("span", f" +{len(layer.shared_with) - 3} more", style=MUTED))
    content = [_instruction(layer), " ", *shared, _files(layer, files, deterministic=deterministic)]
    return [str(number), _size(layer, deterministic=deterministic), bar(share), content]


def _instruction(item: Layer | FileVersion) -> Markup:
    return code(plain(" ".join(item.created_by.split()))[:_INSTRUCTION] or "(unknown)")


def _size(layer: Layer, *, deterministic: bool) -> str:
    return "" if deterministic else decimal_size(layer.size)


def _files(layer: Layer, limit: int, *, deterministic: bool) -> Markup:
    """The largest files; the rest is counted, or a base image would fill the notebook."""
    if not layer.files:
        return note("no files")
    chosen = sorted(layer.files, key=lambda file: (-file.size, file.path))[:limit]
    entries = sorted(
        (
            TreeEntry(
                plain(file.path),
                file.kind,
                "" if deterministic or not file.size else decimal_size(file.size),
            )
            for file in chosen
        ),
        key=lambda entry: entry.path,
    )
    count = max(len(layer.files), layer.added + layer.changed + layer.removed)
    head = "files" if deterministic else f"{count} file{'' if count == 1 else 's'}"
    if not deterministic and layer.added != count and (by_kind := counted(layer)):
        head += f": {by_kind}"
    more = [note(f"+{count - len(entries)} smaller ones")] if count > len(entries) else []
    return details(head, tree(entries), *more)


def _waste(anatomy: Anatomy) -> Markup:
    """How much of the image can be seen, and which files the rest is in."""
    sentence = (
        f"efficiency {anatomy.efficiency:.1%}: {decimal_size(anatomy.wasted_bytes)} are in files "
        "that a later layer replaces or removes"
    )
    line = tag("div", bar(anatomy.efficiency, GREEN), sentence)
    if not anatomy.wasted:
        return line
    rows = [_wasted(item) for item in anatomy.wasted[:_WASTED]]
    head = f"{anatomy.wasted_files} file{'' if anatomy.wasted_files == 1 else 's'}"
    left = anatomy.wasted_files - len(rows)
    more = [note(f"+{left} smaller ones")] if left else []
    return join([line, details(head, table(["size", "layer", "", "path"], rows), *more)])


def _wasted(item: WastedFile) -> list[Any]:
    how = "removed" if item.is_removed else "replaced"
    return [
        decimal_size(item.size),
        str(item.layer),
        f"{how} by {item.hidden_by}",
        code(plain(item.path)[:_PATH]),
    ]


def sharing(result: SharedLayers, *, deterministic: bool) -> Markup:
    largest = max((layer.size for _, _, layer in result.items), default=0)
    rows = [
        [
            badge(plain(where), GREEN if where == "both" else BLUE),
            str(number),
            _size(layer, deterministic=deterministic),
            bar(layer.size / largest if largest else 0.0),
            _instruction(layer),
        ]
        for where, number, layer in result.items
    ]
    stack = table(["in", "#", "size", "", "made by"], rows, limit=2 * _ROWS)
    return join([stack, "" if deterministic else note(plain(result.sum_up()))])


def origin(result: FileHistory, *, deterministic: bool) -> Markup:
    found_rows = result.origin
    rows = [
        [
            str(item.layer),
            badge(word(item), _COLORS[item.kind]),
            [
                _instruction(item),
                note(plain(describe(item, stable=deterministic))[:_PATH]),
                _difference(item),
            ],
        ]
        for item in found_rows.versions
    ]
    head = tag("div", code(plain(result.head())[: 2 * _PATH]))
    return join([head, table(["#", "", "made by"], rows, limit=_ROWS)])


def _difference(item: FileVersion) -> Markup | str:
    if not item.diff:
        return ""
    text = plain("\n".join(item.diff))
    cut = text[:_DIFF] + ("\n…" if len(text) > _DIFF else "")
    return details(f"{len(item.diff)} lines of difference", pre(cut), opened=len(item.diff) < 20)
