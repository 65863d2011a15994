"""`docker builder prune`: what builds could use again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.filters import gather
from dockmagic.commands.options.flags import Arguments, Flag, Parser, switch, value
from dockmagic.commands.output import pruned
from dockmagic.commands.output.pruned import PrunedThings, Section
from dockmagic.commands.output.result import Event, Question
from dockmagic.commands.units import parse_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.times import parse_moment
from dockmagic_runtime.model.usage import CacheBounds

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WHICH = {False: "all dangling build cache", True: "all build cache"}


def parser() -> Parser:
    return Parser(
        verb="builder prune",
        usage="[OPTIONS]",
        summary="Remove build cache",
        maximum=0,
        flags=pruned.flags(
            switch("all", "a", "Remove all unused build cache, not just dangling ones"),
            _bytes("keep-storage", "The same as --reserved-space"),
            _bytes("reserved-space", "Keep this much in any case, what was used last"),
            _bytes("max-used-space", "Keep no more than this"),
            _bytes("min-free-space", "Make so much free on the disk"),
            value("builder", help="The only one is called default", convert=check_builder),
        ),
    )  # fmt: skip


def _bytes(name: str, help: str) -> Flag:
    return value(name, help=help, type="bytes", default=0, convert=parse_size)


def check_builder(text: str) -> str:
    if text not in ("", "default"):
        raise ValueError(f'no builder "{text}" found, there is one called default')
    return text


def _bounds(arguments: Arguments) -> CacheBounds | None:
    reserved = arguments.flag("reserved-space") or arguments.flag("keep-storage")
    names = ("keep-storage", "reserved-space", "max-used-space", "min-free-space")
    if not any(arguments.is_given(name) for name in names):
        return None
    return CacheBounds(
        reserved=reserved,
        max_used=arguments.flag("max-used-space"),
        min_free=arguments.flag("min-free-space"),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    every = arguments.flag("all")
    filters = gather(arguments.flag("filter"))
    if unknown := filters.keys() - {"until"}:
        message = f"failed to prune build cache: invalid filter '{min(unknown)}'"
        raise InvalidInput(message, hint="until is the only one here")
    until = filters.get("until")

    def prune() -> PrunedThings:
        before = parse_moment(until[0]) if until else None
        freed = engine.builds.prune(unused_only=not every, before=before, bounds=_bounds(arguments))
        return PrunedThings((Section("build cache objects", (), freed),))

    if arguments.flag("force"):
        yield prune()
    else:
        text = f"WARNING! This will remove {_WHICH[every]}. {pruned.QUESTION}"
        yield Question(arguments.verb, text, prune)
