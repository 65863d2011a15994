"""`docker tag`: one more name for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Nothing

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="tag",
        usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        minimum=2,
        maximum=2,
    )


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    source, target = arguments.words
    engine.images.tag(source, target)
    return Nothing()
