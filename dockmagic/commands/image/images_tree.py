"""`docker images --tree`: each image once, with its names, and its platform below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dockmagic.commands.options.flags import Arguments
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import layout
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.image import Image

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_UNUSABLE = ("quiet", "no-trunc", "digests", "format")


def check_alone(arguments: Arguments) -> None:
    """Raises InvalidInput, in Docker's words, for what makes no sense beside --tree."""
    for name in _UNUSABLE:
        if arguments.flag(name):
            raise InvalidInput(f"--{name} is not yet supported with --tree")


class ImagesTree(Result, frozen=True):
    """An image of one platform has one line below it; none here has more. U: containers use it."""

    images: tuple[Image, ...]
    used: frozenset[str]

    @classmethod
    def of(cls, engine: EngineApi, images: Sequence[Image]) -> ImagesTree:
        once = {image.id: image for image in images}
        used = frozenset(container.image_id for container in engine.containers.list(all=True))
        return cls(tuple(once.values()), used)

    def text(self) -> str:
        rows = [["IMAGE", "ID", "DISK USAGE", "EXTRA"]]
        for image in self.images:
            size, extra = decimal_size(image.size), "U" if image.id in self.used else ""
            *above, last = map(familiar, image.tags or ("<untagged>",))
            rows += [[name] for name in above]
            rows.append([last, image.short_id, size, extra])
            rows.append([f"└─ {_platform(image)}", image.short_id, size, ""])
        return layout(rows)

    def stable(self) -> str:
        lines: list[str] = []
        for image in self.images:
            lines += map(familiar, image.tags or ("<untagged>",))
            lines.append(f"└─ {_platform(image)}")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "names": [familiar(tag) for tag in image.tags],
                "id": image.short_id,
                "platform": _platform(image),
                "size": image.size,
                "in_use": image.id in self.used,
            }
            for image in self.images
        ]


def _platform(image: Image) -> str:
    return f"{image.os or 'linux'}/{image.architecture}"
