"""`docker network inspect`: all that is known of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.system.inspect import Inspected, finder, inspect_each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network inspect",
        usage="[OPTIONS] NETWORK [NETWORK...]",
        summary="Display detailed information on one or more networks",
        minimum=1,
        flags=(
            INSPECT_FORMAT,
            switch("verbose", "v", "Verbose output for diagnostics"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Inspected:
    find = finder("network", engine.networks.inspect)
    return inspect_each(find, arguments.words, arguments.flag("format"))
