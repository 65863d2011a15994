"""What takes space, and what pruning gave back. Sizes in bytes."""

from __future__ import annotations

from msgspec import Struct

from dockmagic_runtime.model.container import Container
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.volume import Volume


class ContainerSize(Struct, frozen=True, kw_only=True):
    """`writable` is the container's own layer, `root` that and its image's."""

    writable: int
    root: int


class ImageUsage(Struct, frozen=True, kw_only=True):
    """`shared` are the bytes of layers that other images have too; `containers` use it."""

    image: Image
    shared: int
    containers: int

    @property
    def unique(self) -> int:
        return self.image.size - self.shared


class ContainerUsage(Struct, frozen=True, kw_only=True):
    container: Container
    size: int
    volumes: int

    @property
    def is_active(self) -> bool:
        return self.container.status.is_alive


class VolumeUsage(Struct, frozen=True, kw_only=True):
    volume: Volume
    size: int
    links: int  # containers that use it


class CacheUsage(Struct, frozen=True, kw_only=True):
    """One result of a build step. `in_use`: an image has its layer as well."""

    id: str
    size: int
    in_use: bool
    created: str
    used: float


class CacheBounds(Struct, frozen=True, kw_only=True):
    """How much of a build cache may stay, in bytes; 0 is no bound. What is `reserved` stays
    whatever the others say, and alone it is all that stays."""

    reserved: int = 0
    max_used: int = 0
    min_free: int = 0  # of the disk

    def goal(self, total: int, free: int) -> int:
        """What a cache of `total` bytes is to come down to, on a disk with `free` bytes left."""
        if not self.max_used and not self.min_free:
            return self.reserved
        goal = min(total, self.max_used) if self.max_used else total
        if self.min_free > free:
            goal = min(goal, total - (self.min_free - free))
        return max(goal, self.reserved)


class DiskUsage(Struct, frozen=True, kw_only=True):
    """`layers` are the bytes of all layers of images, each counted once."""

    layers: int
    images: tuple[ImageUsage, ...]
    containers: tuple[ContainerUsage, ...]
    volumes: tuple[VolumeUsage, ...]
    build_cache: tuple[CacheUsage, ...]


class Pruned(Struct, frozen=True, kw_only=True):
    """What was removed: ids, or Docker's lines about images; and the bytes that freed."""

    removed: tuple[str, ...]
    reclaimed: int
