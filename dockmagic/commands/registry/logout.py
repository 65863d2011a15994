"""`docker logout`: forget the credentials for a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Text

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="logout",
        usage="[SERVER]",
        summary="Log out from a registry.\n"
        "If no server is specified, the default is defined by the daemon.",
        maximum=1,
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    server = arguments.words[0] if arguments.words else ""
    shown = server or "https://index.docker.io/v1/"
    engine.system.logout(server)
    return Text(f"Removing login credentials for {shown}")  # said of what was not there, too
