"""How a container was made: three lanes on a time line, and the same as a table that folds.

The picture is an SVG without scripts or colours of a page: what is half transparent or
`currentColor` reads on light and on dark ones. Where a viewer takes SVG away, the table is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join as shell_join

from dockmagic.commands.container.explain import LANES, Explained
from dockmagic.widgets.html import (
    BLUE,
    GREEN,
    LEFT,
    MUTED,
    ORANGE,
    Markup,
    code,
    details,
    join,
    note,
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.explanation import ExplainedStep

_COLORS = dict(zip(LANES, (ORANGE, BLUE, GREEN), strict=True))
_LABEL, _WIDTH, _LANE, _BAR, _AXIS = 86, 860, 34, 22, 20  # pixels
_THINNEST = 1.5
_NUMBER = 50  # the room that one on the axis takes
_LETTER = 6.2  # width of one, about
_STEPS_OF_A_SCALE = (1, 2, 5)


def explained(result: Explained, *, deterministic: bool) -> Markup:
    command = code(plain(shell_join(result.explanation.command)))
    count = f"{len(result)} operations"
    if deterministic:
        return join([tag("div", tag("b", count), " before ", command), _table(result, times=False)])
    name = plain(result.explanation.name) or result.explanation.container_id[:12]
    head = tag(
        "div", tag("b", name), " ",
        tag("span", f"{count} in {_ms(result.explanation.seconds)} before ", style=MUTED), command,
    )  # fmt: skip
    return join([head, _picture(result), details("All operations", _table(result, times=True))])


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _table(result: Explained, *, times: bool) -> Markup:
    """In the order in which they began, which without times is that of each lane."""
    headings = [
        *(["began (ms)", "took (ms)"] if times else []),
        "who",
        "operation",
        "kernel calls",
        "undo",
    ]
    steps = result.steps if times else [step for who in LANES for step in result.lane(who)]
    usual = _usual_undoing(steps)
    rows = [_row(result, step, usual, times=times) for step in steps]
    return join([table(headings, rows), note(f"Undone by {usual}, unless it says otherwise.")])


def _usual_undoing(steps: Sequence[ExplainedStep]) -> str:
    return max((step.undoing for step in steps), key=[s.undoing for s in steps].count, default="")


def _row(result: Explained, step: ExplainedStep, usual: str, *, times: bool) -> list[object]:
    shown = [f"{seconds * 1e3:.2f}" for seconds in (step.began, step.seconds)] if times else []
    text = plain(result.short(step)) if times else step.name
    undoing = "" if step.undoing == usual else plain(step.undoing)
    return [*shown, step.who, text, plain(", ".join(step.calls)), undoing]


# ------------------------------------------------------------------- the picture


def _picture(result: Explained) -> Markup:
    whole = max(result.explanation.seconds, 1e-6)
    height = len(LANES) * _LANE + _AXIS
    lanes = [_lane(result, who, index, whole) for index, who in enumerate(LANES)]
    return tag(
        "svg", *_grid(whole), *lanes,
        xmlns="http://www.w3.org/2000/svg", role="img",
        viewBox=f"0 0 {_LABEL + _WIDTH} {height}",
        style=f"width:100%;max-width:{_LABEL + _WIDTH}px;height:auto;{LEFT};font:11px sans-serif",
    )  # fmt: skip


def _x(seconds: float, whole: float) -> float:
    return _LABEL + seconds / whole * (_WIDTH - 1)


def _grid(whole: float) -> list[Markup]:
    """A line and a number at every round time, five to ten of them."""
    step = _scale(whole)
    bottom = len(LANES) * _LANE
    drawn = []
    for number in range(int(whole / step) + 1):
        x = f"{_x(number * step, whole):.1f}"
        anchor = "end" if _x(number * step, whole) > _LABEL + _WIDTH - _NUMBER else "start"
        drawn += [
            tag("line", x1=x, x2=x, y1="0", y2=str(bottom), stroke="currentColor", opacity=".15"),
            tag("text", f"{number * step * 1e3:g} ms", x=x, y=str(bottom + 14),
                fill="currentColor", opacity=".65", text_anchor=anchor),
        ]  # fmt: skip
    return drawn


def _scale(whole: float) -> float:
    """The smallest of 1, 2, 5, 10, 20… microseconds that divides `whole` into ten at most."""
    power = 1e-6
    while True:
        for digit in _STEPS_OF_A_SCALE:
            if whole / (digit * power) <= 10:
                return digit * power
        power *= 10


def _lane(result: Explained, who: str, index: int, whole: float) -> Markup:
    top = index * _LANE + (_LANE - _BAR) / 2
    label = tag("text", who, x="0", y=f"{top + 15:.0f}", fill="currentColor")
    steps = result.lane(who)
    bars = [_bar(result, step, top, whole, strong=at % 2 == 0) for at, step in enumerate(steps)]
    return tag("g", label, *bars)


def _bar(
    result: Explained, step: ExplainedStep, top: float, whole: float, *, strong: bool
) -> Markup:
    """Neighbours differ in strength, so that two short ones can be distinguished."""
    left = _x(step.began, whole)
    wide = max(_THINNEST, _x(step.began + step.seconds, whole) - left)
    title = f"{plain(result.short(step))}\n{_ms(step.seconds)}"
    rectangle = tag(
        "rect", x=f"{left:.1f}", y=f"{top:.1f}", width=f"{wide:.1f}", height=str(_BAR),
        fill=_COLORS[step.who], opacity=".85" if strong else ".5",
    )  # fmt: skip
    fits = len(step.name) * _LETTER < wide - 4
    name = tag("text", step.name, x=f"{left + 3:.1f}", y=f"{top + 15:.1f}", fill="currentColor")
    return tag("g", tag("title", title), rectangle, name if fits else "")
