"""`docker create`: a container, made and not started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dockmagic.commands.image.pull import ensure_image
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.container_flags import CONTAINER_FLAGS
from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.options.namespaces import dropped, warnings
from dockmagic.commands.output.result import Event, Started, notice
from dockmagic_runtime.errors import Conflict

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


# The stray bar is in Docker's help too.
_PULL = value(
    "pull", help='Pull image before creating ("always", "|missing", "never")', default="missing"
)


def parser() -> Parser:
    return Parser(
        verb="create",
        usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
        summary="Create a new container",
        minimum=1,
        stops_at_word=True,
        flags=(
            *(_PULL if flag.name == "pull" else flag for flag in CONTAINER_FLAGS),
            switch(
                "rm",
                help="Automatically remove the container and its associated anonymous volumes "
                "when it exits",
            ),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    spec = container_spec(arguments, auto_remove=arguments.flag("rm"))
    check_cidfile(arguments.flag("cidfile"))
    yield from (notice(f"WARNING: {text}") for text in warnings(spec))
    yield from ensure_image(engine, spec.image, spec.pull, quiet=arguments.flag("quiet"))
    yield from (notice(f"WARNING: {text}") for text in dropped(engine, spec))
    container = engine.containers.create(spec)
    write_cidfile(arguments.flag("cidfile"), container.id)
    yield Started(container)


def check_cidfile(name: str) -> None:
    if name and Path(name).exists():
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete {name}"
        )


def write_cidfile(name: str, container_id: str) -> None:
    if name:
        Path(name).write_text(container_id)
