"""Volumes as the engine shows them."""

from __future__ import annotations

from msgspec import Struct, field

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


class Volume(Struct, frozen=True, kw_only=True):
    """One row of `volume ls`. `options` are those of the `local` driver: type, device, o.

    `created` is in seconds since the epoch, `mountpoint` where the data are on this machine,
    `damage` what was lost of it, when its files are damaged.
    """

    name: str
    mountpoint: str
    created: float
    driver: str = "local"
    scope: str = "local"
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    damage: str = ""

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels


class PrunedVolumes(Struct, frozen=True, kw_only=True):
    """What `volume prune` removed, and how many bytes that freed."""

    names: tuple[str, ...]
    reclaimed: int
