"""JSON that folds: what `inspect` and `info` know."""

from __future__ import annotations

import json
from typing import Any

from dockmagic.commands.system.info import Info
from dockmagic.commands.system.inspect import Inspected
from dockmagic.widgets.html import MONO, Markup, code, details, join, tag
from dockmagic.widgets.sanitize import plain

_BUDGET = 15_000  # characters of JSON; a notebook keeps all of it


def inspected(result: Inspected, *, deterministic: bool) -> Markup:
    if result.printed is not None or deterministic:
        return Markup("")
    return join([_object(name, o) for name, o in zip(result.names, result.objects, strict=True)])


def info(result: Info, *, deterministic: bool) -> Markup:
    return Markup("") if deterministic else _fields(result.facts)


def _object(name: str, fields: dict[str, Any]) -> Markup:
    return details(tag("b", plain(name)), _fields(fields), opened=True)


def _fields(fields: dict[str, Any]) -> Markup:
    lines, left = [], _BUDGET
    for key, value in fields.items():
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        lines.append(_field(key, text[: max(200, left)]))
        left -= len(text)
    return tag("div", *lines, style=f"padding-left:1.1em;{MONO}")


def _field(key: str, text: str) -> Markup:
    shown = plain(text)
    if "\n" not in shown:
        return tag("div", f"{key}: ", code(shown), style="padding-left:1.1em")
    return details(key, tag("pre", shown, style=f"{MONO};margin:0"))
