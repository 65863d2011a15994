"""`docker tag`: one more name for an image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Nothing
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.reference import ImageReference

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


def _check(name: str) -> None:
    try:
        ImageReference.parse(name)
    except InvalidInput as error:
        message = f'Error parsing reference: "{name}" is not a valid repository/tag'
        raise InvalidInput(f"{message}: {error.message}", hint=error.hint) from None


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    source, target = arguments.words
    if not re.fullmatch("[0-9a-f]{64}", source):  # an id
        _check(source)
    _check(target)
    engine.images.tag(source, target)
    return Nothing()
