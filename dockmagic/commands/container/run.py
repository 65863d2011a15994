"""`docker run`: pull if need be, create, start, and stay with it unless `-d` says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic.commands.container.create import check_cidfile, write_cidfile
from dockmagic.commands.image.pull import ensure_image
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.container_flags import CONTAINER_FLAGS
from dockmagic.commands.options.detach_keys import DETACH_KEYS
from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.namespaces import dropped, warnings
from dockmagic.commands.output.result import Attached, Event, Started, notice
from dockmagic_runtime.errors import StartFailed
from dockmagic_runtime.model.container import ContainerSpec

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="run",
        usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
        summary="Create and run a new container from an image",
        minimum=1,
        stops_at_word=True,
        instead_of_word="from-failed",
        flags=(
            *CONTAINER_FLAGS,
            switch("detach", "d", "Run container in background and print container ID"),
            DETACH_KEYS,
            switch(
                "from-failed",
                own=True,
                help="Instead of IMAGE: what the last failed build step left",
            ),
            switch(
                "rm",
                help="Automatically remove the container and its associated anonymous volumes "
                "when it exits",
            ),
            switch("sig-proxy", help="Proxy received signals to the process", default=True),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    detach, streams = arguments.flag("detach"), frozenset(arguments.flag("attach"))
    if detach and streams:
        raise arguments.wrong(
            "conflicting options: cannot specify both --attach and --detach", exit_code=1
        )
    if arguments.flag("from-failed"):
        arguments = replace(arguments, words=(engine.builds.failed().id, *arguments.words))
    spec = container_spec(arguments, auto_remove=arguments.flag("rm"))
    spec = replace(spec, detach_keys=arguments.flag("detach-keys"))
    check_cidfile(arguments.flag("cidfile"))
    yield from (notice(f"WARNING: {text}") for text in warnings(spec))
    yield from ensure_image(engine, spec.image, spec.pull, quiet=arguments.flag("quiet"))
    yield from (notice(f"WARNING: {text}") for text in dropped(engine, spec))
    try:
        yield (
            _started(engine, spec, arguments)
            if detach
            else _attached(engine, spec, arguments, streams)
        )
    except StartFailed as error:
        raise explained(error, spec.command) from None


def explained(error: StartFailed, command: Sequence[str] | None) -> StartFailed:
    """The same error with a hint: a common mistake is a flag behind the image."""
    first = next(iter(command or ()), "")
    if first.startswith("-"):
        error.hint = error.hint or f"flags go before the image: '{first}' is read as the program"
    elif error.exit_code == 127:
        error.hint = error.hint or "the image has no such program, or not in its PATH"
    return error


def _started(engine: EngineApi, spec: ContainerSpec, arguments: Arguments) -> Started:
    container = engine.containers.run(spec, detach=True)
    write_cidfile(arguments.flag("cidfile"), container.id)
    return Started(container)


def _attached(
    engine: EngineApi, spec: ContainerSpec, arguments: Arguments, streams: frozenset[str]
) -> Attached:
    process = engine.containers.run(spec)
    write_cidfile(arguments.flag("cidfile"), process.id)
    return Attached(
        process,
        spec.name or spec.image,
        tty=spec.tty,
        stdin=spec.open_stdin and (not streams or "stdin" in streams),
        streams=(streams or frozenset(["stdout", "stderr"])) - {"stdin"},
        detach_keys=arguments.flag("detach-keys"),
        proxy_signals=arguments.flag("sig-proxy"),
    )
