"""`docker manifest push`: a manifest list to its registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import Event, Text
from dockmagic.commands.registry.experimental import experimental

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="manifest push",
        usage="[OPTIONS] MANIFEST_LIST",
        summary="Push a manifest list to a repository",
        also=experimental("manifest push"),
        minimum=1,
        maximum=1,
        flags=(
            switch("insecure", help="Allow push to an insecure registry"),
            switch("purge", "p", "Remove the local manifest list after push"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    (name,) = arguments.words
    yield from engine.manifests.push(
        name, purge=arguments.flag("purge"), insecure=arguments.flag("insecure")
    )
    yield Text("")
