"""`docker update`: other limits, or another restart policy, for containers that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.options.limits import UPDATABLE, updated_limits
from dockmagic.commands.options.restart_policy import RESTART_FLAG, parse_restart
from dockmagic.commands.output.result import NameList, each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="update",
        usage="[OPTIONS] CONTAINER [CONTAINER...]",
        summary="Update configuration of one or more containers",
        minimum=1,
        flags=(
            *(replace(f, help=_HELP.get(f.name, f.help)) for f in UPDATABLE),
            replace(RESTART_FLAG, default_text=""),
        ),
    )


# Docker words these a little differently than for `run`.
_HELP = {
    "cpu-rt-period": "Limit the CPU real-time period in microseconds",
    "cpu-rt-runtime": "Limit the CPU real-time runtime in microseconds",
    "memory-swap": "Swap limit equal to memory plus swap: -1 to enable unlimited swap",
}


class Updated(NameList, frozen=True):
    """What was changed, and what this host cannot limit."""

    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        return "\n".join([*self.done, *self.warnings])


def run(engine: EngineApi, arguments: Arguments) -> Updated:
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
    return Updated(names.done, names.failed, names.failed_names, warnings=tuple(warnings))
