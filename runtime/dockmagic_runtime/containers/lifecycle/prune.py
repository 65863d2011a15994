"""`container prune`: containers that do not run. `image prune`: images without a container."""

from __future__ import annotations

from typing import Final

from dockmagic_runtime.containers.lifecycle import unfinished
from dockmagic_runtime.containers.lifecycle.remove import remove
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.images import prune as unused
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.linux.tree_size import tree_size
from dockmagic_runtime.model.container import Status
from dockmagic_runtime.model.docker_event import Event
from dockmagic_runtime.model.filters import PRUNE, Filters, boolean, check, prunable
from dockmagic_runtime.model.usage import Pruned
from dockmagic_runtime.store.events import emit
from dockmagic_runtime.volumes.store import VolumeStore

_IMAGES: Final = PRUNE | {"dangling"}


def prune(store: ContainerStore, volumes: VolumeStore, filters: Filters) -> Pruned:
    """Removes containers that do not run; their volumes stay. Filters: until, label, label!.

    Raises InvalidInput.
    """
    check(filters, PRUNE)
    wanted = prunable(filters)
    removed: list[str] = []
    reclaimed = 0
    for record, now in store.all():
        if Status(now.status).is_alive or not wanted(record.created, record.labels):
            continue
        run = store.run(record.id)
        is_stuck = unfinished.is_stuck(run)
        if not is_stuck and unfinished.is_unfinished(run):
            continue  # it is about to run
        size = tree_size(store.upper(record.id))
        try:
            remove(store, volumes, record, force=is_stuck, with_volumes=False)
        except (Conflict, NotFound):
            continue  # started or removed since it was listed
        removed.append(record.id)
        reclaimed += size
    _emit(store.data_root.path, "container", reclaimed)
    return Pruned(removed=tuple(removed), reclaimed=reclaimed)


def _emit(root: str, kind: str, reclaimed: int) -> None:
    emit(root, Event(type=kind, action="prune", id="", attributes={"reclaimed": str(reclaimed)}))


def prune_images(
    store: ContainerStore, images: ImageStore, layers: LayerStore, filters: Filters
) -> Pruned:
    """Removes images without a container. Filters: dangling (true), until, label, label!."""
    check(filters, _IMAGES)
    pruned = unused.prune(
        images,
        layers,
        used={record.image_id for record, _ in store.all()},
        dangling_only=boolean(filters, "dangling") is not False,
        wanted=prunable(filters),
    )
    _emit(store.data_root.path, "image", pruned.reclaimed)
    return pruned
