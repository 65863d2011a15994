"""The size of a container's writable layer."""

from __future__ import annotations

from dockmagic_runtime.containers.record import Record
from dockmagic_runtime.containers.store import ContainerStore
from dockmagic_runtime.errors import NotFound
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.linux.tree_size import tree_size
from dockmagic_runtime.model.usage import ContainerSize


def size(store: ContainerStore, layers: LayerStore, record: Record) -> ContainerSize:
    """Bytes of the writable layer, and of that and the image together."""
    writable = tree_size(store.upper(record.id))
    return ContainerSize(writable=writable, root=writable + _image_size(layers, record))


def _image_size(layers: LayerStore, record: Record) -> int:
    total = 0
    for chain_id in record.layers:
        try:
            total += layers.get(chain_id).size
        except NotFound:
            continue  # the image is being removed
    return total
