"""`docker volume rm`: volumes and all that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="volume rm",
        usage="[OPTIONS] VOLUME [VOLUME...]",
        summary="Remove volumes that no container uses",
        minimum=1,
        flags=(switch("force", "f", "Do not complain of a volume that does not exist"),),
    )


def run(engine: Engine, arguments: Arguments) -> NameList:
    force = arguments.flag("force")
    return each(arguments.words, lambda name: engine.volumes.remove(name, force=force))
