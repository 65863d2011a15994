"""`docker stop`: the stop signal, some time to obey, then kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Flag, Parser, integer, value
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

GRACE_FLAGS: tuple[Flag, ...] = (
    value("signal", "s", "Signal to send to the container"),
    integer("timeout", "t", "Seconds to wait before killing the container"),
    integer("time", deprecated="use --timeout instead"),
)


def grace(arguments: Arguments) -> tuple[float | None, str]:
    """How long a container has to obey which signal; None and "" are its own."""
    given = [arguments.flag(name) for name in ("timeout", "time") if arguments.is_given(name)]
    return (float(given[0]) if given else None), arguments.flag("signal")


def parser() -> Parser:
    return Parser(
        verb="stop",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Stop one or more running containers",
        minimum=1,
        flags=GRACE_FLAGS,
    )


def run(engine: EngineApi, arguments: Arguments) -> NameList:
    timeout, signal = grace(arguments)
    return each(
        arguments.words, lambda name: engine.containers.stop(name, timeout=timeout, signal=signal)
    )
