"""`docker image inspect`: all that is known of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic.commands.options.flags import Arguments, Parser, value
from dockmagic.commands.options.format import INSPECT_FORMAT
from dockmagic.commands.options.platform import check_image
from dockmagic.commands.system.inspect import Found, Inspected, inspect_each

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi


def parser() -> Parser:
    return Parser(
        verb="image inspect",
        usage="[OPTIONS] IMAGE [IMAGE...]",
        summary="Display detailed information on one or more images",
        minimum=1,
        flags=(
            INSPECT_FORMAT,
            value(
                "platform",
                help="Inspect a specific platform of the multi-platform image.\n"
                "If the image or the server is not multi-platform capable, the command will error "
                "out if the platform does not match.\n"
                "'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
            ),
        ),
    )


def run(engine: EngineApi, arguments: Arguments) -> Inspected:
    platform = arguments.flag("platform")

    def find(name: str) -> Found:
        if platform:
            check_image(engine.images.get(name), name, platform)
        return Found("image", engine.images.inspect(name))

    return inspect_each(find, arguments.words, arguments.flag("format"))
