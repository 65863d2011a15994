"""The filters of `volume ls` and `volume prune`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.volume import Volume

Filters = Mapping[str, Sequence[str]]
LIST: Final = frozenset(["dangling", "driver", "label", "name"])
PRUNE: Final = frozenset(["all", "label", "label!"])
_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
_FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")


def check(filters: Filters, known: Collection[str]) -> None:
    """Raises InvalidInput for a filter that the verb does not have."""
    for name in filters:
        if name not in known:
            raise InvalidInput(f"invalid filter '{name}'")


def matches(volume: Volume, filters: Filters) -> bool:
    """Whether driver, name and labels are as asked; of labels all, of the others one must fit."""
    drivers, names = filters.get("driver"), filters.get("name")
    return (
        (not drivers or volume.driver in drivers)
        and (not names or any(_has_name(volume, text) for text in names))
        and all(has_label(volume, text) for text in filters.get("label", ()))
        and not any(has_label(volume, text) for text in filters.get("label!", ()))
    )


def _has_name(volume: Volume, pattern: str) -> bool:
    """The pattern is a regular expression that may fit anywhere, or the name itself."""
    try:
        return volume.name == pattern or re.search(pattern, volume.name) is not None
    except re.error:
        return False


def has_label(volume: Volume, text: str) -> bool:
    """`KEY` or `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    return key in volume.labels and (not equals or volume.labels[key] == value)


def boolean(filters: Filters, name: str) -> bool | None:
    """What `name=true` or the like says; None when it was not asked. Raises InvalidInput."""
    values = set(filters.get(name, ()))
    if not values:
        return None
    if len(values) > 1 or not values <= {*_TRUE, *_FALSE}:
        raise InvalidInput(f"invalid filter '{name}=[{' '.join(sorted(values))}]'")
    return values.pop() in _TRUE
