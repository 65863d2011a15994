"""`docker network disconnect`: take a container off a network, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import Nothing

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network disconnect",
        usage="[OPTIONS] NETWORK CONTAINER",
        summary="Disconnect a container from a network",
        minimum=2,
        maximum=2,
        flags=(switch("force", "f", "Force the container to disconnect from a network"),),
    )


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    network, container = arguments.words
    engine.networks.disconnect(network, container, force=arguments.flag("force"))
    return Nothing()
