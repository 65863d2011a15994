"""`docker save`: images as one archive, in a file or on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.options.platform import check_image, variant
from dockmagic.commands.output.result import Nothing
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.store.atomic import replacing

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
        with replaced(path) as file:
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


@contextmanager
def replaced(name: str) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole; devices and pipes are written as they are."""
    path = Path(name)
    if path.is_dir():
        raise InvalidInput(f"failed to save image: {name} is a directory")
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    folder = path.parent
    if not folder.is_dir():
        raise InvalidInput(f"failed to save image: invalid output path: {folder} does not exist")
    with replacing(name) as file:  # 0600, as with Docker
        yield file
