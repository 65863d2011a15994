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
    from dockmagic_runtime.model.container import PathStat
    from dockmagic_runtime.model.filters import Filters
    from dockmagic_runtime.model.image import History, Image, Layer
    from dockmagic_runtime.model.progress import LoadEvent, PullEvent, PushEvent
    from dockmagic_runtime.model.search import RemoteManifest, SearchResult
    from dockmagic_runtime.model.usage import Pruned


class LocalImages(Facet):
    """The images of one data root."""

    def list(self, *, all: bool = False) -> tuple[Image, ...]:
        """Lists images, newest first.

        Args:
            all: Whether to include images without a tag that others are built on.
        """
        return self._components.images.list(all=all)

    def get(self, reference: str) -> Image:
        """Returns an image.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.

        Raises:
            NotFound: No such image.
        """
        return self._components.images.resolve(reference)

    def inspect(self, reference: str) -> dict[str, Any]:
        """Returns Docker's JSON of an image.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.

        Raises:
            NotFound: No such image.
        """
        return self._components.images.inspect(self.get(reference))

    def history(self, reference: str) -> tuple[History, ...]:
        """Returns what made an image, newest first.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.

        Raises:
            NotFound: No such image.
        """
        return self._components.images.history(self.get(reference))

    def layers(self, reference: str) -> tuple[Layer, ...]:
        """Returns an image's layers with their files, bottom first.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.

        Raises:
            NotFound: No such image.
        """
        return self._components.analyzer.layers(self.get(reference))

    def analyze(self, reference: str) -> Anatomy:
        """Returns an image's layers, and the bytes that later layers replace or remove.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.

        Raises:
            NotFound: No such image.
        """
        return self._components.analyzer.anatomy(self.get(reference))

    def compare(self, first: str, second: str) -> Sharing:
        """Returns the layers that two images share, and those that each has alone.

        Args:
            first: See `get`.
            second: See `get`.

        Raises:
            NotFound: No such image.
        """
        return self._components.analyzer.sharing(self.get(first), self.get(second))

    def file_history(self, reference: str, path: str) -> FileOrigin:
        """Returns which layers of an image touch a path, and how.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.
            path: An absolute path in the image.

        Raises:
            NotFound: No such image, or no layer touches the path.
        """
        return self._components.analyzer.origin(self.get(reference), path)

    def list_directory(
        self, reference: str, path: str, *, limit: int = 10_000
    ) -> tuple[PathStat, ...]:
        """Returns the entries of a directory in an image, by name.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.
            path: An absolute path in the image.
            limit: The most entries that are read.

        Raises:
            NotFound: No such image or path.
            Conflict: The path is no directory.
        """
        from dockmagic_runtime.containers.copy import listing

        own, image = self._components, self.get(reference)
        lowers = own.layers.lowers(image.chain_ids[-1]) if image.chain_ids else ()
        return listing.of_image(own.starter, lowers, path, limit, reference)

    def tag(self, source: str, target: str) -> None:
        """Gives an image one more name. The name is taken from the image that had it.

        Args:
            source: See `get`.
            target: The new name.

        Raises:
            NotFound: No such image.
            InvalidInput: An impossible name.
        """
        self._components.images.tag(self.get(source).id, target)

    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        """Pulls an image, or builds its stand-in where no registry can be reached.

        Args:
            reference: The image's name.
            all_tags: Whether to pull all tags of the repository.
            platform: For example "linux/arm64". Default: this machine's.

        Yields:
            `PullStatus` lines, then a `PullDone` for each image.

        Raises:
            NotFound: The registry has no such image.
            AccessDenied: The registry refuses the credentials.
            RegistryUnreachable: No answer, and no stand-in.
        """
        return self._components.image_source.pull(reference, all_tags=all_tags, platform=platform)

    def push(self, reference: str, *, all_tags: bool = False) -> Iterator[PushEvent]:
        """Pushes an image to its registry.

        Args:
            reference: The image's name.
            all_tags: Whether to push all tags of the repository.

        Yields:
            `PullStatus` lines, then a `PushDone` for each tag.

        Raises:
            NotFound: No such image.
            AccessDenied: The registry refuses the credentials.
        """
        return self._components.pusher.push(reference, all_tags=all_tags)

    def search(self, term: str, *, limit: int = 25) -> tuple[SearchResult, ...]:
        """Searches a registry for repositories; where Docker Hub cannot be reached, the stand-ins.

        Args:
            term: A word, or `HOST/WORD` for another registry.
            limit: The most results.

        Raises:
            RegistryUnreachable: No answer, and no stand-in with that word.
        """
        return self._components.image_source.search(term, limit=limit)

    def stand_ins(self, term: str = "") -> tuple[SearchResult, ...]:
        """Returns the images that can be made on this machine, by name; no registry is asked.

        Args:
            term: Part of a name or description. Default: all.
        """
        return self._components.image_source.stand_ins(term)

    def manifest(self, reference: str, *, insecure: bool = False) -> bytes:
        """Returns the manifest or index that a registry has under a name, byte for byte.

        Args:
            reference: The image's name.
            insecure: Whether to accept any certificate, and plain HTTP.

        Raises:
            NotFound: The registry has no such image.
            RegistryUnreachable: No answer.
        """
        from dockmagic_runtime.distribution.remote import manifest

        return manifest(reference, insecure=insecure)

    def manifests(
        self, reference: str, *, insecure: bool = False
    ) -> RemoteManifest | tuple[RemoteManifest, ...]:
        """Returns the image that a registry has under a name, or all of an index.

        Args:
            reference: The image's name.
            insecure: Whether to accept any certificate, and plain HTTP.

        Raises:
            NotFound: The registry has no such image.
            RegistryUnreachable: No answer.
        """
        from dockmagic_runtime.distribution.remote import manifests

        return manifests(reference, insecure=insecure)

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        """Builds an image from a Dockerfile.

        Args:
            request: Dockerfile, context, tags and options.

        Yields:
            `BuildStarted`, then `StepStarted`, `StepOutput`, `PullStatus` and `StepDone`, last a
            `BuildDone`.

        Raises:
            InvalidInput: A mistake in Dockerfile or options; `excerpt` shows the line.
            NotFound: A base image, stage or file does not exist.
            ProcessFailed: A command of a RUN failed.
        """
        own = self._components
        with own.layers.leasing():
            yield from own.builder.build(request)

    def save(self, references: Sequence[str], out: BinaryIO) -> None:
        """Writes images to one archive, in the layout of `docker save`.

        Args:
            references: Names or ids.
            out: The archive; may be a pipe.

        Raises:
            NotFound: No such image.
        """
        from dockmagic_runtime.distribution.save import Saver

        own = self._components
        for image in Saver(own.data_root, own.images, own.layers).save(references, out):
            own.images.emit("save", image)

    def load(self, source: Readable) -> Iterator[LoadEvent]:
        """Loads the images of an archive.

        Args:
            source: The archive, compressed or not.

        Yields:
            `PullStatus` lines, then a `LoadDone` for each image.

        Raises:
            InvalidInput: The archive is damaged, or holds no images.
        """
        from dockmagic_runtime.distribution.load import Loader

        own = self._components
        return Loader(own.data_root, own.images, own.layers).load(source)

    def import_image(self, tar: Readable, spec: ImportSpec | None = None) -> Image:
        """Creates an image whose only layer has the contents of a tar archive.

        Args:
            tar: The archive, compressed or not.
            spec: Reference, message and changes of the image's config.

        Raises:
            InvalidInput: The archive is damaged; an impossible reference or change.
        """
        from dockmagic_runtime.builder.plan.config_changes import apply_changes
        from dockmagic_runtime.images.create import import_image
        from dockmagic_runtime.model.commit import ImportSpec

        own = self._components
        with own.layers.leasing():
            return import_image(own.images, own.layers, tar, spec or ImportSpec(), apply_changes)

    @freeing
    def remove(self, reference: str, *, force: bool = False) -> tuple[str, ...]:
        """Untags an image, and deletes what no other image needs.

        Args:
            reference: A tag, a digest, an id, or a unique prefix of an id.
            force: Whether to remove it although stopped containers use it.

        Returns:
            Docker's lines: `Untagged: …`, `Deleted: …`.

        Raises:
            NotFound: No such image.
            Conflict: A container uses it.
        """
        containers = self._components.containers.all()
        used = {record.image_id: record.id for record, _ in containers}
        alive = {record.image_id for record, now in containers if Status(now.status).is_alive}
        return self._components.images.remove(reference, force=force, used_by=used, alive=alive)

    @freeing
    def prune(self, filters: Filters | None = None) -> Pruned:
        """Removes unused images that have no name.

        Args:
            filters: `until`, `label`, `label!`, and `dangling`: with "false" all unused images go.

        Raises:
            InvalidInput: An unknown filter or value.
        """
        from dockmagic_runtime.containers.lifecycle.prune import prune_images

        own = self._components
        return prune_images(own.containers, own.images, own.layers, filters or {})
