"""`docker network rm`: networks that no running container is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="network rm",
        usage="NETWORK [NETWORK...]",
        summary="Remove one or more networks",
        minimum=1,
        flags=(switch("force", "f", "Do not error if the network does not exist"),),
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    force = arguments.flag("force")
    missing: set[str] = set()

    def remove(name: str) -> None:
        if not engine.networks.remove(name, force=force):
            missing.add(name)

    done = each(arguments.words, remove)
    return RemovedNetworks(
        tuple(name for name in done.done if name not in missing), done.failed, done.failed_names
    )


class RemovedNetworks(NameList, frozen=True):
    """What was removed; below the errors Docker's client writes what it exits with."""

    @property
    def trailer(self) -> str:
        return f"exit status {self.exit_code}" if self.failed else ""
