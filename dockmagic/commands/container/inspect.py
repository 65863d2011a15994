"""`docker container inspect`: all that is known of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.system.inspect import Inspected, finder, inspect_each, sized

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="container inspect",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Display detailed information on one or more containers",
        minimum=1,
        flags=(INSPECT_FORMAT, switch("size", "s", "Display total file sizes")),
    )


def run(engine: EngineApi, arguments: Arguments) -> Inspected:
    find = finder("container", engine.containers.inspect)
    sought = sized(engine, find) if arguments.flag("size") else find
    return inspect_each(sought, arguments.words, arguments.flag("format"))
