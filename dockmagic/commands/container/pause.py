"""`docker pause`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="pause",
        usage="CONTAINER [CONTAINER...]",
        summary="Pause all processes within one or more containers",
        minimum=1,
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    return each(arguments.words, engine.containers.pause)
