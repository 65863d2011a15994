"""`docker system repair`: a damaged database, rebuilt from the files beside it. Not Docker's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Result
from dockmagic_runtime.model.repair import Repair

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


class Repaired(Result, frozen=True):
    """What is there after a repair, and what was lost."""

    repair: Repair

    def text(self) -> str:
        repair = self.repair
        counts = ", ".join(
            f"{count} {noun}{'' if count == 1 else 's'}"
            for count, noun in (
                (repair.images, "image"),
                (repair.containers, "container"),
                (repair.networks, "network"),
                (repair.volumes, "volume"),
            )
        )
        state = "was rebuilt" if repair.changed else "is not damaged"
        lines = [f"{repair.database} {state}: {counts}"]
        if repair.kept_aside:
            lines.append(f"The damaged file is kept: {repair.kept_aside}")
        return "\n".join([*lines, *(f"Lost: {line}" for line in repair.lost)])

    def stable(self) -> str:
        return "rebuilt" if self.repair.changed else "not damaged"

    def rows(self) -> list[dict[str, Any]]:
        return [to_builtins(self.repair)]


def parser() -> Parser:
    return Parser(
        verb="system repair",
        usage="",
        summary="Rebuild a damaged database from the files beside it",
        maximum=0,
    )


def run(engine: EngineApi, arguments: Arguments) -> Repaired:
    """The engine was opened for it: see `Session.engine_for`."""
    return Repaired(engine.system.repair())
