"""`docker volume inspect`: all that is known of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.system.inspect import Inspected, finder, inspect_each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="volume inspect",
        usage="[OPTIONS] VOLUME [VOLUME...]",
        summary="Display detailed information on one or more volumes",
        minimum=1,
        flags=(INSPECT_FORMAT,),
    )


def run(engine: EngineApi, arguments: Arguments) -> Inspected:
    find = finder("volume", engine.volumes.inspect)
    return inspect_each(find, arguments.words, arguments.flag("format"))
