"""The colours and styles of programs' output: as values, as CSS, and read from SGR sequences.

Only what is here reaches a notebook: a colour is one of sixteen variables or six hex digits, and a
style one of four; every text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from dockmagic.widgets.html import Markup, join, tag

NAMED: Final = {
    "black": 0, "red": 1, "green": 2, "brown": 3, "blue": 4, "magenta": 5, "cyan": 6, "white": 7,
    "brightblack": 8, "brightred": 9, "brightgreen": 10, "brightbrown": 11, "brightblue": 12,
    "brightmagenta": 13, "bfightmagenta": 13, "brightcyan": 14, "brightwhite": 15,
}  # fmt: skip
# The sixteen colours, for light pages and for dark ones; as text each has 4.5:1 on the page.
ANSI: Final = (
    ("#1f2328", "#c62828", "#0b7a4b", "#8a5a00", "#1d63ed", "#8e3fa8", "#00727f", "#5c6370",
     "#5c6370", "#b71c1c", "#0a6b42", "#7a4f00", "#1757d6", "#7b3494", "#00626e", "#1f2328"),
    ("#a3abb6", "#ff7b72", "#3ecf8e", "#f0a94b", "#79b0ff", "#d29bec", "#4fc9d9", "#d7dce2",
     "#a3abb6", "#ff9d96", "#6fe0ad", "#f6c37e", "#a3c8ff", "#e2bdf5", "#85dce7", "#ffffff"),
)  # fmt: skip


class Run(Struct, frozen=True):
    """Characters of one style. Colours are pyte's: a name, six hex digits, or "default"."""

    text: str
    fg: str = "default"
    bg: str = "default"
    bold: bool = False
    italics: bool = False
    underscore: bool = False
    reverse: bool = False


def colored(run: Run) -> Markup:
    """The text in its style, as HTML."""
    rules = css(run)
    return tag("span", run.text, style=rules) if rules else join(run.text)


def scrolled_to_end(body: Markup, css: str) -> Markup:
    """A box that begins with its end in sight: the news are there."""
    style = "display:flex;flex-direction:column-reverse;overflow:auto"
    return tag("div", body, class_=css, style=style)


def css(run: Run) -> str:
    """The style as CSS declarations; empty for plain text."""
    return ";".join(_rules(run))


def _rules(run: Run) -> Iterator[str]:
    foreground, background = _color(run.fg), _color(run.bg)
    if run.reverse:
        foreground, background = background or "var(--dm-back)", foreground or "var(--dm-fore)"
    if foreground:
        yield f"color:{foreground}"
    if background:
        yield f"background:{background}"
        if not foreground:
            yield "color:var(--dm-fore)"
    if run.bold:
        yield "font-weight:bold"
    if run.italics:
        yield "font-style:italic"
    if run.underscore:
        yield "text-decoration:underline"


def _color(name: str) -> str:
    """The CSS value of a colour of pyte's; none for the default."""
    if name in NAMED:
        return f"var(--dm-ansi{NAMED[name]})"
    return f"#{name}" if re.fullmatch(r"[0-9a-f]{6}", name) else ""


def _variables(colors: Iterable[str], fore: str, back: str) -> str:
    named = "".join(f"--dm-ansi{number}:{color};" for number, color in enumerate(colors))
    return f"{named}--dm-fore:{fore};--dm-back:{back};"


# Put on an element, its text has the colours of the page's theme.
COLORS: Final = (
    f".dm-term{{{_variables(ANSI[0], '#1f2328', '#ffffff')}}}"
    f"[data-jp-theme-light=false] .dm-term{{{_variables(ANSI[1], '#e6e8eb', '#111111')}}}"
)

_SGR = re.compile(r"\x1b\[([0-9;:]*)m")
_NAMES: Final = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_PLAIN = Run("")


def runs(text: str, style: Run = _PLAIN) -> tuple[list[Run], Run]:
    """A text whose only sequences are SGR (`sanitize.Cleaner`), and the style at its end."""
    parts = _SGR.split(text)
    result = [replace(style, text=parts[0])] if parts[0] else []
    for codes, piece in zip(parts[1::2], parts[2::2], strict=True):
        style = _styled(style, [int(c.partition(":")[0] or 0) for c in codes.split(";")])
        if piece:
            result.append(replace(style, text=piece))
    return result, style


_SWITCHES: Final = {
    1: {"bold": True}, 3: {"italics": True}, 4: {"underscore": True}, 7: {"reverse": True},
    22: {"bold": False}, 23: {"italics": False}, 24: {"underscore": False},
    27: {"reverse": False},
}  # fmt: skip


def _styled(style: Run, codes: list[int]) -> Run:
    values = iter(codes)
    for code in values:
        if code == 0:
            style = _PLAIN
        elif code in _SWITCHES:
            style = replace(style, **_SWITCHES[code])
        elif 30 <= code <= 49 or 90 <= code <= 107:
            which = "bg" if code in range(40, 50) or code >= 100 else "fg"
            style = replace(style, **{which: _named(code, values)})
    return style


def _named(code: int, values: Iterator[int]) -> str:
    """The colour of a code; those of 38 and 48 are in the codes that follow."""
    number = code % 10
    if number == 8 and code < 50:
        return _extended(values)
    if number == 9:
        return "default"
    return ("bright" if code >= 90 else "") + _NAMES[number]


def _extended(values: Iterator[int]) -> str:
    kind = next(values, 0)
    if kind == 2:
        channels = [min(next(values, 0), 255) for _ in range(3)]
        return "".join(f"{channel:02x}" for channel in channels)
    number = min(next(values, 0), 255) if kind == 5 else 0
    if number < 16:
        return ("bright" if number > 7 else "") + _NAMES[number % 8]
    if number > 231:
        return f"{8 + 10 * (number - 232):02x}" * 3
    levels = (0, 95, 135, 175, 215, 255)
    number -= 16
    return "".join(f"{levels[number // step % 6]:02x}" for step in (36, 6, 1))
