"""`docker manifest create`: a list of images for several platforms, put together here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import Text
from dockmagic.commands.registry.experimental import experimental

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="manifest create",
        usage="MANIFEST_LIST MANIFEST [MANIFEST...]",
        summary="Create a local manifest list for annotating and pushing to a registry",
        also=experimental("manifest create"),
        minimum=2,
        flags=(
            switch("amend", "a", "Amend an existing manifest list"),
            switch("insecure", help="Allow communication with an insecure registry"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    name, *images = arguments.words
    created = engine.manifests.create(
        name, images, amend=arguments.flag("amend"), insecure=arguments.flag("insecure")
    )
    return Text(f"Created manifest list {created}")
