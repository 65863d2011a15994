"""Progress of a pull, load or push: the events that it yields, in order."""

from __future__ import annotations

from msgspec import Struct

from dockmagic_runtime.model.image import Image


class PullStatus(Struct, frozen=True, kw_only=True):
    """One line of a pull. `id` names a layer, or is empty for the image as a whole."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


class PullDone(Struct, frozen=True, kw_only=True):
    image: Image
    reference: str
    was_present: bool = False


PullEvent = PullStatus | PullDone


class LoadDone(Struct, frozen=True, kw_only=True):
    """An image of an archive is here, under this name, or "" if the archive names none."""

    image: Image
    reference: str


LoadEvent = PullStatus | LoadDone


class PushDone(Struct, frozen=True, kw_only=True):
    """A registry has the image under this name; `digest` and `size` are its manifest's."""

    reference: str
    digest: str
    size: int


PushEvent = PullStatus | PushDone
