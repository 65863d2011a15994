"""`docker commit`: an image of what a container has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments, Parser, switch, value, values
from dockmagic.commands.output.result import Result
from dockmagic_runtime.model.commit import CommitSpec
from dockmagic_runtime.model.image import Image

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="commit",
        usage="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        summary="Create a new image from a container's changes",
        minimum=1,
        maximum=2,
        flags=(
            value("author", "a", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
            values("change", "c", "Apply Dockerfile instruction to the created image"),
            value("message", "m", "Commit message"),
            switch("pause", "p", "Pause container during commit", default=True),
        ),
    )


class MadeImage(Result, frozen=True):
    """A new image: Docker prints its id."""

    image: Image
    reference: str = ""

    def text(self) -> str:
        return self.image.id

    def stable(self) -> str:
        return self.reference or "(image)"

    def rows(self) -> list[dict[str, Any]]:
        return [{"id": self.image.id, "reference": self.reference, "size": self.image.size}]


def run(engine: EngineApi, arguments: Arguments) -> MadeImage:
    name, *reference = arguments.words
    spec = CommitSpec(
        reference="".join(reference),
        author=arguments.flag("author"),
        message=arguments.flag("message"),
        changes=arguments.flag("change"),
        pause=arguments.flag("pause"),
    )
    return MadeImage(engine.containers.commit(name, spec), spec.reference)
