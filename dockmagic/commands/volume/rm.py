"""`docker volume rm`: volumes and all that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="volume rm",
        usage="[OPTIONS] VOLUME [VOLUME...]",
        summary="Remove one or more volumes. You cannot remove a volume that is in use by a "
        "container.",
        minimum=1,
        flags=(switch("force", "f", "Force the removal of one or more volumes"),),
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    force = arguments.flag("force")
    return each(arguments.words, lambda name: engine.volumes.remove(name, force=force))
