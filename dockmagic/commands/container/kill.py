"""`docker kill`: a signal to a container's first process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.output.result import NameList, each
from dockmagic_runtime.errors import NotFound

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

    def kill(name: str) -> None:
        try:
            engine.containers.kill(name, signal)
        except NotFound as error:
            message = f"cannot kill container: {name}: {error.message}"
            raise NotFound(message, hint=error.hint) from None

    return each(arguments.words, kill)
