"""Volumes as the engine shows them."""

from __future__ import annotations

from dataclasses import dataclass, field

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One row of `volume ls`. `options` are those of the `local` driver: type, device, o.

    `created` is in seconds since the epoch, `mountpoint` where the data are on this machine.
    """

    name: str
    mountpoint: str
    created: float
    driver: str = "local"
    scope: str = "local"
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedVolumes:
    """What `volume prune` removed, and how many bytes that freed."""

    names: tuple[str, ...]
    reclaimed: int
