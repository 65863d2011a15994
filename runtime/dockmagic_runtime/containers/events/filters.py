"""The filters of `events`, as Docker reads them.

Values of one name are alternatives, names must all hold; of labels every one must be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.filters import Filters, has_label
from dockmagic_runtime.model.reference import ImageReference

# an object by its id, its name, or a prefix of either, for every type of event
_OBJECTS: Final = (
    "container",
    "volume",
    "network",
    "daemon",
    "plugin",
    "service",
    "node",
    "secret",
    "config",
)
KNOWN: Final = frozenset(["type", "event", "scope", "image", "label", *_OBJECTS])
# an action of these goes on after a colon; if one is asked for, all values are prefixes
_OPEN_ENDED: Final = frozenset(["health_status", "exec_create", "exec_start"])


def matches(event: Event, filters: Filters) -> bool:
    """Whether the event passes all of them."""
    return (
        _is_one_of(event.type, filters.get("type"))
        and _is_one_of("local", filters.get("scope"))
        and _has_action(event, filters.get("event"))
        and _has_image(event, filters.get("image"))
        and all(has_label(event.attributes, text) for text in filters.get("label", ()))
        and all(_is_about(event, filters.get(kind)) for kind in _OBJECTS)
    )


def _is_one_of(value: str, asked: Sequence[str] | None) -> bool:
    return not asked or value in asked


def _has_action(event: Event, asked: Sequence[str] | None) -> bool:
    if asked and not _OPEN_ENDED.isdisjoint(asked):
        return any(event.action.startswith(text) for text in asked)
    return _is_one_of(event.action, asked)


def _is_about(event: Event, asked: Sequence[str] | None) -> bool:
    names = (event.id, event.attributes.get("name", ""))
    return not asked or any(name.startswith(text) for name in names for text in asked)


def _has_image(event: Event, asked: Sequence[str] | None) -> bool:
    """The image of an image's event, or that of a container's; with its tag or without."""
    if not asked:
        return True
    name = event.attributes.get("name" if event.type == "image" else "image", "")
    return any(
        candidate in asked for text in (event.id, name) for candidate in (text, _without_tag(text))
    )


def _without_tag(text: str) -> str:
    try:
        return ImageReference.parse(text).familiar_name
    except InvalidInput:
        return text
