"""`filters` of images, which moby's daemon applies."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from dockmagic_runtime.api.http.errors import HttpError
from dockmagic_runtime.model.filters import Filters, boolean, check, has_label
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.times import parse_moment

if TYPE_CHECKING:
    from dockmagic_runtime.engine.interface import EngineApi

KNOWN = frozenset(["dangling", "label", "before", "since", "until", "reference"])


def chosen_images(engine: EngineApi, filters: Filters, *, every: bool) -> list[Image]:
    """The images that pass. Raises InvalidInput, NotFound, HttpError (400)."""
    check(filters, KNOWN)
    is_dangling = boolean(filters, "dangling")
    before = [engine.images.get(name).created for name in filters.get("before", ())]
    since = [engine.images.get(name).created for name in filters.get("since", ())]
    try:
        until = [parse_moment(text) for text in filters.get("until", ())]
    except ValueError as error:
        raise HttpError(400, str(error)) from None
    tests: list[Callable[[Image], bool]] = [
        lambda image: is_dangling is None or (not image.tags) is is_dangling,
        lambda image: all(
            has_label(image.config.labels, text) for text in filters.get("label", ())
        ),
        lambda image: all(image.created < moment for moment in (*before, *until)),
        lambda image: all(image.created > moment for moment in since),
        lambda image: _matches(image, filters.get("reference", ())),
    ]
    return [image for image in engine.images.list(all=every) if all(test(image) for test in tests)]


def _matches(image: Image, patterns: object) -> bool:
    wanted = list(patterns) if isinstance(patterns, (list, tuple)) else []
    return not wanted or any(_fits(tag, pattern) for tag in image.tags for pattern in wanted)


def _fits(tag: str, pattern: str) -> bool:
    """A glob in which `*` crosses no slash, for the name with or without its tag."""
    reference = ImageReference.parse(tag)
    glob = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    names = (tag, reference.familiar, reference.familiar_name, f"{reference.name}:{reference.tag}")
    return any(re.fullmatch(glob, name) for name in names)
