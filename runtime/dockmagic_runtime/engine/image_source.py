"""`ImageSource`: images from registries, and stand-ins where no registry can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dockmagic_runtime.errors import NotFound, Unsupported
from dockmagic_runtime.model.build import BuildEvent, BuildRequest
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullDone, PullEvent
from dockmagic_runtime.model.reference import DEFAULT_REGISTRY, split_term
from dockmagic_runtime.model.search import SearchResult

if TYPE_CHECKING:
    from dockmagic_runtime.engine.components import EngineComponents


class ImageSource:
    """Pulls and searches. Used by `engine.images`, and by the builder for base images."""

    def __init__(self, components: EngineComponents) -> None:
        self._components = components

    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        """See `LocalImages.pull`."""
        from dockmagic_runtime.registry.errors import RegistryUnreachable

        catalogue = self._components.catalogue
        recipe = catalogue.find(reference)
        if recipe is not None and catalogue.policy == "always":
            if platform:
                raise Unsupported(
                    f"there is no stand-in of {reference} for {platform}",
                    hint="they are made of this machine's packages: leave --platform out",
                )
            yield from self._build_stand_in(reference)
            return
        try:
            yield from self._components.puller.pull(reference, all_tags=all_tags, platform=platform)
        except RegistryUnreachable as error:
            if recipe is None or platform:
                raise catalogue.without_stand_in(reference, error) from error
            yield from self._build_stand_in(reference, "no registry can be reached")

    def ensure(self, reference: str, *, platform: str = "") -> None:
        """Pull an image that is missing."""
        try:
            self._components.images.resolve(reference)
        except NotFound:
            for _ in self.pull(reference, platform=platform):
                pass

    def _build_stand_in(self, reference: str, why: str = "") -> Iterator[PullEvent]:
        components = self._components
        with components.layers.leasing():
            for event in components.catalogue.make(
                reference, self._build, components.data_root, self._find, why=why
            ):
                if isinstance(event, PullDone):
                    components.images.emit_pull(event.image, reference)
                yield event

    def _build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        return self._components.builder.build(request)  # loaded when there is something to build

    def _find(self, reference: str) -> Image | None:
        try:
            return self._components.images.resolve(reference)
        except NotFound:
            return None

    def stand_ins(self, term: str = "") -> tuple[SearchResult, ...]:
        """See `LocalImages.stand_ins`."""
        return tuple(
            SearchResult(name=recipe.name, description=recipe.description, is_stand_in=True)
            for recipe in self._components.catalogue.search(term)
        )

    def search(self, term: str, *, limit: int = 25) -> tuple[SearchResult, ...]:
        """See `LocalImages.search`."""
        from dockmagic_runtime.registry.errors import RegistryUnreachable
        from dockmagic_runtime.registry.search import search

        registry, word = split_term(term)
        stand_ins = self.stand_ins(word) if registry == DEFAULT_REGISTRY else ()
        try:
            return search(registry, word, limit)
        except RegistryUnreachable:
            if not stand_ins:
                raise
            return stand_ins[:limit]
