"""`explain build`: the steps as a picture, one line each, with what came from the cache.

A stage is a column of dots; a line leads from each step to what is built on it, also into other
stages. The graph is drawn in pieces, one for each row of a table, so that the texts beside it are
as wide as the page.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dockmagic.commands.builder.explain import ExplainedBuild, shown, state, why
from dockmagic.commands.units import decimal_size
from dockmagic.widgets.build import duration
from dockmagic.widgets.frame import frame, muted
from dockmagic.widgets.html import Markup, bar, code, details, join, table, tag
from dockmagic.widgets.palette import color
from dockmagic.widgets.sanitize import plain
from dockmagic_runtime.model.explanation import ExplainedBuildStep

_COLUMN, _ROW, _DOT = 16, 26, 4.5  # pixels
_TOKENS = {"hit": "run", "miss": "info", "pulled": "info", "": "muted"}
_LIMIT = 80


class Edge(Struct, frozen=True):
    """From one row's dot down to another's; `lane` is the stage that it starts in."""

    begin: int
    end: int
    lane: int
    into: int
    token: str


def explained_build(result: ExplainedBuild, *, deterministic: bool) -> Markup:
    steps = [step for step in result.steps if not step.begins]
    hits = sum(step.cached for step in steps)
    facts = [f"{hits} of {len(steps)} steps from the cache"]
    name = plain(result.explanation.file_name)
    if deterministic:
        return frame(name, _table(result, times=False), facts=facts)
    facts.append(duration(result.explanation.seconds))
    every = details("All steps", _table(result, times=True))
    return frame(name, _picture(result), every, facts=facts)


def _table(result: ExplainedBuild, *, times: bool) -> Markup:
    headings = ["STEP", "LINE", "INSTRUCTION", "CACHE", "WHY", *(["TOOK", "SIZE"] if times else [])]
    rows = [_cells(step, times=times) for step in result.steps]
    return table(headings, rows, numbers=frozenset([0, 1, 5, 6]))


def _cells(step: ExplainedBuildStep, *, times: bool) -> list[object]:
    cells: list[object] = [step.number, step.line, code(plain(shown(step))), state(step)]
    cells.append(plain(why(step)))
    if times:
        cells += [duration(step.seconds), decimal_size(step.size) if step.size else ""]
    return cells


# ------------------------------------------------------------------- the picture


def _picture(result: ExplainedBuild) -> Markup:
    steps = result.steps
    lanes = {stage: at for at, stage in enumerate(sorted({step.stage for step in steps}))}
    links = edges(steps, lanes)
    longest = max((step.seconds for step in steps), default=0.0) or 1.0
    rows: list[list[object]] = [
        [
            _graph(row, lanes[step.stage], len(lanes), links, _TOKENS[state(step)]),
            join([code(plain(f"{step.number}. {shown(step)}"))]),
            tag("span", plain(why(step)), class_=f"dm-{_TOKENS[state(step)]}"),
            bar(step.seconds / longest, color(_TOKENS[state(step)]), width="6em"),
            muted(duration(step.seconds)),
        ]
        for row, step in enumerate(steps)
    ]
    return table(["", "", "", "", ""], rows, limit=_LIMIT, numbers=frozenset([4]), lead=1)


def edges(steps: Sequence[ExplainedBuildStep], lanes: dict[int, int]) -> list[Edge]:
    """From each step to the one before it in its stage, and to those of other stages."""
    rows = {step.number: row for row, step in enumerate(steps)}
    before: dict[int, int] = {}
    links: list[Edge] = []
    for row, step in enumerate(steps):
        sources = [*step.needs, *([before[step.stage]] if step.stage in before else [])]
        for source in sources:
            begin = rows[source]
            lane = lanes[steps[begin].stage]
            links.append(Edge(begin, row, lane, lanes[step.stage], _TOKENS[state(step)]))
        before[step.stage] = step.number
    return links


def _graph(row: int, lane: int, count: int, links: Sequence[Edge], token: str) -> Markup:
    """The piece of the graph that is in this row."""
    lines = [line for link in links if (line := _piece(link, row))]
    dot = tag("circle", cx=str(_x(lane)), cy=str(_ROW / 2), r=str(_DOT), fill=color(token))
    width = count * _COLUMN
    return tag(
        "svg", *lines, dot,
        xmlns="http://www.w3.org/2000/svg", aria_hidden="true",
        width=str(width), height=str(_ROW), viewBox=f"0 0 {width} {_ROW}",
        style="display:block;margin:-4px 0",
    )  # fmt: skip


def _x(lane: int) -> float:
    return (lane + 0.5) * _COLUMN


def _piece(link: Edge, row: int) -> Markup | None:
    if not link.begin <= row <= link.end:
        return None
    x, into, middle = _x(link.lane), _x(link.into), _ROW / 2
    if row == link.begin:
        path = f"M{x} {middle}V{_ROW}"
    elif row < link.end:
        path = f"M{x} 0V{_ROW}"
    else:
        path = f"M{x} 0C{x} {middle} {into} 0 {into} {middle}"
    return tag("path", d=path, fill="none", stroke=color(link.token), stroke_width="2")
