"""`docker images --tree`: each image once, with its names, and its platform below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dockmagic.commands.help import terminal_columns
from dockmagic.commands.options.flags import Arguments
from dockmagic.commands.output.result import Result
from dockmagic.commands.output.table import ellipsis
from dockmagic.commands.references import familiar
from dockmagic.commands.units import decimal_size
from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.image import Image

if TYPE_CHECKING:
    from dockmagic_runtime import EngineApi

_UNUSABLE = ("quiet", "no-trunc", "digests", "format")
_WARNING = (
    "WARNING: This is an experimental feature. The output may change and shouldn't be depended on."
)
_LEGEND = "Info ->  U In Use "
_GAP = "   "
# Name, width and place of the columns behind the first, which takes what it needs and is there.
_COLUMNS = (("ID", 12, "<"), ("DISK USAGE", 10, ">"), ("CONTENT SIZE", 12, ">"), ("EXTRA", 5, "^"))
_CONTENT = "0B"  # of a store that keeps images unpacked, as Docker's with overlay2


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
    def of(cls, engine: EngineApi, images: Sequence[Image], *, all: bool) -> ImagesTree:
        """`all`: with those that have no name."""
        once = {image.id: image for image in images if image.tags or all}
        used = frozenset(container.image_id for container in engine.containers.list(all=True))
        return cls(tuple(once.values()), used)

    def text(self) -> str:
        columns = terminal_columns()
        first = self._first_width(columns)
        lines = [_WARNING, _LEGEND.rjust(columns), ""]
        lines.append(_row("IMAGE", [name for name, _, _ in _COLUMNS], first))
        for image in self.images:
            facts = [image.short_id, decimal_size(image.size), _CONTENT, self._extra(image)]
            *above, last = _names(image)
            lines += [ellipsis(name, first) for name in above]
            lines += [_row(last, facts, first), _row(_below(image), facts, first), ""]
        return "\n".join(lines)

    def _extra(self, image: Image) -> str:
        return "U" if image.id in self.used else ""

    def _first_width(self, columns: int) -> int:
        """As wide as its widest cell, counted in bytes as Docker does, if the others leave room."""
        texts = [text for image in self.images for text in (*_names(image), _below(image))]
        widest = max(len("IMAGE"), *(len(text.encode()) for text in texts), 0)
        room = columns - sum(size + len(_GAP) for _, size, _ in _COLUMNS)
        return min(widest, max(room, 12))

    def stable(self) -> str:
        lines: list[str] = []
        for image in self.images:
            lines += [*_names(image), _below(image)]
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


def _row(name: str, facts: Sequence[str], first: int) -> str:
    cells = [f"{ellipsis(name, first):<{first}}"]
    for fact, (_, size, place) in zip(facts, _COLUMNS, strict=True):
        cells.append(f"{fact:{place}{size}}")
    return _GAP.join(cells)


def _names(image: Image) -> list[str]:
    return [familiar(tag) for tag in image.tags] or ["<untagged>"]


def _below(image: Image) -> str:
    return f"└─ {_platform(image)}"


def _platform(image: Image) -> str:
    return f"{image.os or 'linux'}/{image.architecture}"
