"""`ImageVerbs`: the part of the engine's façade that needs images and registries, and no more.

`Engine` is one of these. What a verb needs is imported when it is first used: most commands pull,
push or load nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.analysis import Anatomy, FileOrigin, Sharing
from dockmagic_runtime.model.image import History, Image, Layer
from dockmagic_runtime.model.progress import LoadEvent, PushEvent
from dockmagic_runtime.model.search import RemoteManifest
from dockmagic_runtime.store.data_root import DataRoot

if TYPE_CHECKING:
    from dockmagic_runtime.distribution.push import Pusher
    from dockmagic_runtime.images.analysis import ImageAnalyzer


class ImageVerbs:
    """Mixin; the class that uses it must provide `_images`, `_layers` and `data_root`."""

    data_root: DataRoot
    _images: ImageStore
    _layers: LayerStore

    @cached_property
    def _pusher(self) -> Pusher:
        from dockmagic_runtime.distribution.push import Pusher

        return Pusher(self._images, self._layers, BlobStore(self.data_root))

    @cached_property
    def _anatomist(self) -> ImageAnalyzer:
        from dockmagic_runtime.images.analysis import ImageAnalyzer

        return ImageAnalyzer(self._images, self._layers)

    def images(self, *, all: bool = False) -> tuple[Image, ...]:
        """All images, newest first; without `all`, those with a tag or nothing above them."""
        return self._images.list(all=all)

    def image(self, reference: str) -> Image:
        """By tag, id or unique prefix of an id. Raises NotFound."""
        return self._images.resolve(reference)

    def inspect_image(self, reference: str) -> dict[str, Any]:
        """Docker's JSON of an image."""
        return self._images.inspect(self.image(reference))

    def history(self, reference: str) -> tuple[History, ...]:
        """What made the image, newest first."""
        return self._images.history(self.image(reference))

    def layers(self, reference: str) -> tuple[Layer, ...]:
        """The image's layers with their files, bottom first."""
        return self._anatomist.layers(self.image(reference))

    def anatomy(self, reference: str) -> Anatomy:
        """The same, with the bytes that a later layer replaces or removes."""
        return self._anatomist.anatomy(self.image(reference))

    def sharing(self, first: str, second: str) -> Sharing:
        """Which layers two images have in common, and which each has alone."""
        return self._anatomist.sharing(self.image(first), self.image(second))

    def file_origin(self, reference: str, path: str) -> FileOrigin:
        """Which layers of an image touch a path, and how. Raises NotFound when none does."""
        return self._anatomist.origin(self.image(reference), path)

    def tag(self, source: str, target: str) -> None:
        """Let `target` name the image that `source` names."""
        self._images.tag(self.image(source).id, target)

    def push(self, reference: str, *, all_tags: bool = False) -> Iterator[PushEvent]:
        """Give an image, or with `all_tags` all of a repository's, to its registry.

        Yields PullStatus lines, then a PushDone for each tag. Raises NotFound, AccessDenied.
        """
        return self._pusher.push(reference, all_tags=all_tags)

    def login(self, server: str, username: str, password: str) -> Path | None:
        """Keep credentials that the registry accepts; the file, None if a helper keeps them.

        Raises AccessDenied.
        """
        from dockmagic_runtime.registry.login import login

        return login(server, username, password)

    def logout(self, server: str) -> bool:
        """Forget the credentials of a registry; whether there were any."""
        from dockmagic_runtime.registry.login import logout

        return logout(server)

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

    def save(self, references: Sequence[str], out: BinaryIO) -> None:
        """Write images as one archive, which may be a pipe. Raises NotFound."""
        from dockmagic_runtime.distribution.save import Saver

        for image in Saver(self.data_root, self._images, self._layers).save(references, out):
            self._images.emit("save", image)

    def load(self, source: Readable) -> Iterator[LoadEvent]:
        """Bring the images of an archive, compressed or not; a LoadDone for each name."""
        from dockmagic_runtime.distribution.load import Loader

        return Loader(self.data_root, self._images, self._layers).load(source)
