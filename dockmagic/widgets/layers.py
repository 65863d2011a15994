"""The stack of an image: the top layer first, as it lies, each with its bar and its files."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.layers import Layers
from dockmagic.commands.quantities import decimal_size
from dockmagic.commands.references import familiar
from dockmagic.widgets.html import (
    GREEN,
    MUTED,
    Markup,
    badge,
    bar,
    code,
    details,
    join,
    note,
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.tree import Entry, tree
from dockmagic.widgets.untrusted import plain
from dockmagic_runtime.model.image import Layer

_SIZE, _ROW, _FILE = 18_000, 560, 130  # bytes of HTML: in all, of a layer, of a file
_ROWS = 25
_INSTRUCTION = 200


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
    return join(
        [table(["#", "size", "", "made by, and what it brings"], rows, limit=_ROWS), note(sum_up)]
    )


def _row(number: int, layer: Layer, largest: int, files: int, *, deterministic: bool) -> list[Any]:
    share = layer.size / largest if largest else 0.0
    shared = [badge(f"shared with {familiar(tag)}", GREEN) for tag in layer.shared_with[:3]]
    if len(layer.shared_with) > 3:
        shared.append(tag("span", f" +{len(layer.shared_with) - 3} more", style=MUTED))
    made_by = plain(" ".join(layer.created_by.split()))[:_INSTRUCTION] or "(unknown)"
    content = [code(made_by), " ", *shared, _files(layer, files, deterministic=deterministic)]
    return [str(number), _size(layer, deterministic=deterministic), bar(share), content]


def _size(layer: Layer, *, deterministic: bool) -> str:
    return "" if deterministic else decimal_size(layer.size)


def _files(layer: Layer, limit: int, *, deterministic: bool) -> Markup:
    """The largest files; the rest is counted, or a base image would fill the notebook."""
    if not layer.files:
        return note("no files")
    chosen = sorted(layer.files, key=lambda file: (-file.size, file.path))[:limit]
    entries = sorted(
        (
            Entry(
                plain(file.path),
                file.kind,
                "" if deterministic or not file.size else decimal_size(file.size),
            )
            for file in chosen
        ),
        key=lambda entry: entry.path,
    )
    count = len(layer.files)
    head = "files" if deterministic else f"{count} file{'' if count == 1 else 's'}"
    more = [note(f"+{count - len(entries)} smaller ones")] if count > len(entries) else []
    return details(head, tree(entries), *more)
