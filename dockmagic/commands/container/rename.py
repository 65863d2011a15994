"""`docker rename`: another name for a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Nothing
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="rename",
        usage="CONTAINER NEW_NAME",
        summary="Rename a container",
        minimum=2,
        maximum=2,
    )


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    name, new_name = (word.strip() for word in arguments.words)
    if not name or not new_name:
        raise InvalidInput("Neither old nor new names may be empty")
    engine.containers.rename(name, new_name)
    return Nothing()
