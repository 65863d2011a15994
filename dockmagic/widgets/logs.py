"""A log as a static view: lines in their colours, those of stderr marked by a bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from dockmagic.widgets.frame import muted
from dockmagic.widgets.html import Markup, tag
from dockmagic.widgets.logs_buffer import Line, LogBuffer
from dockmagic.widgets.terminal_colors import COLORS, colored, scrolled_to_end

if TYPE_CHECKING:
    from dockmagic.commands.container.logs import Logs

SAVED: Final = 400  # lines in a notebook
STYLE: Final = COLORS + (
    ".dm-lines{font-family:var(--dm-mono,monospace);font-size:13px;line-height:1.35;"
    "max-height:30em;overflow:auto;margin-left:-5px}"
    ".dm-line{white-space:pre-wrap;overflow-wrap:anywhere;padding-left:3px;"
    "border-left:2px solid transparent;min-height:1.35em}"
    ".dm-line.dm-err{border-left-color:var(--dm-warn)}"
    ".dm-time{color:var(--dm-muted);margin-right:8px;font-size:12px}"
)


def logs(result: Logs, *, deterministic: bool) -> Markup:
    """The log as it stands."""
    buffer = LogBuffer()
    for line in result.lines:
        buffer.add(line.stream, line.time, line.text)
    shown = buffer.last(SAVED)
    times = result.timestamps and not deterministic
    return block(shown, buffer.total - len(shown), result.container, timestamps=times)


def block(lines: Sequence[Line], left_out: int, name: str, *, timestamps: bool = False) -> Markup:
    """Lines below a note on those that are left out."""
    note = f"{left_out:,} earlier lines are not shown: x = %logs {name} has them all"
    return Markup(
        tag("style", Markup(STYLE))
        + (tag("p", muted(note)) if left_out else "")
        + scrolled_to_end(tag("div", *_drawn(lines, timestamps=timestamps)), "dm-lines dm-term")
    )


def _drawn(lines: Iterable[Line], *, timestamps: bool) -> Iterable[Markup]:
    for line in lines:
        is_error = line.stream == "stderr"
        time = tag("span", line.time, class_="dm-time") if timestamps else ""
        attributes = {"title": "stderr"} if is_error else {}
        css = "dm-line dm-err" if is_error else "dm-line"
        yield tag("div", time, *map(colored, line.runs()), class_=css, **attributes)
