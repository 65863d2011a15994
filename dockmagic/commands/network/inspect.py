"""`docker network inspect`: all that is known of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.system.inspect import Inspected, inspect_each

if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="network inspect",
        usage="[OPTIONS] NETWORK [NETWORK...]",
        summary="Show all that is known of networks",
        minimum=1,
        flags=(
            value("format", "f", "A Go template, or json"),
            switch("verbose", "v", "What swarms know besides: nothing here"),
        ),
    )


def run(engine: Engine, arguments: Arguments) -> Inspected:
    return inspect_each(engine.networks.inspect, arguments.words, arguments.flag("format"))
