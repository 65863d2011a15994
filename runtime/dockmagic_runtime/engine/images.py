"""`engine.images`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic_runtime.engine.facet import Facet, freeing
from dockmagic_runtime.model.container import Status

if TYPE_CHECKING:
    from dockmagic_runtime.images.compression import Readable
    from dockmagic_runtime.model.analysis import Anatomy, FileOrigin, Sharing
    from dockmagic_runtime.model.build import BuildEvent, BuildRequest
    from dockmagic_runtime.model.commit import ImportSpec
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.image import History, Image, Layer
    from dockmagic_runtime.model.progress import LoadEvent, PullEvent, PushEvent
    from dockmagic_runtime.model.search import RemoteManifest, SearchResult
    from dockmagic_runtime.model.usage import Pruned


class LocalImages(Facet):
    """The images of one data root."""

    def list(self, *, all: bool = False) -> tuple[Image, ...]:
        """All images, newest first; without `all`, those with a tag or nothing above them."""
        return self._components.images.list(all=all)

    def get(self, reference: str) -> Image:
        """By tag, id or unique prefix of an id. Raises NotFound."""
        return self._components.images.resolve(reference)

    def inspect(self, reference: str) -> dict[str, Any]:
        """Docker's JSON of an image."""
        return self._components.images.inspect(self.get(reference))

    def history(self, reference: str) -> tuple[History, ...]:
        """What made the image, newest first."""
        return self._components.images.history(self.get(reference))

    def layers(self, reference: str) -> tuple[Layer, ...]:
        """The image's layers with their files, bottom first."""
        return self._components.analyzer.layers(self.get(reference))

    def analyze(self, reference: str) -> Anatomy:
        """The same, with the bytes that a later layer replaces or removes."""
        return self._components.analyzer.anatomy(self.get(reference))

    def compare(self, first: str, second: str) -> Sharing:
        """Which layers two images have in common, and which each has alone."""
        return self._components.analyzer.sharing(self.get(first), self.get(second))

    def file_history(self, reference: str, path: str) -> FileOrigin:
        """Which layers of an image touch a path, and how. Raises NotFound when none does."""
        return self._components.analyzer.origin(self.get(reference), path)

    def tag(self, source: str, target: str) -> None:
        """Let `target` name the image that `source` names."""
        self._components.images.tag(self.get(source).id, target)

    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        """Get an image, or all of a repository's; `PullStatus` lines, then a `PullDone` for each.

        `platform` is written linux/arm64; without it, what runs here. When the registry cannot be
        reached, or always by configuration, the catalogue's stand-in.
        """
        return self._components.image_source.pull(reference, all_tags=all_tags, platform=platform)

    def push(self, reference: str, *, all_tags: bool = False) -> Iterator[PushEvent]:
        """Give an image, or with `all_tags` all of a repository's, to its registry.

        Yields PullStatus lines, then a PushDone for each tag. Raises NotFound, AccessDenied.
        """
        return self._components.pusher.push(reference, all_tags=all_tags)

    def search(self, term: str, *, limit: int = 25) -> tuple[SearchResult, ...]:
        """Repositories by a word; `host/word` asks that registry. Where Docker's cannot be
        reached, what the catalogue has. Raises RegistryUnreachable.
        """
        return self._components.image_source.search(term, limit=limit)

    def manifest(self, reference: str, *, insecure: bool = False) -> bytes:
        """The manifest or index that a registry has under a name, byte for byte.

        `insecure`: any certificate will do, and none.
        """
        from dockmagic_runtime.distribution.remote import manifest

        return manifest(reference, insecure=insecure)

    def manifests(
        self, reference: str, *, insecure: bool = False
    ) -> RemoteManifest | tuple[RemoteManifest, ...]:
        """The image that a registry has under a name; a tuple of all, if there is an index."""
        from dockmagic_runtime.distribution.remote import manifests

        return manifests(reference, insecure=insecure)

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        """Build an image; yields events, the last a `BuildDone`."""
        own = self._components
        with own.layers.leasing():
            yield from own.builder.build(request)

    def save(self, references: Sequence[str], out: BinaryIO) -> None:
        """Write images as one archive, which may be a pipe. Raises NotFound."""
        from dockmagic_runtime.distribution.save import Saver

        own = self._components
        for image in Saver(own.data_root, own.images, own.layers).save(references, out):
            own.images.emit("save", image)

    def load(self, source: Readable) -> Iterator[LoadEvent]:
        """Bring the images of an archive, compressed or not; a LoadDone for each name."""
        from dockmagic_runtime.distribution.load import Loader

        own = self._components
        return Loader(own.data_root, own.images, own.layers).load(source)

    def import_image(self, tar: Readable, spec: ImportSpec | None = None) -> Image:
        """An image with the contents of a tar, compressed or not, as its only layer."""
        from dockmagic_runtime.builder.plan.config_changes import apply_changes
        from dockmagic_runtime.images.create import import_image
        from dockmagic_runtime.model.commit import ImportSpec

        own = self._components
        with own.layers.leasing():
            return import_image(own.images, own.layers, tar, spec or ImportSpec(), apply_changes)

    @freeing
    def remove(self, reference: str, *, force: bool = False) -> tuple[str, ...]:
        """Untag, and delete what nothing needs any more; Docker's lines about it."""
        containers = self._components.containers.all()
        used = {record.image_id: record.id for record, _ in containers}
        alive = {record.image_id for record, now in containers if Status(now.status).is_alive}
        return self._components.images.remove(reference, force=force, used_by=used, alive=alive)

    @freeing
    def prune(self, filters: Filters | None = None) -> Pruned:
        """Remove unused images without a name; with the filter dangling=false every unused one."""
        from dockmagic_runtime.containers.lifecycle.prune import prune_images

        own = self._components
        return prune_images(own.containers, own.images, own.layers, filters or {})
