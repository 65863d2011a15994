"""`docker system prune`: everything that is not in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.filters import gather
from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output import pruned
from dockmagic.commands.output.pruned import PrunedThings, Section
from dockmagic.commands.output.result import Event, Question
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.filters import PRUNE, check
from dockmagic_runtime.model.times import parse_moment

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="system prune",
        usage="[OPTIONS]",
        summary="Remove unused data",
        maximum=0,
        flags=pruned.flags(
            switch("all", "a", "Remove all unused images not just dangling ones"),
            switch("volumes", help="Prune anonymous volumes"),
            example="label=<key>=<value>",
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    every, volumes = arguments.flag("all"), arguments.flag("volumes")
    filters = gather(arguments.flag("filter"))
    check(filters, PRUNE)
    if volumes and "until" in filters:
        raise InvalidInput('ERROR: The "until" filter is not supported with "--volumes"')

    def prune() -> PrunedThings:
        return PrunedThings(tuple(_prune(engine, filters, every=every, volumes=volumes)))

    if arguments.flag("force"):
        yield prune()
    else:
        yield Question(arguments.verb, _warning(filters, every=every, volumes=volumes), prune)


def _warning(filters: dict[str, list[str]], *, every: bool, volumes: bool) -> str:
    what = [
        "all stopped containers",
        "all networks not used by at least one container",
        *(["all anonymous volumes not used by at least one container"] if volumes else []),
        "all images without at least one container associated to them"
        if every
        else "all dangling images",
        "all build cache" if every else "unused build cache",
    ]
    text = "WARNING! This will remove:\n" + "".join(f"  - {line}\n" for line in what)
    if filters:
        shown = sorted(f"{name}={value}" for name, values in filters.items() for value in values)
        text += "\n  Items to be pruned will be filtered with:\n"
        text += "".join(f"  - {line}\n" for line in shown)
    return f"{text}\n{pruned.QUESTION}"


def _prune(
    engine: EngineApi, filters: dict[str, list[str]], *, every: bool, volumes: bool
) -> Iterator[Section]:
    """Containers first: what they hold is free then."""
    containers = engine.containers.prune(filters)
    yield Section("Containers", containers.removed, containers.reclaimed)
    networks = engine.networks.prune(filters)
    yield Section("Networks", networks.names, 0)
    if volumes:
        pruned_volumes = engine.volumes.prune(filters)
        yield Section("Volumes", pruned_volumes.names, pruned_volumes.reclaimed)
    asked = {**filters, "dangling": ["false" if every else "true"]}
    images = engine.images.prune(asked)
    yield Section("Images", images.removed, images.reclaimed)
    if not {"label", "label!"} & filters.keys():  # results of builds have no labels
        freed = engine.builds.prune(unused_only=not every, before=_until(filters))
        yield Section("build cache objects", (), freed)


def _until(filters: dict[str, list[str]]) -> float | None:
    until = filters.get("until")
    return parse_moment(until[0]) if until else None
