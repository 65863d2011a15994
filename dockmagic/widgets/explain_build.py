"""`explain build`: the steps as a picture, one line each, with what came from the cache.

The picture is an SVG without scripts or colours of a page, as that of `explain`. A stage is a
column of dots; a line leads from each step to what is built on it, also into other stages.
"""

from __future__ import annotations

from collections.abc import Iterator

from dockmagic.commands.builder.explain import ExplainedBuild, shown, state, why
from dockmagic.commands.output.table import ellipsis
from dockmagic.commands.units import decimal_size
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
    table,
    tag,
)  # fmt: skip
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.explanation import ExplainedBuildStep

_COLUMN, _ROW, _DOT = 18, 26, 5  # pixels
_TEXT, _WHY, _BAR, _END = 400, 300, 120, 70  # widths of the four parts
_LETTER = 6.7  # width of one, about
_THINNEST = 1.5
_COLORS = {"hit": GREEN, "miss": ORANGE, "pulled": ORANGE, "": BLUE}


def explained_build(result: ExplainedBuild, *, deterministic: bool) -> Markup:
    steps = [step for step in result.steps if not step.begins]
    hits = sum(step.cached for step in steps)
    head = tag("b", f"{hits} of {len(steps)} steps from the cache")
    name = code(plain(result.explanation.file_name))
    if deterministic:
        return join([tag("div", head, " in ", name), _table(result, times=False)])
    took = tag("span", f" in {result.explanation.seconds:.2f} s", style=MUTED)
    everything = details("All steps", _table(result, times=True))
    return join([tag("div", name, " ", head, took), _picture(result), everything])


def _table(result: ExplainedBuild, *, times: bool) -> Markup:
    headings = ["step", "line", "instruction", "cache", "why", *(["ms", "size"] if times else [])]
    return table(headings, [_cells(step, times=times) for step in result.steps])


def _cells(step: ExplainedBuildStep, *, times: bool) -> list[object]:
    cells: list[object] = [step.number, step.line, code(plain(shown(step))), state(step)]
    cells.append(plain(why(step)))
    if times:
        cells += [f"{step.seconds * 1e3:.1f}", decimal_size(step.size) if step.size else ""]
    return cells


# ------------------------------------------------------------------- the picture


def _picture(result: ExplainedBuild) -> Markup:
    steps = result.steps
    columns = {stage: at for at, stage in enumerate(sorted({step.stage for step in steps}))}
    places = {
        step.number: (_DOT + 3 + columns[step.stage] * _COLUMN, row * _ROW + _ROW // 2)
        for row, step in enumerate(steps)
    }
    left = len(columns) * _COLUMN + 8
    longest = max((step.seconds for step in steps), default=0.0) or 1.0
    width = left + _TEXT + _WHY + _BAR + _END
    return tag(
        "svg",
        *_links(steps, places),
        *(_step(step, places[step.number], left, longest) for step in steps),
        xmlns="http://www.w3.org/2000/svg", role="img",
        viewBox=f"0 0 {width} {len(steps) * _ROW}",
        style=f"width:100%;max-width:{width}px;height:auto;{LEFT};font:11px monospace",
    )  # fmt: skip


def _links(
    steps: tuple[ExplainedBuildStep, ...], places: dict[int, tuple[int, int]]
) -> Iterator[Markup]:
    """From each step to the one before it in its stage, and to those of other stages."""
    before: dict[int, int] = {}
    for step in steps:
        sources = [*step.needs, *([before[step.stage]] if step.stage in before else [])]
        for source in sources:
            (x1, y1), (x2, y2) = places[source], places[step.number]
            middle = (y1 + y2) // 2
            yield tag(
                "path", d=f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}",
                fill="none", stroke=_COLORS[state(step)], stroke_width="2", opacity=".6",
            )  # fmt: skip
        before[step.stage] = step.number


def _step(step: ExplainedBuildStep, place: tuple[int, int], left: int, longest: float) -> Markup:
    x, y = place
    color = _COLORS[state(step)]
    base = str(y + 4)
    bar = max(_THINNEST, step.seconds / longest * _BAR)
    begin = left + _TEXT + _WHY
    return tag(
        "g",
        tag("title", f"line {step.line}: {plain(step.instruction)}\n{plain(why(step))}"),
        tag("circle", cx=str(x), cy=str(y), r=str(_DOT), fill=color),
        _text(f"{step.number}. {shown(step)}", left, base, _TEXT),
        _text(why(step), left + _TEXT, base, _WHY, fill=color),
        tag("rect", x=str(begin), y=str(y - 5), width=f"{bar:.1f}", height="10",
            fill=color, opacity=".6"),
        _text(f"{step.seconds * 1e3:.1f} ms", begin + _BAR + 4, base, _END),
    )  # fmt: skip


def _text(text: str, x: int, y: str, width: int, fill: str = "currentColor") -> Markup:
    return tag("text", plain(ellipsis(text, int(width / _LETTER))), x=str(x), y=y, fill=fill)
