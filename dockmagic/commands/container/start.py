"""`docker start`: containers that were made or have ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.detach_keys import DETACH_KEYS
from dockmagic.commands.options.flags import Arguments, Parser, planned, switch
from dockmagic.commands.output.result import Attached, Event, NameList, Started, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="start",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Start one or more stopped containers",
        minimum=1,
        flags=(
            switch("attach", "a", "Attach STDOUT/STDERR and forward signals"),
            switch("interactive", "i", "Attach container's STDIN"),
            DETACH_KEYS,
            switch("sig-proxy", help="Pass signals on to the process", default=True, own=True),
            *planned("checkpoint=string", "checkpoint-dir=string"),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    interactive = arguments.flag("interactive")
    if arguments.flag("attach") or interactive:
        if len(arguments.words) > 1:
            raise arguments.wrong(
                "you cannot start and attach multiple containers at once", exit_code=1
            )
        yield _attached(engine, arguments, interactive=interactive)
    elif len(arguments.words) == 1:
        name = arguments.words[0]
        yield Started(engine.containers.start(name), name)
    else:
        done = each(arguments.words, engine.containers.start)
        yield StartedNames(done.done, done.failed, done.failed_names)


class StartedNames(NameList, frozen=True):
    """What was started; Docker names what was not once more in a last line."""

    @property
    def trailer(self) -> str:
        names = ", ".join(self.failed_names)
        return f"Error: failed to start containers: {names}" if names else ""


def _attached(engine: EngineApi, arguments: Arguments, *, interactive: bool) -> Attached:
    """One that runs already is joined, as with Docker."""
    name = arguments.words[0]
    container = engine.containers.get(name)
    spec, joined = container.spec, container.status.is_alive
    return Attached(
        engine.containers.attach(name) if joined else engine.containers.start_attached(name),
        name,
        joined=joined,
        tty=bool(spec and spec.tty),
        stdin=interactive and bool(spec and spec.open_stdin),
        detach_keys=arguments.flag("detach-keys"),
        proxy_signals=arguments.flag("sig-proxy"),
    )
