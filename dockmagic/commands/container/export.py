"""`docker export`: a container's files as one tar archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.output.archives import check_stdout
from dockmagic.commands.output.result import Chunk, Event, Nothing
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.store.atomic import replacing

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="export",
        usage="[OPTIONS] CONTAINER",
        summary="Export a container's filesystem as a tar archive",
        minimum=1,
        maximum=1,
        flags=(value("output", "o", "Write to a file, instead of STDOUT"),),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    output = arguments.flag("output")
    if output:
        check_output(output)
    else:
        check_stdout()
    with engine.containers.export(arguments.words[0]) as stream:
        if output:
            save(stream, output)
        else:
            for chunk in stream:
                yield Chunk("stdout", chunk)
    yield Nothing()


def check_output(output: str) -> None:
    """Docker's complaints, before anything is read."""
    path = Path(output)
    if not path.parent.exists():
        raise NotFound(
            f"failed to export container: invalid output path: "
            f"stat {path.parent}: no such file or directory"
        )
    if path.is_dir():
        raise InvalidInput(f"failed to export container: {output} is a directory")


def save(chunks: Iterable[bytes], output: str) -> None:
    """Whole or not at all: beside the file, and renamed over it."""
    path = Path(output)
    if path.exists() and not path.is_file():  # /dev/null, a pipe
        with path.open("wb") as file:
            file.writelines(chunks)
        return
    with replacing(output) as file:
        file.writelines(chunks)
