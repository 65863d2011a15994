"""Boxes with text, as an SVG without scripts.

`currentColor` and half transparent colours read on light and on dark pages.
"""

from __future__ import annotations

from msgspec import Struct, field

from dockmagic.widgets.html import LEFT, Markup, tag
from dockmagic.widgets.sanitize import plain

WIDTH = 900
LINE, PAD, GAP = 17, 8, 18  # pixels: a line of text, around it, between two boxes
_LETTERS = 6.3  # width of one, about
_FONT = "12px sans-serif"


class Box(Struct):
    """A rectangle with lines of text, and the middle of each line by its name.

    The first lines stand out, as many as `heads` says, and `foot`, one more line.
    """

    left: float
    width: float
    top: float
    color: str
    lines: list[tuple[str, str]] = field(default_factory=list)  # name and text
    dashed: bool = False
    heads: int = 1
    foot: str = ""

    @property
    def height(self) -> float:
        return (len(self.lines) + bool(self.foot)) * LINE + 2 * PAD

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> float:
        return self.top + self.height / 2

    def at(self, name: str) -> float:
        """The height at which a line of that name is met."""
        row = next(n for n, (item, _) in enumerate(self.lines) if item == name)
        return self.top + PAD + (row + 0.5) * LINE

    def draw(self) -> Markup:
        frame = tag(
            "rect", x=number(self.left), y=number(self.top), width=number(self.width),
            height=number(self.height), rx="6", fill=self.color, fill_opacity=".12",
            stroke=self.color, **({"stroke_dasharray": "5 3"} if self.dashed else {}),
        )  # fmt: skip
        texts = [
            self._line(row, line, strong=row < self.heads)
            for row, (_, line) in enumerate(self.lines)
        ]
        foot = [self._line(len(self.lines), self.foot, strong=True)] if self.foot else []
        return tag("g", frame, *texts, *foot)

    def _line(self, row: int, line: str, *, strong: bool) -> Markup:
        top = self.top + PAD + row * LINE + 13
        return text(line, self.left + PAD, top, self.width - 2 * PAD, strong=strong)


def letters(width: float) -> int:
    """How many fit into that width."""
    return int(width / _LETTERS)


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def text(line: str, x: float, y: float, room: float, *, strong: bool = False) -> Markup:
    """One line, cut where `room` ends; then a title has the whole of it."""
    whole, most = plain(line), letters(room)
    shown = whole if len(whole) <= most else f"{whole[: most - 1]}…"
    weight = {"font_weight": "bold"} if strong else {"opacity": ".85"}
    title = tag("title", whole) if shown != whole else ""
    return tag("text", title, shown, x=number(x), y=number(y), fill="currentColor", **weight)


def picture(label: str, height: float, parts: list[Markup], width: float = WIDTH) -> Markup:
    """As wide as its place is, but not wider than drawn."""
    return tag(
        "svg", *parts,
        xmlns="http://www.w3.org/2000/svg", role="img", aria_label=label,
        viewBox=f"0 0 {number(width)} {number(height)}",
        style=f"width:100%;max-width:{number(width)}px;height:auto;{LEFT};font:{_FONT}",
    )  # fmt: skip
