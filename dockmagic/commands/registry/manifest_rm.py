"""`docker manifest rm`: forget manifest lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import NameList, each
from dockmagic.commands.registry.experimental import experimental

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="manifest rm",
        usage="MANIFEST_LIST [MANIFEST_LIST...]",
        summary="Delete one or more manifest lists from local storage",
        also=experimental("manifest rm"),
        minimum=1,
    )


class Forgotten(NameList, frozen=True):
    """The lists that are gone. Docker's client prints nothing of them."""

    def text(self) -> str:
        return ""

    def stable(self) -> str:
        return ""


def run(engine: EngineApi, arguments: Arguments) -> Forgotten:
    removed = each(arguments.words, engine.manifests.remove)
    return Forgotten(removed.done, removed.failed, removed.failed_names)
