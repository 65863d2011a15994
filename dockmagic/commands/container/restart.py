"""`docker restart`: stop, then start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.container.stop import GRACE_FLAGS, grace
from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="restart",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Restart one or more containers",
        minimum=1,
        flags=GRACE_FLAGS,
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    timeout, signal = grace(arguments)
    return each(
        arguments.words,
        lambda name: engine.containers.restart(name, timeout=timeout, signal=signal),
    )
