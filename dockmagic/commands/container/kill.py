"""`docker kill`: a signal to a container's first process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="kill",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Kill one or more running containers",
        minimum=1,
        flags=(
            value(
                "signal", "s", "Signal to send to the container", default="KILL", default_text=""
            ),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    signal = arguments.flag("signal")
    return each(arguments.words, lambda name: engine.containers.kill(name, signal))
