"""`ps`: the list of containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dockmagic_runtime.containers.store import ContainerStore, describe
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.model.container import Container

if TYPE_CHECKING:
    from dockmagic_runtime.containers.record import Record
    from dockmagic_runtime.images.store import ImageStore
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.image import Image


def find(
    store: ContainerStore,
    images: Callable[[], ImageStore],
    filters: Filters | None,
    *,
    all: bool,
) -> tuple[Container, ...]:
    """The containers that pass the filters, newest first; without `all`, those that run.

    Raises InvalidInput, NotFound.
    """
    if filters:
        from dockmagic_runtime.containers.ps import filters as asked

        all = all or asked.wants_all(filters)
    stored = store.all()
    ids: dict[str, str] = {}
    link_names = _link_names([record for record, _ in stored if record.links])
    containers = [
        replace(
            container,
            links=link_names.get(container.id, ()),
            image=_image_name(images, container, ids),
        )
        for record, now in stored
        if (container := describe(record, now)).status.is_alive or all
    ]
    if filters:
        look = asked.Lookups(
            created=lambda name: store.find(name).created,
            descends=lambda image_id, text: _descends(images(), image_id, text),
        )
        containers = asked.select(containers, filters, look)
    return tuple(containers)


def _image_name(images: Callable[[], ImageStore], container: Container, ids: dict[str, str]) -> str:
    """The image as `create` was given it; the id when that name means another image by now.

    `ids` keeps the ids of names that were looked up.
    """
    name = container.image
    if name not in ids:
        try:
            ids[name] = images().id_of(name)
        except (NotFound, InvalidInput):
            ids[name] = ""
    return name if ids[name] == container.image_id else container.image_id


def _link_names(records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    if not records:
        return {}
    from dockmagic_runtime.containers.lifecycle import links

    return links.names(records)


def _descends(images: ImageStore, image_id: str, text: str) -> bool:
    """Whether the image is the one that `text` names, or was built from it."""
    try:
        ancestor, image = images.resolve(text), images.resolve(image_id)
    except (NotFound, InvalidInput):
        return False
    return is_descendant(image, ancestor)


def is_descendant(image: Image, ancestor: Image) -> bool:
    """Whether `image` was built from `ancestor`, by its history: equal layers are no proof."""
    steps, layers = len(ancestor.history), len(ancestor.chain_ids)
    return image.id == ancestor.id or (
        0 < steps < len(image.history)
        and image.history[:steps] == ancestor.history
        and image.chain_ids[:layers] == ancestor.chain_ids
    )
