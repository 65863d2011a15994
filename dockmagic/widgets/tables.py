"""Listings as HTML tables: `ps`, `images`, `history`."""

from __future__ import annotations

from typing import Any

from dockmagic.commands.output.listing import Listing
from dockmagic.widgets.html import BLUE, GREEN, MUTED, ORANGE, Markup, badge, code, join, table, tag
from dockmagic.widgets.sanitize import plain

_CODE = frozenset(["ID", "Command", "CreatedBy", "Ports"])


def listing(result: Listing, *, deterministic: bool) -> Markup:
    """All of Docker's columns, or in deterministic mode those of the stable text."""
    if result.quiet or result.format:
        return Markup("")
    columns = [(column.heading, column.field) for column in result.columns]
    if deterministic and not result.in_full:
        columns = result.stable_columns()
    columns += [column for column in result.stable_columns() if column[1] == "_note"]
    columns = list(dict.fromkeys(columns))
    rows = [[_cell(field, row[field]) for _, field in columns] for row in result.fields]
    return join([table([heading for heading, _ in columns], rows)])


def _cell(field: str, text: Any) -> Any:
    shown = plain(str(text))
    if field in ("Status", "_status"):
        return _status(shown)
    if field == "_note" and shown:
        return badge(shown, ORANGE)
    return code(shown) if field in _CODE and shown else shown


def _status(text: str) -> Markup:
    """The dot in front says at a glance what the word says."""
    color = GREEN if text.startswith("Up") else BLUE if text == "Created" else "currentColor"
    color = ORANGE if text.endswith("(Paused)") else color
    dot = tag(
        "span", "●", style=f"color:{color}" + ("" if color != "currentColor" else f";{MUTED}")
    )
    return join([dot, " ", text])
