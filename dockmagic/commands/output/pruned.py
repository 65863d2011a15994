"""What the prune verbs share: their flags, what they print, and the question before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from dockmagic.commands.options.filters import parse_filter
from dockmagic.commands.options.flags import Flag, switch, values
from dockmagic.commands.output.result import Result
from dockmagic.commands.units import decimal_size

QUESTION = "Are you sure you want to continue?"


def flags(*more: Flag, example: str = "until=<timestamp>") -> tuple[Flag, ...]:
    return (
        values(
            "filter",
            help=f'Provide filter values (e.g. "{example}")',
            type="filter",
            convert=parse_filter,
        ),
        switch("force", "f", "Do not prompt for confirmation"),
        *more,
    )


class Section(Struct, frozen=True):
    """One kind of thing that was removed, under Docker's heading."""

    kind: str
    removed: tuple[str, ...]
    reclaimed: int

    @property
    def lines(self) -> Iterator[str]:
        if self.removed:
            yield f"Deleted {self.kind}:"
            yield from self.removed
            yield ""


class PrunedThings(Result, frozen=True):
    """What was removed, and how much space that freed."""

    sections: tuple[Section, ...]

    @property
    def reclaimed(self) -> int:
        return sum(section.reclaimed for section in self.sections)

    def text(self) -> str:
        lines = [line for section in self.sections for line in section.lines]
        return "\n".join([*lines, f"Total reclaimed space: {decimal_size(self.reclaimed)}"])

    def stable(self) -> str:
        counts = [f"{len(s.removed)} {s.kind.lower()}" for s in self.sections if s.removed]
        return f"removed {', '.join(counts)}" if counts else "nothing to remove"

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"kind": section.kind.lower(), "name": name}
            for section in self.sections
            for name in section.removed
        ]
