"""What a repair of a data root has come to."""

from __future__ import annotations

from msgspec import Struct


class Repair(Struct, frozen=True, kw_only=True):
    """The objects that are known after it, and what could not be saved.

    `changed` says whether the database was damaged; `kept_aside` is the path of the damaged file,
    where it was replaced. `lost` names objects, each with the reason.
    """

    database: str
    changed: bool
    kept_aside: str = ""
    images: int = 0
    containers: int = 0
    networks: int = 0
    volumes: int = 0
    lost: tuple[str, ...] = ()
