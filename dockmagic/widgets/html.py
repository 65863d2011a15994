"""HTML made of nested calls. Every text is escaped; only what this module made is not.

Colours are half transparent, so that one set reads well on light and on dark pages. What carries
meaning is in the text as well, because GitHub takes styles away.
"""

from __future__ import annotations

from html import escape
from typing import Any

MUTED = "opacity:.65"
MONO = "font-family:monospace"
LEFT = "text-align:left"
BLUE, GREEN, ORANGE, RED = "#3b82f6", "#22a06b", "#d97706", "#dc2626"
ROW_LIMIT = 200


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *children: Any, style: str = "", **attributes: str) -> Markup:
    """One element. A `for_`-like trailing underscore keeps a name from being Python's."""
    if style:
        attributes["style"] = style
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"' for key, text in attributes.items()
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Any) -> Markup:
    """Elements and texts, one after the other."""
    if isinstance(children, Markup):
        return children
    if isinstance(children, (list, tuple)):
        return Markup("".join(map(join, children)))
    return Markup("" if children is None else escape(str(children), quote=False))


def code(text: str) -> Markup:
    return tag("code", text, style="background:none;white-space:pre-wrap")


def pre(text: str) -> Markup:
    style = f"{MONO};margin:.2em 0 .4em;white-space:pre-wrap;max-height:20em;overflow:auto"
    return tag("pre", text, style=style)


def details(summary: Any, *children: Any, opened: bool = False) -> Markup:
    head = tag("summary", summary, style="cursor:pointer")
    return tag("details", head, *children, **({"open": ""} if opened else {}))


def badge(text: str, color: str) -> Markup:
    style = (
        f"border:1px solid {color};color:{color};border-radius:.6em;padding:0 .5em;font-size:.85em"
    )
    return tag("span", text, style=style)


def bar(share: float, color: str = BLUE, width: str = "8em") -> Markup:
    """A bar of `share` (0 to 1) of its width; without styles nothing is left of it."""
    percent = max(0.0, min(1.0, share)) * 100
    inner = tag("div", style=f"background:{color};height:.7em;width:{percent:.1f}%")
    return tag("div", inner, style=f"width:{width};background:rgba(127,127,127,.2)")


def table(headings: list[str], rows: list[list[Any]], *, limit: int = ROW_LIMIT) -> Markup:
    """A table; rows over the limit are counted instead of shown."""
    head = tag("tr", *(tag("th", text, style=LEFT) for text in headings))
    body = [tag("tr", *(tag("td", cell, style=LEFT) for cell in row)) for row in rows[:limit]]
    if len(rows) > limit:
        body.append(tag("tr", tag("td", f"+{len(rows) - limit} more", colspan=str(len(headings)))))
    return tag("table", tag("thead", head), tag("tbody", *body))


def note(text: str) -> Markup:
    return tag("p", text, style=f"{MUTED};margin:.2em 0")
