"""`docker rm`: containers and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import NameList, each
from dockmagic_runtime.errors import NotFound

if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="rm",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Remove containers",
        minimum=1,
        flags=(
            switch("force", "f", "Kill it first if it runs"),
            switch("volumes", "v", "Remove its anonymous volumes too"),
            switch("link", "l", "Remove the link CONTAINER/ALIAS, not a container"),
        ),
    )


def run(engine: Engine, arguments: Arguments) -> NameList:
    force, volumes = arguments.flag("force"), arguments.flag("volumes")

    def remove(name: str) -> None:
        try:
            if arguments.flag("link"):
                engine.containers.remove_link(name)
            else:
                engine.containers.remove(name, force=force, volumes=volumes)
        except NotFound:
            if not force:  # -f asks for its absence, and that is what there is
                raise

    return each(arguments.words, remove)
