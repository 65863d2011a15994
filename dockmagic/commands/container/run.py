"""`docker run`: pull if need be, create, start, and stay with it unless `-d` says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic.commands.container.cidfile import CidFile
from dockmagic.commands.container.create import prepared
from dockmagic.commands.options.container import container_spec
from dockmagic.commands.options.container_flags import CONTAINER_FLAGS
from dockmagic.commands.options.detach_keys import DETACH_KEYS
from dockmagic.commands.options.flags import Arguments, Flag, Parser, switch
from dockmagic.commands.output.result import Attached, Chunk, Event, Started
from dockmagic_runtime.errors import DockmagicError, StartFailed
from dockmagic_runtime.model.container import ContainerSpec
from dockmagic_runtime.model.go_values import parse_bool

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
            Flag(
                name="from-failed",
                own=True,
                default=False,
                convert=_failed_step,
                help="Instead of IMAGE: what the last failed build step left, or that of this name",
            ),
            switch(
                "rm",
                help="Automatically remove the container and its associated anonymous volumes "
                "when it exits",
            ),
            switch("sig-proxy", help="Proxy received signals to the process", default=True),
        ),
    )


def _failed_step(text: str) -> bool | str:
    """`--from-failed`, also with the name that a build gave to what its step has left."""
    return text if len(text) == 12 else parse_bool(text)


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    detach, streams = arguments.flag("detach"), frozenset(arguments.flag("attach"))
    if detach and streams:
        raise arguments.wrong(
            "conflicting options: cannot specify both --attach and --detach", exit_code=1
        )
    if arguments.flag("from-failed"):
        left = arguments.flag("from-failed")
        image = engine.builds.failed("" if left is True else left)
        arguments = replace(arguments, words=(image.id, *arguments.words))
    spec = container_spec(arguments, auto_remove=arguments.flag("rm"))
    spec = replace(spec, detach_keys=arguments.flag("detach-keys"))
    outcome: Started | Attached
    with CidFile(arguments.flag("cidfile")) as cidfile:
        yield from prepared(engine, spec, quiet=arguments.flag("quiet"))
        try:
            if detach:
                outcome = Started(engine.containers.run(spec, detach=True))
                cidfile.write(outcome.container.id)
            else:
                outcome = _attached(engine, spec, arguments, streams)
                cidfile.write(outcome.process.id)
        except DockmagicError as error:
            cidfile.write(error.container_id)
            if detach and error.container_id:  # Docker prints it before the start
                yield Chunk("stdout", f"{error.container_id}\n".encode())
            if isinstance(error, StartFailed):
                raise explained(error, spec.command) from None
            raise
    yield outcome


def explained(error: StartFailed, command: Sequence[str] | None) -> StartFailed:
    """The same error with a hint: a common mistake is a flag behind the image."""
    first = next(iter(command or ()), "")
    if first.startswith("-"):
        error.hint = error.hint or f"flags go before the image: '{first}' is read as the program"
    elif error.exit_code == 127 and lacks_program(error):
        error.hint = error.hint or "the image has no such program, or not in its PATH"
    return error


def lacks_program(error: StartFailed) -> bool:
    """Whether it is the program that is not there, and not its working directory or a device."""
    return error.message.startswith("exec: ")


def _attached(
    engine: EngineApi, spec: ContainerSpec, arguments: Arguments, streams: frozenset[str]
) -> Attached:
    return Attached(
        engine.containers.run(spec),
        spec.name or spec.image,
        tty=spec.tty,
        stdin=spec.open_stdin and (not streams or "stdin" in streams),
        streams=(streams or frozenset(["stdout", "stderr"])) - {"stdin"},
        detach_keys=arguments.flag("detach-keys"),
        proxy_signals=arguments.flag("sig-proxy"),
    )
