"""A listing in a notebook: rows to go on working with, and a data frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dockmagic.commands.container.ps import Containers
from dockmagic.commands.image.images import Images
from dockmagic.commands.output.frame_of_rows import data_frame
from dockmagic.commands.output.listing import Listing
from dockmagic.commands.output.result import Result
from dockmagic.commands.references import familiar
from dockmagic.errors import MagicError
from dockmagic_runtime.model.suggest import did_you_mean

if TYPE_CHECKING:
    from dockmagic.magics.objects import Maker


class Table:
    """What `%ps`, `%images` and their like return.

    `x[0]`, `x["web"]` and the elements of a loop are the same objects: containers and images are
    handles with methods. `x.df` is a pandas data frame, `x.rows()` the same as dictionaries,
    `x.text()` what the command line prints.
    """

    def __init__(
        self, listing: Listing, make: Maker, again: Callable[[], Result] | None = None
    ) -> None:
        self._listing = listing
        self._again = again  # lists once more, for a live view
        self._elements = _elements(listing, make)

    @property
    def df(self) -> Any:
        """All rows as a pandas data frame. Raises MagicError where pandas is not installed."""
        return data_frame(self.rows())

    @property
    def names(self) -> list[str]:
        """The names of the rows, for what has one."""
        return [_name(item) for item in self._listing.items]

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row: numbers as numbers, times as times."""
        return self._listing.rows()

    def text(self) -> str:
        """What the command line prints."""
        return self._listing.text()

    def __getattr__(self, name: str) -> Any:
        """What this kind of listing has besides, such as `%layers`' `anatomy`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._listing, name)

    def __len__(self) -> int:
        return len(self._elements)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements)

    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self._elements[key]
        for name, element in zip(self.names, self._elements, strict=True):
            if key == name or (len(key) > 3 and getattr(element, "id", "").startswith(key)):
                return element
        raise MagicError(f"no row is named {key!r}", hint=did_you_mean(key, self.names))

    def __contains__(self, key: object) -> bool:
        return key in self.names if isinstance(key, str) else key in self._elements

    def _ipython_key_completions_(self) -> list[str]:
        return self.names

    def __str__(self) -> str:
        return self._listing.text()

    def __repr__(self) -> str:
        return self._listing.text()

    def __dir__(self) -> list[str]:
        return ["df", "names", "rows", "text"]


def _elements(listing: Listing, make: Maker) -> list[Any]:
    if isinstance(listing, Containers):
        return [make.container(item.id) for item in listing.items]
    if isinstance(listing, Images):
        return [make.image(item.id, _name(item)) for item in listing.items]
    return list(listing.items)


def _name(item: Any) -> str:
    tags = getattr(item, "tags", None)
    if tags:
        return familiar(tags[0])
    return str(getattr(item, "name", "") or getattr(item, "short_id", "") or "")
