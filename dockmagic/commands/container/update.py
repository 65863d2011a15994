"""`docker update`: other limits, or another restart policy, for containers that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.options.limits import UPDATABLE, updated_limits
from dockmagic.commands.options.restart_policy import RESTART_FLAG, parse_restart
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime.engine.engine import Engine


def parser() -> Parser:
    return Parser(
        verb="update",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Change the limits of containers",
        minimum=1,
        flags=(*UPDATABLE, RESTART_FLAG),
    )


class Updated(NameList, frozen=True):
    """What was changed, and what this host cannot limit."""

    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        return "\n".join([*self.done, *self.warnings])


def run(engine: Engine, arguments: Arguments) -> Updated:
    if not arguments.given:
        raise arguments.wrong(
            "you must provide one or more flags when using this command", exit_code=1
        )
    resources = updated_limits(arguments)
    restart = parse_restart(arguments.flag("restart")) if arguments.is_given("restart") else None
    warnings: list[str] = []
    names = each(
        arguments.words,
        lambda name: warnings.extend(engine.containers.update(name, resources, restart)),
    )
    return Updated(names.done, names.failed, tuple(warnings))
