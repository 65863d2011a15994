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
        """Returns what a Dockerfile builds and which arguments it takes. Nothing is built.

        Args:
            request: The build.

        Raises:
            InvalidInput: A mistake in the Dockerfile.
        """
        return self._components.builder.outline(request)

    def explain(self, reference: str) -> BuildExplanation:
        """Returns how an image was built, and why each step was or was not in the cache.

        Args:
            reference: A tag, an id, or a unique prefix of an id.

        Raises:
            NotFound: No such image, or nothing is known of its build.
        """
        return self._components.builder.explain(reference)

    def failed(self, left: str = "") -> Image:
        """Returns an image of what the last RUN that failed had written until then.

        Args:
            left: The name that `StepFailed` gave to what another of the last RUNs has left.

        Raises:
            NotFound: No RUN has failed, or its files have been pruned.
        """
        return self._components.builder.failed(left)

    @freeing
    def prune(
        self,
        *,
        unused_only: bool = False,
        before: float | None = None,
        bounds: CacheBounds | None = None,
    ) -> int:
        """Removes cached results of builds.

        Args:
            unused_only: Whether to keep the results that an image is made of.
            before: Seconds since the epoch; what was used later stays. None: no limit.
            bounds: Sizes that may stay. Without it and `before`, cache mounts are removed too.

        Returns:
            The bytes that were freed.
        """
        builder = self._components.builder
        until = float("inf") if before is None else before
        freed = builder.prune_cache(unused_only=unused_only, before=until, bounds=bounds)
        if before is None and bounds is None:
            freed += builder.prune_cache_mounts()
        return freed
