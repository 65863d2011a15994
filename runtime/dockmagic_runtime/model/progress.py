"""Progress of a pull, load or push: the events that it yields, in order."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from dockmagic_runtime.model.image import Image

STAND_IN: Final = "stand-in"
STEP: Final = "step"
_DONE: Final = ("Pull complete", "Already exists")
_RECEIVED: Final = ("Verifying Checksum", "Download complete", "Extracting", *_DONE)


class PullStatus(Struct, frozen=True, kw_only=True):
    """One line of a pull. `id` names a layer, or is empty for the image as a whole.

    `kind` is STAND_IN for the one line that says that the image is a stand-in, and STEP for those
    about the making of one, which is at its step `step` of `steps`; else "". `size` has the bytes
    of a layer's blob as soon as they are known.
    """

    status: str
    id: str = ""
    current: int = 0
    total: int = 0
    kind: str = ""
    step: int = 0
    steps: int = 0
    size: int = 0


class PullDone(Struct, frozen=True, kw_only=True):
    image: Image
    reference: str
    was_present: bool = False


PullEvent = PullStatus | PullDone


class PullTotals(Struct):
    """A whole pull in a few numbers: takes its statuses, and has what they come to.

    `current` of `total` are bytes received, `done` of `layers` are ready. Of a stand-in that is
    being made it is `step` of `steps`, and `doing` says what that is; `stand_in` is its line.
    """

    stand_in: str = ""
    step: int = 0
    steps: int = 0
    doing: str = ""
    _sizes: dict[str, int] = field(default_factory=dict)  # of layers, in bytes
    _received: dict[str, int] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def take(self, status: PullStatus) -> None:
        if status.kind == STAND_IN:
            self.stand_in = status.status
        elif status.kind == STEP:
            self.step, self.steps, self.doing = status.step, status.steps, status.status
        elif status.id and (status.size or status.id in self._sizes or status.status in _DONE):
            self._take_layer(status)

    def _take_layer(self, status: PullStatus) -> None:
        size = self._sizes[status.id] = status.size or self._sizes.get(status.id, status.total)
        if status.status in _RECEIVED:
            self._received[status.id] = size
        elif status.total:
            self._received[status.id] = min(status.current, size)
        if status.status in _DONE:
            self._done.add(status.id)

    @property
    def layers(self) -> int:
        return len(self._sizes)

    @property
    def done(self) -> int:
        return len(self._done)

    @property
    def total(self) -> int:
        return sum(self._sizes.values())

    @property
    def current(self) -> int:
        return sum(self._received.values())


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
