"""`docker image prune`: images that no container needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.filters import gather
from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output import pruned
from dockmagic.commands.output.pruned import PrunedThings, Section
from dockmagic.commands.output.result import Event, Question

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WHICH = {
    False: "all dangling images",
    True: "all images without at least one container associated to them",
}


def parser() -> Parser:
    return Parser(
        verb="image prune",
        usage="[OPTIONS]",
        summary="Remove unused images",
        maximum=0,
        flags=pruned.flags(switch("all", "a", "Remove all unused images, not just dangling ones")),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    every = arguments.flag("all")
    filters = gather(arguments.flag("filter"))
    if every:
        filters["dangling"] = ["false"]

    def prune() -> PrunedThings:
        pruned = engine.images.prune(filters)
        return PrunedThings((Section("Images", pruned.removed, pruned.reclaimed),))

    if arguments.flag("force"):
        yield prune()
    else:
        text = f"WARNING! This will remove {_WHICH[every]}.\n{pruned.QUESTION}"
        yield Question(arguments.verb, text, prune)
