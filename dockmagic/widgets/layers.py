"""The stack of an image: the top layer first, as it lies, each with its bar and its files."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.image.file_history import FileHistory, describe, word
from dockmagic.commands.image.layers import Layers
from dockmagic.commands.image.shared_layers import SharedLayers
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.frame import frame, muted, pill
from dockmagic.widgets.html import (
    BLUE,
    GREEN,
    Markup,
    bar,
    code,
    details,
    join,
    note,
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
_TOKENS = {"A": "run", "C": "info", "D": "warn"}


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
    sum_up = f"{len(items)} layers" + ("" if deterministic else f", {decimal_size(whole)}")
    numbers = frozenset([0, 1])
    stack = table(["#", "SIZE", "", "CREATED BY"], rows, limit=_ROWS, numbers=numbers, lead=3)
    waste = "" if deterministic else _waste(result.anatomy)
    return frame(plain(result.image) or "image", waste, stack, facts=[sum_up])


def _row(number: int, layer: Layer, largest: int, files: int, *, deterministic: bool) -> list[Any]:
    share = layer.size / largest if largest else 0.0
    shared: list[Any] = []
    for name in layer.shared_with[:3]:
        shared += [pill(f"shared with {familiar(name)}", "muted"), " "]
    if len(layer.shared_with) > 3:
        shared.append(muted(f"+{len(layer.shared_with) - 3} more"))
    content = [_instruction(layer), " ", *shared, _files(layer, files, deterministic=deterministic)]
    size = _size(layer, deterministic=deterministic)
    return [str(number), size, bar(share, width="6em"), content]


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
    if not deterministic and layer.added != count and (by_kind := _by_kind(layer)):
        head += f": {by_kind}"
    more = [note(f"+{count - len(entries)} smaller ones")] if count > len(entries) else []
    return details(head, tree(entries), *more)


def _by_kind(layer: Layer) -> str:
    """`16 added, 9 changed`."""
    counts = ((layer.added, "added"), (layer.changed, "changed"), (layer.removed, "removed"))
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def _waste(anatomy: Anatomy) -> Markup:
    """How much of the image can be seen, and which files the rest is in."""
    sentence = (
        f"efficiency {anatomy.efficiency:.1%}: {decimal_size(anatomy.wasted_bytes)} are in files "
        "that a later layer replaces or removes"
    )
    line = tag("div", bar(anatomy.efficiency, GREEN, width="8em"), " ", sentence)
    if not anatomy.wasted:
        return line
    rows = [_wasted(item) for item in anatomy.wasted[:_WASTED]]
    head = f"{anatomy.wasted_files} file{'' if anatomy.wasted_files == 1 else 's'}"
    left = anatomy.wasted_files - len(rows)
    more = [note(f"+{left} smaller ones")] if left else []
    return join([line, details(head, table(["SIZE", "LAYER", "", "PATH"], rows), *more)])


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
            pill(plain(where), "run" if where == "both" else "info"),
            str(number),
            _size(layer, deterministic=deterministic),
            bar(layer.size / largest if largest else 0.0, BLUE, width="6em"),
            _instruction(layer),
        ]
        for where, number, layer in result.items
    ]
    headings = ["IN", "#", "SIZE", "", "CREATED BY"]
    stack = table(headings, rows, limit=2 * _ROWS, numbers=frozenset([1, 2]), lead=4)
    return join([stack, "" if deterministic else note(plain(result.sum_up()))])


def origin(result: FileHistory, *, deterministic: bool) -> Markup:
    found_rows = result.origin
    rows = [
        [
            str(item.layer),
            pill(word(item), _TOKENS[item.kind]),
            [
                _instruction(item),
                note(plain(describe(item, stable=deterministic))[:_PATH]),
                _difference(item),
            ],
        ]
        for item in found_rows.versions
    ]
    head = tag("div", code(plain(result.head())[: 2 * _PATH]))
    return join([head, table(["#", "", "CREATED BY"], rows, limit=_ROWS, lead=2)])


def _difference(item: FileVersion) -> Markup | str:
    if not item.diff:
        return ""
    text = plain("\n".join(item.diff))
    cut = text[:_DIFF] + ("\n…" if len(text) > _DIFF else "")
    lines = tag("pre", *difference(cut))
    return details(f"{len(item.diff)} lines of difference", lines, opened=len(item.diff) < 20)


def difference(text: str) -> list[Any]:
    """The lines of a difference, those that came and those that went in their colours."""
    tokens = {"+": "run", "-": "warn", "@": "muted"}
    return [
        tag("span", f"{line}\n", class_=f"dm-{tokens[line[:1]]}")
        if line[:1] in tokens
        else f"{line}\n"
        for line in text.split("\n")
    ]
