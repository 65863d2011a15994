"""JSON that folds: what `inspect` and `info` know."""

from __future__ import annotations

import json
from typing import Any

from dockmagic.commands.system.info import Info
from dockmagic.commands.system.inspect import Inspected
from dockmagic.widgets.frame import muted
from dockmagic.widgets.html import Markup, code, details, join, tag
from dockmagic.widgets.sanitize import plain

_NOTHING: tuple[object, ...] = (None, "", [], {})
_BUDGET = 14_000  # characters of JSON; a notebook keeps all of it


def inspected(result: Inspected, *, deterministic: bool) -> Markup:
    if result.printed is not None or deterministic:
        return Markup("")
    return join([_object(name, o) for name, o in zip(result.names, result.objects, strict=True)])


def info(result: Info, *, deterministic: bool) -> Markup:
    return Markup("") if deterministic else _fields(result.facts)


def _object(name: str, fields: dict[str, Any]) -> Markup:
    return details(tag("b", plain(name)), _fields(fields), opened=True)


def _fields(fields: dict[str, Any]) -> Markup:
    """Those that say nothing are in one line at the end."""
    lines, left = [], _BUDGET
    empty = [key for key, value in fields.items() if value in _NOTHING]
    for key, value in fields.items():
        if key in empty:
            continue
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        lines.append(_field(key, text[: max(200, left)]))
        left -= len(text)
    if empty:
        lines.append(tag("div", muted(f"empty: {', '.join(map(plain, empty))}"), class_="dm-in"))
    return tag("div", *lines)


def _field(key: str, text: str) -> Markup:
    shown, name = plain(text), muted(plain(key))
    if "\n" not in shown:
        return tag("div", name, " ", code(shown.strip('"')), class_="dm-in")
    return tag("div", details(name, tag("pre", shown)), class_="dm-in")
