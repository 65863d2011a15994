"""`docker container prune`: containers that do not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.filters import gather
from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output import pruned
from dockmagic.commands.output.pruned import PrunedThings, Section
from dockmagic.commands.output.result import Event, Question

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WARNING = f"WARNING! This will remove all stopped containers.\n{pruned.QUESTION}"


def parser() -> Parser:
    return Parser(
        verb="container prune",
        usage="[OPTIONS]",
        summary="Remove all stopped containers",
        maximum=0,
        flags=pruned.flags(),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    filters = gather(arguments.flag("filter"))

    def prune() -> PrunedThings:
        removed = engine.containers.prune(filters)
        return PrunedThings((Section("Containers", removed.removed, removed.reclaimed),))

    if arguments.flag("force"):
        yield prune()
    else:
        yield Question(arguments.verb, _WARNING, prune)
