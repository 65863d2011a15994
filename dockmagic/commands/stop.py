"""`docker stop`: the stop signal, some time to obey, then kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.flags import Arguments, Parser, integer, value
from dockmagic.commands.result import Names, each

if TYPE_CHECKING:
    from dockmagic_runtime.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="stop",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Stop running containers",
        minimum=1,
        flags=(
            value("signal", "s", "Signal to send"),
            integer("timeout", "t", "Seconds to wait before killing, -1 for ever"),
            integer("time", help="Same as --timeout"),
        ),
    )


def run(engine: Engine, arguments: Arguments) -> Names:
    given = [arguments.flag(n) for n in ("timeout", "time") if arguments.is_given(n)]
    timeout = float(given[0]) if given else None
    signal = arguments.flag("signal")
    return each(arguments.words, lambda name: engine.stop(name, timeout=timeout, signal=signal))
