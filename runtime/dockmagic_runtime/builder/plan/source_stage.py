"""Where a step takes files from."""

from __future__ import annotations

from msgspec import Struct


class SourceStage(Struct, frozen=True):
    """An earlier stage, an image, or a build context: the main one ("") or one with a name.

    `layers` are the image's, bottom first; they are known when the plan is made.
    """

    stage: int | None = None
    image: str = ""
    layers: tuple[str, ...] = ()
    context: str = ""

    @property
    def is_context(self) -> bool:
        return self.stage is None and not self.image

    @property
    def is_main_context(self) -> bool:
        return self.is_context and not self.context

    def describe(self) -> str:
        if self.stage is not None:
            return f"stage {self.stage}"
        if self.image:
            return f"the image {self.image}"
        return f"the build context {self.context}" if self.context else "the build context"
