"""`RemoteCache`: the caches that a request imports and exports.

The modules that talk to registries are loaded only when a request names such a cache.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from dockmagic_runtime.builder.own_steps import OwnSteps
from dockmagic_runtime.builder.results import StepResult
from dockmagic_runtime.builder.stage_state import StageState
from dockmagic_runtime.errors import DockmagicError
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.model.build import BuildCacheSpec, BuildEvent, BuildRequest, StepDone

if TYPE_CHECKING:
    from dockmagic_runtime.builder.cache.backends import CacheBackend
    from dockmagic_runtime.builder.cache.importer import ImportedCaches

_INLINE_ARGUMENT: Final = "BUILDKIT_INLINE_CACHE"
_EXPORTS: Final = {
    "local": "exporting cache to client directory",
    "registry": "exporting cache to registry",
}


class RemoteCache:
    """Of one area."""

    def __init__(self, layers: LayerStore, blobs: BlobStore) -> None:
        self._layers = layers
        self._blobs = blobs

    def free(self) -> int:
        """The bytes that the area's disk has left."""
        return self._blobs.free()

    def imported(
        self, request: BuildRequest, stack: ExitStack, own: OwnSteps
    ) -> Generator[BuildEvent, None, ImportedCaches | None]:
        """What the request may take results from, until `stack` is closed."""
        if not request.cache_from:
            return None
        from dockmagic_runtime.builder.cache.importer import ImportedCaches

        caches = ImportedCaches(self._layers, self._blobs.free)
        stack.callback(caches.close)
        yield from caches.load([_backend(spec) for spec in request.cache_from], own)
        return caches

    def exported(
        self,
        request: BuildRequest,
        results: Sequence[StepResult],
        state: StageState,
        own: OwnSteps,
    ) -> Iterator[BuildEvent]:
        """Exports to the backends that the request names. Raises RemoteFailed, InvalidInput."""
        for spec in request.cache_to:
            if spec.kind != "inline":
                yield from self._exported(spec, results, state, own)

    def _exported(
        self,
        target: BuildCacheSpec,
        results: Sequence[StepResult],
        state: StageState,
        own: OwnSteps,
    ) -> Iterator[BuildEvent]:
        from dockmagic_runtime.builder.cache.exporter import Exporter, of_target

        chosen = results if target.mode == "max" else of_target(results, state)
        backend = _backend(target)
        exporter = Exporter(self._layers, self._blobs)
        try:
            yield from own.run(_EXPORTS[target.kind], exporter.work(chosen, backend))
        except DockmagicError as error:
            if not target.ignore_error:
                raise
            yield StepDone(number=own.last, error=error.message)
        finally:
            backend.close()

    @staticmethod
    def inline(
        request: BuildRequest, results: Sequence[StepResult], state: StageState
    ) -> dict[str, str]:
        """What the image's config is to carry of its cache: a field, or none."""
        asked = any(spec.kind == "inline" for spec in request.cache_to)
        if not asked and request.build_args.get(_INLINE_ARGUMENT, "") not in ("1", "true"):
            return {}
        from dockmagic_runtime.builder.cache.document import INLINE_FIELD
        from dockmagic_runtime.builder.cache.exporter import inline

        return {INLINE_FIELD: inline(results, state)}


def _backend(wanted: BuildCacheSpec) -> CacheBackend:
    from dockmagic_runtime.builder.cache.backends import LocalCacheBackend, RegistryCacheBackend

    if wanted.kind == "local":
        return LocalCacheBackend(wanted.where, wanted.tag, wanted.digest)
    return RegistryCacheBackend(wanted.where)
