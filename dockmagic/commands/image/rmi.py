"""`docker rmi`: names of images, and images with no name left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic.commands.options.flags import Arguments, Parser, switch
from dockmagic.commands.options.platform import check_image, variant
from dockmagic.commands.output.result import NameList
from dockmagic_runtime.errors import DockmagicError, NotFound

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="rmi",
        usage="[OPTIONS] IMAGE [IMAGE...]",
        summary="Remove one or more images",
        minimum=1,
        flags=(
            switch("force", "f", "Force removal of the image"),
            switch("no-prune", help="Do not delete untagged parents"),
            replace(
                variant("Remove only the given platform variant."),
                many=True,
                type="strings",
                default=(),
            ),
        ),
    )


class Removed(NameList, frozen=True):
    """What went, and what could not: deleted ids differ from run to run, names do not."""

    def stable(self) -> str:
        return "\n".join(line for line in self.done if line.startswith("Untagged:"))


def run(engine: EngineApi, arguments: Arguments) -> Removed:
    lines: list[str] = []
    failed: list[DockmagicError] = []
    ignored: list[DockmagicError] = []
    force = arguments.flag("force")
    for name in arguments.words:
        try:
            for platform in arguments.flag("platform"):
                check_image(engine.images.get(name), name, platform)
            lines += engine.images.remove(name, force=force)
        except NotFound as error:
            (ignored if force else failed).append(error)
        except DockmagicError as error:
            failed.append(error)
    return Removed(tuple(lines), tuple(failed), ignored=tuple(ignored))
