"""`docker rm`: containers and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import NameList, each
from dockmagic_runtime.errors import NotFound

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="rm",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Remove one or more containers",
        minimum=1,
        flags=(
            switch("force", "f", "Force the removal of a running container (uses SIGKILL)"),
            switch("volumes", "v", "Remove anonymous volumes associated with the container"),
            switch("link", "l", "Remove the specified link"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    force, volumes = arguments.flag("force"), arguments.flag("volumes")

    def remove(name: str) -> None:
        if arguments.flag("link"):
            engine.containers.remove_link(name)
        else:
            engine.containers.remove(name, force=force, volumes=volumes)

    # -f asks for its absence, and that is what there is
    done = each(arguments.words, remove, ignores=NotFound if force else ())
    return replace(done, ignored=()) if arguments.flag("link") else done
