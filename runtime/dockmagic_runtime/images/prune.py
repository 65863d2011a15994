"""`image prune`: unused images, and the layers that go with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from dockmagic_runtime.errors import Conflict, NotFound
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.usage import ImageUsage, Pruned
from dockmagic_runtime.store.database import Database

Test = Callable[[float, Mapping[str, str]], bool]  # of creation time and labels


def prune(
    images: ImageStore,
    layers: LayerStore,
    *,
    used: Collection[str],
    dangling_only: bool,
    wanted: Test,
) -> Pruned:
    """Remove images that no container in `used` (image ids) is of, by default those without a
    name. The lines are Docker's, the bytes those of the layers that went."""
    lines: list[str] = []
    reclaimed = 0
    for image in images.list(all=not dangling_only):
        if image.id in used or (dangling_only and image.tags):
            continue
        if not wanted(image.created, image.config.labels):
            continue
        sizes = {layer.chain_id: layer.size for layer in layers.present(image.chain_ids)}
        removed = _remove(images, image, dangling_only)
        lines += removed
        reclaimed += sum(sizes.get(line.removeprefix("deleted: "), 0) for line in removed)
    return Pruned(removed=tuple(lines), reclaimed=reclaimed)


def _remove(images: ImageStore, image: Image, dangling_only: bool) -> list[str]:
    try:
        lines = images.remove(image.id, force=True, spare_named=dangling_only, spare_used=True)
    except (Conflict, NotFound):
        return []  # it has just been named, removed, or made a container of
    return [line[0].lower() + line[1:] for line in lines]


def usage(
    database: Database, images: ImageStore, containers: Mapping[str, int]
) -> tuple[int, tuple[ImageUsage, ...]]:
    """The bytes of all layers of images, each counted once, and each image's share.

    `containers` is how many there are of each image id.
    """
    layers = database.rows(
        "SELECT chain_id, size, count(*) FROM image_layers JOIN layers USING (chain_id) "
        "GROUP BY chain_id"
    )
    shared = {chain_id: size for chain_id, size, images_ in layers if images_ > 1}
    return sum(size for _, size, _ in layers), tuple(
        ImageUsage(
            image=image,
            shared=sum(shared.get(chain_id, 0) for chain_id in image.chain_ids),
            containers=containers.get(image.id, 0),
        )
        for image in images.list()
    )
