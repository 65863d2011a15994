"""`docker wait`: until containers end, and their exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Result
from dockmagic_runtime.errors import DockmagicError

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="wait",
        usage="CONTAINER [CONTAINER...]",
        summary="Block until one or more containers stop, then print their exit codes",
        minimum=1,
    )


class ExitCodes(Result, frozen=True):
    names: tuple[str, ...]
    codes: tuple[int, ...]
    failed: tuple[DockmagicError, ...] = ()

    @property
    def errors(self) -> tuple[DockmagicError, ...]:
        return self.failed

    def text(self) -> str:
        return "\n".join(map(str, self.codes))

    def rows(self) -> list[dict[str, Any]]:
        pairs = zip(self.names, self.codes, strict=True)
        return [{"name": name, "exit_code": code} for name, code in pairs]


def run(engine: EngineApi, arguments: Arguments) -> ExitCodes:
    names: list[str] = []
    codes: list[int] = []
    failed: list[DockmagicError] = []
    for name in arguments.words:
        try:
            codes.append(engine.containers.wait(name))
            names.append(name)
        except DockmagicError as error:
            failed.append(error)
    return ExitCodes(tuple(names), tuple(codes), tuple(failed))
