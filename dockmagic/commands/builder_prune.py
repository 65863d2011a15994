"""`docker builder prune`: what builds could use again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands import pruned
from dockmagic.commands.filters import gather
from dockmagic.commands.flags import Arguments, Parser, planned, switch
from dockmagic.commands.pruned import PrunedThings, Section
from dockmagic.commands.result import Event, Question
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.moment import parse_moment

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine

_WHICH = {False: "all dangling build cache", True: "all build cache"}


def parser() -> Parser:
    return Parser(
        verb="builder prune",
        usage="[OPTIONS]",
        summary="Remove build cache",
        maximum=0,
        flags=pruned.flags(
            switch("all", "a", "Remove all unused build cache, not just dangling ones"),
            *planned("keep-storage=bytes", "max-used-space=bytes", "min-free-space=bytes",
                     "reserved-space=bytes"),
        ),
    )  # fmt: skip


def run(engine: Engine, arguments: Arguments) -> Iterator[Event]:
    every = arguments.flag("all")
    filters = gather(arguments.flag("filter"))
    if unknown := filters.keys() - {"until"}:
        raise InvalidInput(f"invalid filter '{min(unknown)}'", hint="until is the only one here")
    until = filters.get("until")

    def prune() -> PrunedThings:
        before = parse_moment(until[0]) if until else None
        freed = engine.prune_build_cache(unused_only=not every, before=before)
        return PrunedThings((Section("build cache objects", (), freed),))

    if arguments.flag("force"):
        yield prune()
    else:
        text = f"WARNING! This will remove {_WHICH[every]}. {pruned.QUESTION}"
        yield Question(arguments.verb, text, prune)
