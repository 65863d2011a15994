"""`docker manifest annotate`: what an image of a manifest list runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value, values
from dockmagic.commands.output.result import Text
from dockmagic.commands.registry.experimental import experimental
from dockmagic_runtime.model.manifest_list import Annotation

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="manifest annotate",
        usage="[OPTIONS] MANIFEST_LIST MANIFEST",
        summary="Add additional information to a local image manifest",
        also=experimental("manifest annotate"),
        minimum=2,
        maximum=2,
        flags=(
            value("arch", help="Set architecture"),
            value("os", help="Set operating system"),
            values("os-features", help="Set operating system feature", type="strings"),
            value("os-version", help="Set operating system version"),
            value("variant", help="Set architecture variant"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Text:
    name, image = arguments.words
    annotation = Annotation(
        os=arguments.flag("os"),
        architecture=arguments.flag("arch"),
        variant=arguments.flag("variant"),
        os_version=arguments.flag("os-version"),
        os_features=tuple(
            feature
            for text in arguments.flag("os-features")
            for feature in (text.split(",") if text else ())
        ),
    )
    engine.manifests.annotate(name, image, annotation)
    return Text("")
