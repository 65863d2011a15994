"""HTML made of nested calls. Every text is escaped, and its control sequences go; only what this
module made is not.

Colours are the tokens of `palette`. What carries meaning is in the text as well, because GitHub
takes styles away.
"""

from __future__ import annotations

from html import escape
from typing import Any

from dockmagic.widgets.palette import TOKENS, color
from dockmagic.widgets.sanitize import plain

MUTED = f"color:{color('muted')}"
MONO = "font-family:var(--dm-mono,monospace)"
LEFT = "text-align:left"
BLUE, GREEN, ORANGE, RED = map(color, ("info", "run", "warn", "fail"))
NET, GREY = map(color, ("net", "muted"))
_TOKEN_OF = {color(token): token for token in TOKENS}
ROW_LIMIT = 200


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *children: Any, style: str = "", **attributes: str) -> Markup:
    """One element. A `for_`-like trailing underscore keeps a name from being Python's."""
    if style:
        attributes["style"] = style
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(plain(text))}"'
        for key, text in attributes.items()
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Any) -> Markup:
    """Elements and texts, one after the other."""
    if isinstance(children, Markup):
        return children
    if isinstance(children, (list, tuple)):
        return Markup("".join(map(join, children)))
    return Markup("" if children is None else escape(plain(str(children)), quote=False))


def code(text: str) -> Markup:
    return tag("code", text)


def pre(text: str) -> Markup:
    return tag("pre", text)


def details(summary: Any, *children: Any, opened: bool = False) -> Markup:
    head = tag("summary", summary)
    return tag("details", head, *children, **({"open": ""} if opened else {}))


def badge(text: str, shade: str) -> Markup:
    """A word in one of the colours above, on the fill that belongs to it."""
    return tag("span", text, class_=f"dm-pill dm-{_TOKEN_OF[shade]}")


def bar(share: float, shade: str = BLUE, width: str = "100%") -> Markup:
    """A bar of `share` (0 to 1) of its track; without styles nothing is left of it."""
    percent = max(0.0, min(1.0, share)) * 100
    inner = tag("i", style=f"width:{percent:.1f}%;background:{shade}")
    return tag("span", inner, class_="dm-bar", **({} if width == "100%" else _width(width)))


def _width(width: str) -> dict[str, str]:
    return {"style": f"width:{width}"}


def table(
    headings: list[str],
    rows: list[list[Any]],
    *,
    limit: int = ROW_LIMIT,
    numbers: frozenset[int] = frozenset(),
    lead: int = 0,
) -> Markup:
    """A table; rows over the limit are counted instead of shown.

    The columns `numbers` are aligned on the right. In a narrow window each row takes two lines:
    the cells up to `lead`, and below them the others.
    """

    def cell(name: str, content: Any, at: int) -> Markup:
        names = ["dm-num"] if at in numbers else []
        names += ["dm-lead"] if at == lead else ["dm-mark"] if at < lead else []
        return tag(name, content, **({"class_": " ".join(names)} if names else {}))

    head = tag("tr", *(cell("th", text, at) for at, text in enumerate(headings)))
    body = [
        tag("tr", *(cell("td", content, at) for at, content in enumerate(row)))
        for row in rows[:limit]
    ]
    if len(rows) > limit:
        body.append(tag("tr", tag("td", f"+{len(rows) - limit} more", colspan=str(len(headings)))))
    top = tag("thead", head) if any(headings) else ""
    return tag("table", top, tag("tbody", *body), class_="dm-rows")


def note(text: str) -> Markup:
    return tag("p", text, class_="dm-muted")
