"""`docker top`: the processes of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Result
from dockmagic_runtime.model.container import ProcessTable

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_MINIMUM, _GAP = 20, 3  # Docker's columns are wide here
_STEADY: Final = ("UID", "USER", "CMD", "COMMAND", "TTY", "TT")


def parser() -> Parser:
    return Parser(
        verb="top",
        usage="CONTAINER [ps OPTIONS]",
        summary="Display the running processes of a container",
        minimum=1,
        stops_at_word=True,
    )


class Processes(Result, frozen=True):
    """A row for each process, in the columns of ps(1)."""

    table: ProcessTable

    def text(self) -> str:
        return _laid_out([self.table.titles, *self.table.processes])

    def stable(self) -> str:
        """Without numbers and times."""
        kept = [at for at, title in enumerate(self.table.titles) if title in _STEADY]
        rows = [self.table.titles, *self.table.processes]
        return _laid_out([tuple(row[at] for at in kept) for row in rows])

    def rows(self) -> list[dict[str, Any]]:
        names = [title.lower() for title in self.table.titles]
        return [dict(zip(names, process, strict=True)) for process in self.table.processes]

    def __len__(self) -> int:
        return len(self.table.processes)


def _laid_out(rows: list[tuple[str, ...]]) -> str:
    widths = [
        max(_MINIMUM, *(len(cell) + _GAP for cell in column)) for column in zip(*rows, strict=True)
    ]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, [*widths[:-1], 0], strict=True))
        for row in rows
    )


def run(engine: EngineApi, arguments: Arguments) -> Processes:
    name, *words = arguments.words
    return Processes(engine.containers.top(name, *words))
