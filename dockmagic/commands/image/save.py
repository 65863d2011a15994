"""`docker save`: images as one archive, in a file or on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.options.platform import check_image, variant
from dockmagic.commands.output.files import replaced
from dockmagic.commands.output.result import Nothing
from dockmagic_runtime.errors import InvalidInput

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="save",
        usage="[OPTIONS] IMAGE [IMAGE...]",
        summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
        minimum=1,
        flags=(
            value("output", "o", "Write to a file, instead of STDOUT", type="string"),
            replace(variant("Save only the given platform variant."), many=True, default=()),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Nothing:
    for platform in arguments.flag("platform"):
        for name in arguments.words:
            check_image(engine.images.get(name), name, platform)
    path = arguments.flag("output")
    if path:
        with replaced(path, "failed to save image") as file:
            engine.images.save(arguments.words, file)
    else:
        engine.images.save(arguments.words, binary_stdout())
    return Nothing()


def binary_stdout() -> BinaryIO:
    """For an archive; no terminal and no notebook cell, which have no use for one."""
    raw = getattr(sys.stdout, "buffer", None)
    if raw is None or sys.stdout.isatty():
        raise InvalidInput(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            hint="docker save -o FILE IMAGE",
        )
    return cast("BinaryIO", raw)
