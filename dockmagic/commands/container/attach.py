"""`docker attach`: join the streams of a container that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic.commands.options.detach_keys import DETACH_KEYS
from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.output.result import Attached, Event
from dockmagic_runtime.errors import Conflict
from dockmagic_runtime.model.container import Container, Status

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="attach",
        usage="[OPTIONS] CONTAINER",
        summary="Attach local standard input, output, and error streams to a running container",
        minimum=1,
        maximum=1,
        flags=(
            DETACH_KEYS,
            switch("no-stdin", help="Do not attach STDIN"),
            switch("sig-proxy", help="Proxy all received signals to the process", default=True),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    container = engine.containers.get(arguments.words[0])
    _check(container)
    spec = container.spec
    keys = arguments.flag("detach-keys")
    yield Attached(
        engine.containers.attach(container.id),
        container.name,
        tty=bool(spec and spec.tty),
        stdin=bool(spec and spec.open_stdin) and not arguments.flag("no-stdin"),
        detach_keys=keys if arguments.is_given("detach-keys") or not spec else spec.detach_keys,
        proxy_signals=arguments.flag("sig-proxy"),
        joined=True,
        detach_code=1,
    )


def _check(container: Container) -> None:
    if not container.status.is_alive:
        raise Conflict("You cannot attach to a stopped container, start it first")
    if container.status is Status.PAUSED:
        raise Conflict("You cannot attach to a paused container, unpause it first")
    if container.status is Status.RESTARTING:
        raise Conflict("You cannot attach to a restarting container, wait until it is running")
