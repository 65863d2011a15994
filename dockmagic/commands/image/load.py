"""`docker load`: the images of an archive, from a file or stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.options.platform import check_platform, variant
from dockmagic.commands.output.files import opened
from dockmagic.commands.output.result import Event, Result
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.progress import LoadDone

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="load",
        usage="[OPTIONS]",
        summary="Load an image from a tar archive or STDIN",
        maximum=0,
        flags=(
            value("input", "i", "Read from tar archive file, instead of STDIN", type="string"),
            switch("quiet", "q", "Suppress the load output"),
            replace(
                variant("Load only the given platform variant."),
                many=True,
                default=(),
                convert=check_platform,
            ),
        ),
    )


class Loaded(Result, frozen=True):
    """What an archive held; an image without a name is shown by its id."""

    done: tuple[LoadDone, ...]

    def text(self) -> str:
        return "\n".join(
            f"Loaded image: {event.reference}"
            if event.reference
            else f"Loaded image ID: {event.image.id}"
            for event in self.done
        )

    def stable(self) -> str:
        return "\n".join(f"Loaded image: {event.reference or '(id)'}" for event in self.done)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"reference": event.reference, "id": event.image.id, "size": event.image.size}
            for event in self.done
        ]


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    path, quiet = arguments.flag("input"), arguments.flag("quiet")
    done: list[LoadDone] = []
    with opened(path) if path else nullcontext(_binary_stdin()) as source:
        for event in engine.images.load(source):
            if isinstance(event, LoadDone):
                done.append(event)
            elif not quiet:
                yield event
    yield Loaded(tuple(done))


def _binary_stdin() -> BinaryIO:
    raw = getattr(sys.stdin, "buffer", None)
    if raw is None or sys.stdin.isatty():
        raise InvalidInput(
            "requested load from stdin, but stdin is empty", hint="docker load -i FILE"
        )
    return cast("BinaryIO", raw)
