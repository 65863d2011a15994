"""`docker export`: a container's files as one tar archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.output.archives import check_stdout
from dockmagic.commands.output.files import check_output, replaced
from dockmagic.commands.output.result import Chunk, Event, Nothing

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_FAILURE = "failed to export container"


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
        check_output(output, _FAILURE)
    else:
        check_stdout()
    with engine.containers.export(arguments.words[0]) as stream:
        if output:
            with replaced(output, _FAILURE) as file:
                file.writelines(stream)
        else:
            for chunk in stream:
                yield Chunk("stdout", chunk)
    yield Nothing()
