"""Names of images as people write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic_runtime.errors import InvalidInput
from dockmagic_runtime.model.reference import ImageReference

if TYPE_CHECKING:
    from dockmagic_runtime.model.image import Image


def familiar(tag: str) -> str:
    """`httpd:latest` for `docker.io/library/httpd:latest`."""
    try:
        return ImageReference.parse(tag).familiar
    except InvalidInput:
        return tag  # an id, or a name from elsewhere: better shown as it is than not at all


def repository_and_tag(tag: str) -> tuple[str, str]:
    """`("httpd", "alpine")` for `httpd:alpine`."""
    try:
        reference = ImageReference.parse(tag)
    except InvalidInput:
        return tag, "<none>"
    return reference.familiar_name, reference.tag or "<none>"


def name_of(image: Image) -> str:
    """The image's first name; its short id if it has none."""
    return familiar(image.tags[0]) if image.tags else image.short_id
