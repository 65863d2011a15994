"""How a container was made: three lanes on a time line, and the same as a table that folds.

The picture is made of boxes whose places are shares of the width. Where a viewer takes styles away,
the table is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join as shell_join

from dockmagic.commands.container.explain import LANES, Explained
from dockmagic.widgets.frame import frame
from dockmagic.widgets.html import (
    Markup,
    code,
    details,
    join,
    note,
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.palette import color
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.explanation import ExplainedStep

_COLORS = dict(zip(LANES, map(color, ("warn", "info", "net")), strict=True))
_ROOM = 1.1  # percent of the width that a letter takes, where it is narrow
_MARKS = 6  # numbers on the axis
_STEPS_OF_A_SCALE = (1, 2, 5)


def explained(result: Explained, *, deterministic: bool) -> Markup:
    command = code(plain(shell_join(result.explanation.command)))
    count = f"{len(result)} operations"
    if deterministic:
        return join([tag("div", tag("b", count), " before ", command), _table(result, times=False)])
    name = plain(result.explanation.name) or result.explanation.container_id[:12]
    facts = [f"{count} in {_ms(result.explanation.seconds)}", join(["then ", command])]
    every = details("All operations", _table(result, times=True))
    return frame(name, _picture(result), every, facts=facts)


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
    """Lanes of bars by shares of the width: it is as wide as the page, and its text stays large."""
    whole = max(result.explanation.seconds, 1e-6)
    lanes = [_lane(result, who, whole) for who in LANES]
    return tag("div", *lanes, _axis(whole), role="img", aria_label="time line of the start")


def _lane(result: Explained, who: str, whole: float) -> Markup:
    steps = result.lane(who)
    bars = [_bar(result, step, whole) for step in steps]
    return tag("div", tag("span", who), tag("div", *bars), class_="dm-lane")


def _bar(result: Explained, step: ExplainedStep, whole: float) -> Markup:
    wide = 100 * step.seconds / whole
    fits = wide > _ROOM * len(step.name)
    return tag(
        "i", step.name if fits else "",
        title=f"{plain(result.short(step))}\n{_ms(step.seconds)}",
        style=f"left:{100 * step.began / whole:.2f}%;width:{wide:.2f}%;"
        f"background:{_COLORS[step.who]}",
    )  # fmt: skip


def _axis(whole: float) -> Markup:
    """A number at every round time, three to six of them."""
    step = _scale(whole)
    marks = [
        tag("i", f"{number * step * 1e3:g} ms", style=f"left:{100 * number * step / whole:.2f}%")
        for number in range(int(whole / step * 0.92) + 1)
    ]
    return tag("div", tag("span"), tag("div", *marks), class_="dm-lane dm-axis")


def _scale(whole: float) -> float:
    """The smallest of 1, 2, 5, 10, 20… microseconds that divides `whole` into six at most."""
    power = 1e-6
    while True:
        for digit in _STEPS_OF_A_SCALE:
            if whole / (digit * power) <= _MARKS:
                return digit * power
        power *= 10
