"""`docker network prune`: the networks that no running container is on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.filters import gather
from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output import pruned
from dockmagic.commands.output.result import Event, Question, Result

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WARNING = (
    "WARNING! This will remove all custom networks not used by at least one container.\n"
    f"{pruned.QUESTION}"
)


def parser() -> Parser:
    return Parser(
        verb="network prune",
        usage="[OPTIONS]",
        summary="Remove all unused networks",
        maximum=0,
        flags=pruned.flags(),
    )


class PrunedNames(Result, frozen=True):
    """What was removed; as with Docker nothing is printed when there was nothing."""

    names: tuple[str, ...]

    def text(self) -> str:
        return "\n".join(["Deleted Networks:", *self.names, ""]) if self.names else ""

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.names]

    def __len__(self) -> int:
        return len(self.names)


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    filters = gather(arguments.flag("filter"))

    def prune() -> Result:
        return PrunedNames(engine.networks.prune(filters).names)

    if arguments.flag("force"):
        yield prune()
    else:
        yield Question(arguments.verb, _WARNING, prune)
