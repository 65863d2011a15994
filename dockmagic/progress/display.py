"""`Display`: what shows the events of one build, whatever its form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import BinaryIO, Protocol, TextIO

from dockmagic_runtime.model import build
from dockmagic_runtime.model.build import BuildWarning


class Display(Protocol):
    def take(self, event: object) -> bool:
        """Shows the event; False for what is no event of a build."""
        ...

    def close(self, failed: int = 0, reason: str = "") -> None:
        """Shows the end; `failed` is the number of the step that failed for `reason`."""
        ...


class Nothing:
    """`--progress none` and `quiet`."""

    def take(self, event: object) -> bool:
        return isinstance(event, build.BuildEvent)

    def close(self, failed: int = 0, reason: str = "") -> None:
        pass


def raw(stream: TextIO) -> BinaryIO:
    """The bytes below a text stream: a step's output is passed on as it came."""
    binary: BinaryIO = getattr(stream, "buffer", None) or _Decoded(stream)  # type: ignore[assignment]
    return binary


class _Decoded:
    """For streams that take text only, such as those of tests and notebooks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        self._stream.write(data.decode(errors="replace"))

    def flush(self) -> None:
        self._stream.flush()


def warning_lines(warnings: Sequence[BuildWarning], *, in_full: bool, colored: bool) -> list[str]:
    """The warnings as they follow a build; `in_full` with what the rules are about."""
    if not warnings:
        return []
    count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    more = "" if in_full else " (use docker --debug to expand)"
    head = f"{count} found{more}:"
    lines = ["", f" \x1b[33m{head}\x1b[0m" if colored else f" {head}"]
    for warning in warnings:
        lines.append(f" - {warning.text}")
        if in_full and warning.rule:
            lines += [warning.reason, f"More info: {warning.url}", warning.excerpt, ""]
    return lines


def failed_lines(name: str, lines: Sequence[bytes]) -> list[bytes]:
    """The last lines of a step that failed, between rules."""
    return [b"------", f" > {name}:".encode(), *lines, b"------"]


def make(mode: str, stream: TextIO | None = None) -> Display:
    """The display for `--progress`; `auto` has been resolved."""
    stream = stream or sys.stderr
    match mode:
        case "tty":
            from dockmagic.progress.tty import TtyDisplay

            return TtyDisplay(stream)
        case "plain":
            from dockmagic.progress.plain import PlainDisplay

            return PlainDisplay(stream)
        case "rawjson":
            from dockmagic.progress.rawjson import RawJsonDisplay

            return RawJsonDisplay(stream)
    return Nothing()
