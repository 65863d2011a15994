"""Shows a build's events in the display that `--progress` asks for, then what follows them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from dockmagic.commands.builder.build_flags import progress_of
from dockmagic.commands.options.flags import Arguments
from dockmagic.commands.output.result import Event
from dockmagic.progress.display import Display, make, raw, warning_lines
from dockmagic_runtime.errors import DockmagicError, InvalidInput
from dockmagic_runtime.model.build import BuildStarted, BuildWarning

_WITH_WARNINGS = ("plain", "tty")


def mode_of(arguments: Arguments) -> str:
    """The form of progress, `auto` resolved. Raises InvalidInput for a terminal that is none."""
    is_own = arguments.verb == "build"
    mode = progress_of(arguments) if is_own else "auto"
    if is_own and arguments.flag("quiet"):
        if mode not in ("auto", "quiet"):
            raise InvalidInput(f"progress={mode} and quiet cannot be used together")
        return "quiet"
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if mode == "tty" and not is_terminal:
        raise InvalidInput("failed to get console: provided file is not a console")
    return mode if mode != "auto" else "tty" if is_terminal else "plain"


class BuildFailed(Exception):
    """A build has failed after its progress began; what it has to say of itself is written."""

    def __init__(self, error: DockmagicError) -> None:
        super().__init__(str(error))
        self.error = error


def follow(events: Iterator[Event], arguments: Arguments) -> Iterator[Event]:
    """Shows all events of the build; then yields the others. Raises BuildFailed."""
    mode = mode_of(arguments)
    display = make(mode)
    in_full = arguments.verb == "build" and bool(arguments.flag("debug"))
    yield from _followed(events, display, lambda given: _warn(given, mode, in_full=in_full))


def _followed(
    events: Iterator[Event],
    display: Display,
    warn: Callable[[tuple[BuildWarning, ...]], None],
) -> Iterator[Event]:
    rest: list[Event] = []
    warnings: tuple[BuildWarning, ...] = ()
    failure: DockmagicError | None = None
    try:
        for event in events:
            if isinstance(event, BuildStarted):
                warnings = event.warnings
            if not display.take(event):
                rest.append(event)
    except DockmagicError as error:
        failure = error
    finally:
        display.close(failure.step if failure else 0, one_line(failure) if failure else "")
    warn(warnings)
    if failure is not None:
        raise BuildFailed(failure) from failure
    yield from rest


def one_line(error: DockmagicError) -> str:
    """The reason as the failed step's line has it."""
    return " ".join(without_place(error).split())


def without_place(error: DockmagicError) -> str:
    """The message without the line of the Dockerfile, where the excerpt begins with it."""
    place = error.excerpt.partition("\n")[0]
    return error.message.removeprefix(f"{place}: ") if place else error.message


def _warn(warnings: tuple[BuildWarning, ...], mode: str, *, in_full: bool) -> None:
    if mode not in _WITH_WARNINGS:
        return
    has_colors = mode == "tty" and "NO_COLOR" not in os.environ
    for line in warning_lines(warnings, in_full=in_full, colored=has_colors):
        raw(sys.stderr).write(line.encode("utf-8", "surrogateescape") + b"\n")
    sys.stderr.flush()
