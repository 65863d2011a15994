"""The frame of all views: the style sheet, and a header with state, name, image and facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from dockmagic.widgets.html import Markup, join, tag
from dockmagic.widgets.palette import STYLE
from dockmagic.widgets.sanitize import plain


class State(Struct, frozen=True):
    """How a thing is: the token that colours its dot, the dot's shape, and the word for it."""

    token: str
    word: str = ""
    mark: str = "●"


RUNNING = State("run", "running")
PAUSED = State("warn", "paused", "◐")
CREATED = State("info", "created", "○")
ENDED = State("muted", "exited", "○")
FAILED = State("fail", "failed", "✕")


_ASKED_FOR = (0, 130, 143)  # of itself, by ^C, by `docker stop`: no failure


def state_of(status: str, exit_code: int = 0) -> State:
    """The state of a container from its status and exit code."""
    match status:
        case "running" | "restarting":
            return State("run", status)
        case "paused":
            return PAUSED
        case "created":
            return CREATED
        case "exited" | "dead" if exit_code not in _ASKED_FOR:
            return State("fail", f"{status} ({exit_code})", "✕")
    return State("muted", status, "○")


def sheet(*children: Any) -> Markup:
    """A whole output: the children in the shared style. Every output has its own copy, because it
    is also shown alone."""
    return tag("div", tag("style", Markup(STYLE)), *children, class_="dm")


def frame(
    name: str,
    *body: Any,
    state: State | None = None,
    image: str = "",
    facts: Iterable[Any] = (),
    tools: Iterable[Any] = (),
) -> Markup:
    """A header, and the view below it. Empty facts are left out; texts are escaped."""
    return join([header(name, state=state, image=image, facts=facts, tools=tools), *body])


def header(
    name: str,
    *,
    state: State | None = None,
    image: str = "",
    facts: Iterable[Any] = (),
    tools: Iterable[Any] = (),
) -> Markup:
    shown = [tag("span", fact) for fact in facts if fact]
    buttons = list(tools)
    return tag(
        "div",
        dot(state) if state else "",
        " " if state else "", tag("strong", plain(name)), " ",
        tag("span", plain(image), class_="dm-image"), " " if image else "",
        tag("span", *_spaced(shown), class_="dm-facts dm-muted") if shown else "",
        tag("span", *buttons, class_="dm-tools") if buttons else "",
        class_="dm-head",
    )  # fmt: skip


def _spaced(shown: list[Markup]) -> Iterable[Any]:
    """Blanks between: without the sheet the facts would run together."""
    for index, item in enumerate(shown):
        yield item if not index else join([" ", item])


def dot(state: State) -> Markup:
    """The state's mark; its word is its label for screen readers and on hovering."""
    return tag(
        "span", state.mark, class_=f"dm-{state.token}", title=state.word, role="img",
        aria_label=state.word,
    )  # fmt: skip


def pill(text: str, token: str = "info", *, count: int | None = None) -> Markup:
    """A word on the token's fill. A count of zero is muted: it is no news."""
    shown = "muted" if count == 0 else token
    return tag("span", text, class_=f"dm-pill dm-{shown}")


def muted(*children: Any) -> Markup:
    return tag("span", *children, class_="dm-muted")
