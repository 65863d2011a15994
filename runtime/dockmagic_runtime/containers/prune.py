"""`container prune`: all that do not run. `image prune`: all that nobody needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from dockmagic_runtime.containers.filters import PRUNE, Filters, boolean, check, prunable
from dockmagic_runtime.containers.registry import Registry
from dockmagic_runtime.containers.remove import remove
from dockmagic_runtime.containers.sizes import writable_size
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.images import prune as unused
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.usage import Pruned
from dockmagic_runtime.volumes.store import VolumeStore

_IMAGES: Final = PRUNE | {"dangling"}


def prune(registry: Registry, volumes: VolumeStore, filters: Filters) -> Pruned:
    """Remove them; their volumes stay. Filters: until, label, label!. Raises InvalidInput."""
    check(filters, PRUNE)
    wanted = prunable(filters)
    removed: list[str] = []
    reclaimed = 0
    for record, now in registry.all():
        if Status(now.status).is_alive or not wanted(record.created, record.labels):
            continue
        size = writable_size(f"{registry.directory(record.id)}/upper")
        try:
            remove(registry, volumes, record, force=False, with_volumes=False)
        except (Conflict, NotFound):
            continue  # it was started, or removed, since the list was made
        removed.append(record.id)
        reclaimed += size
    return Pruned(removed=tuple(removed), reclaimed=reclaimed)


def prune_images(
    images: ImageStore, layers: LayerStore, used: Collection[str], filters: Filters
) -> Pruned:
    """Remove images that no container is of. Filters: dangling (true), until, label, label!."""
    check(filters, _IMAGES)
    dangling = filters.get("dangling", ())
    return unused.prune(
        images,
        layers,
        used=used,
        dangling_only=boolean("dangling", dangling) if dangling else True,
        wanted=prunable(filters),
    )
