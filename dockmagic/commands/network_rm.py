"""`docker network rm`: networks that no running container is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.flags import Arguments, Parser, switch
from dockmagic.commands.result import Names, each

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="network rm",
        usage="[OPTIONS] NETWORK [NETWORK...]",
        summary="Remove networks",
        minimum=1,
        flags=(switch("force", "f", "Do not complain of a network that does not exist"),),
    )


def run(engine: Engine, arguments: Arguments) -> Names:
    force = arguments.flag("force")
    return each(arguments.words, lambda name: engine.remove_network(name, force=force))
