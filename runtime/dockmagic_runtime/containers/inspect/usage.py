"""`system df`: the disk usage of images, containers, volumes and the build cache."""

from __future__ import annotations

from collections import Counter

from dockmagic_runtime.containers.store import ContainerStore, describe
from dockmagic_runtime.images import prune as images_usage
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.linux.tree_size import tree_size
from dockmagic_runtime.model.usage import CacheUsage, ContainerUsage, DiskUsage, VolumeUsage
from dockmagic_runtime.volumes.store import VolumeStore


def disk_usage(
    store: ContainerStore,
    images: ImageStore,
    volumes: VolumeStore,
    build_cache: tuple[CacheUsage, ...],
) -> DiskUsage:
    """The usage of everything in the data root, in bytes."""
    records = store.all()
    counts = Counter(record.image_id for record, _ in records)
    layers, image_sizes = images_usage.usage(store.database, images, counts)
    links = volumes.users()
    return DiskUsage(
        layers=layers,
        images=image_sizes,
        containers=tuple(
            ContainerUsage(
                container=describe(record, now),
                size=tree_size(store.upper(record.id)),
                volumes=len({m.source for m in record.mounts if m.kind == "volume"}),
            )
            for record, now in records
        ),
        volumes=tuple(
            VolumeUsage(
                volume=volume, size=volumes.size(volume.name), links=len(links.get(volume.name, ()))
            )
            for volume in volumes.find()
        ),
        build_cache=build_cache,
    )
