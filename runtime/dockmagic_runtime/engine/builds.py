"""`engine.builds`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockmagic_runtime.engine.facet import Facet, freeing

if TYPE_CHECKING:
    from dockmagic_runtime.model.build import BuildRequest
    from dockmagic_runtime.model.explanation import BuildExplanation
    from dockmagic_runtime.model.image import Image
    from dockmagic_runtime.model.outline import BuildOutline
    from dockmagic_runtime.model.usage import CacheBounds


class LocalBuilds(Facet):
    """What builds have left, and what a build would do. `engine.images.build` builds."""

    def outline(self, request: BuildRequest) -> BuildOutline:
        """What its Dockerfile offers and takes; nothing is built."""
        return self._components.builder.outline(request)

    def explain(self, reference: str) -> BuildExplanation:
        """How an image was built, and why each step was or was not in the cache."""
        return self._components.builder.explain(reference)

    def failed(self) -> Image:
        """What the last RUN that failed has left, to be entered. Raises NotFound."""
        return self._components.builder.failed()

    @freeing
    def prune(
        self,
        *,
        unused_only: bool = False,
        before: float | None = None,
        bounds: CacheBounds | None = None,
    ) -> int:
        """Forget what builds have made, or only what no image has of it; the bytes that freed.

        `before` spares what was used since that time, `bounds` what may stay; only without both
        the cache mounts go too.
        """
        builder = self._components.builder
        until = float("inf") if before is None else before
        freed = builder.prune_cache(unused_only=unused_only, before=until, bounds=bounds)
        if before is None and bounds is None:
            freed += builder.prune_cache_mounts()
        return freed
