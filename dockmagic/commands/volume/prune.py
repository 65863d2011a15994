"""`docker volume prune`: the volumes that no container uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.filters import gather, parse_filter
from dockmagic.commands.options.flags import Arguments, Parser, switch, values
from dockmagic.commands.output.result import Event, Question, Result
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.volume import PrunedVolumes

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_WARNING = (
    "WARNING! This will remove {which} local volumes not used by at least one container.\n"
    "Are you sure you want to continue?"
)


def parser() -> Parser:
    return Parser(
        verb="volume prune",
        usage="[OPTIONS]",
        summary="Remove unused local volumes",
        maximum=0,
        flags=(
            switch("all", "a", "Remove all unused volumes, not just anonymous ones"),
            values(
                "filter",
                type="filter",
                help='Provide filter values (e.g. "label=<label>")',
                convert=parse_filter,
            ),
            switch("force", "f", "Do not prompt for confirmation"),
        ),
    )


class PrunedResult(Result, frozen=True):
    """What was removed, and how much space that freed."""

    pruned: PrunedVolumes

    def text(self) -> str:
        return self._text(decimal_size(self.pruned.reclaimed))

    def stable(self) -> str:
        count = len(self.pruned.names)
        return f"{count} volume{'' if count == 1 else 's'} removed"

    def _text(self, size: str) -> str:
        names = "".join(f"{name}\n" for name in self.pruned.names)
        return (f"Deleted Volumes:\n{names}\n" if names else "") + f"Total reclaimed space: {size}"

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.pruned.names]


def run(engine: EngineApi, arguments: Arguments) -> Iterator[Event]:
    filters = gather(arguments.flag("filter"))
    if arguments.flag("all"):
        if "all" in filters:
            raise InvalidInput("conflicting options: cannot specify both --all and --filter all=1")
        filters["all"] = ["true"]

    def prune() -> Result:
        return PrunedResult(engine.volumes.prune(filters))

    if arguments.flag("force"):
        yield prune()
    else:
        which = "all" if arguments.flag("all") else "anonymous"
        yield Question(arguments.verb, _WARNING.format(which=which), prune)
