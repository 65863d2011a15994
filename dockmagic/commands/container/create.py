"""`docker create`: a container, made and not started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.container.cidfile import CidFile
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.container_flags import CONTAINER_FLAGS
from dockmagic.commands.options.flags import Arguments, Parser, switch, value
from dockmagic.commands.options.namespaces import dropped, warnings
from dockmagic.commands.output.result import Event, Started, notice
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.model.container import ContainerSpec

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
    with CidFile(arguments.flag("cidfile")) as cidfile:
        yield from prepared(engine, spec, quiet=arguments.flag("quiet"))
        container = engine.containers.create(spec)
        cidfile.write(container.id)
    yield Started(container)


def prepared(engine: EngineApi, spec: ContainerSpec, *, quiet: bool) -> Iterator[Event]:
    """What comes before a container is created: warnings, and the image if it is missing."""
    yield from (notice(f"WARNING: {text}") for text in warnings(spec))
    if spec.pull == "always" or (spec.pull == "missing" and _is_missing(engine, spec.image)):
        from dockmagic.commands.image.pull import ensure_image  # not for an image that is here

        yield from ensure_image(engine, spec.image, spec.pull, quiet=quiet)
    yield from (notice(f"WARNING: {text}") for text in dropped(engine, spec))


def _is_missing(engine: EngineApi, image: str) -> bool:
    try:
        engine.images.get(image)
    except NotFound:
        return True
    return False
