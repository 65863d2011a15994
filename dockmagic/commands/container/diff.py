"""`docker diff`: what a container changed in its image's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser
from dockmagic.commands.output.result import Result
from dockmagic_runtime.model.container import Change, ChangeKind

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="diff",
        usage="CONTAINER",
        summary="Inspect changes to files or directories on a container's filesystem",
        minimum=1,
        maximum=1,
    )


class Changes(Result, frozen=True):
    """What changed, by path."""

    container: str
    changes: tuple[Change, ...]

    def text(self) -> str:
        return "\n".join(map(str, self.changes))

    def rows(self) -> list[dict[str, Any]]:
        return [{"kind": str(change.kind), "path": change.path} for change in self.changes]

    def counts(self) -> dict[ChangeKind, int]:
        return {kind: sum(c.kind is kind for c in self.changes) for kind in ChangeKind}

    def __len__(self) -> int:
        return len(self.changes)

    def __contains__(self, path: object) -> bool:
        return any(change.path == path for change in self.changes)


def run(engine: EngineApi, arguments: Arguments) -> Changes:
    name = arguments.words[0]
    return Changes(name, engine.containers.diff(name))
