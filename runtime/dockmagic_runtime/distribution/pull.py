"""`pull`: from a registry into the image store, or from the catalogue where no registry answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from dockmagic_runtime.images.blobs import BlobReader, BlobStore
from dockmagic_runtime.images.document import chain_ids
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.events import PullDone, PullEvent, PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.blob import BlobStream
from dockmagic_runtime.registry.client import clients_for
from dockmagic_runtime.registry.pull import Pulled, PulledLayer
from dockmagic_runtime.registry.pull import pull as pull_from


class Puller:
    """Brings images of registries into one area."""

    def __init__(self, images: ImageStore, layers: LayerStore, blobs: BlobStore) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs

    def pull(self, reference: str) -> Iterator[PullEvent]:
        """Docker's status lines, then one PullDone. Raises RegistryUnreachable, NotFound, …"""
        name = ImageReference.parse(reference)
        clients = clients_for(name.registry)
        try:
            for event in pull_from(clients, name, Store(self._layers, self._blobs)):
                if isinstance(event, Pulled):
                    yield from self._finish(name, event)
                else:
                    yield event
        finally:
            for client in clients:
                client.close()

    def _finish(self, name: ImageReference, pulled: Pulled) -> Iterator[PullEvent]:
        self._blobs.put(io.BytesIO(pulled.manifest.data), digest=pulled.manifest.digest)
        image = self._images.put(
            pulled.config, chain_ids(pulled.diff_ids), manifest=pulled.manifest.digest
        )
        if name.tag:
            self._images.tag(image.id, f"{name.name}:{name.tag}", announce=False)
        self._images.note_digest(image.id, f"{name.name}@{pulled.digest}")
        self._images.tell_pulled(image, name.canonical)
        newer = "Downloaded newer image for" if pulled.fetched else "Image is up to date for"
        yield PullStatus(status=f"Status: {newer} {name.familiar}")
        yield PullDone(
            image=self._images.resolve(image.id),
            reference=name.canonical,
            was_present=not pulled.fetched,
        )


class Store:
    """`registry.pull.Destination` on our blobs and layers."""

    def __init__(self, layers: LayerStore, blobs: BlobStore) -> None:
        self._layers = layers
        self._blobs = blobs

    def has_layer(self, diff_ids: tuple[str, ...]) -> bool:
        return self._layers.has(chain_ids(diff_ids)[-1])

    def has_blob(self, digest: str) -> bool:
        return self._blobs.has(digest)

    def put_blob(self, stream: BlobStream) -> None:
        descriptor = stream.descriptor
        self._blobs.put(stream, digest=descriptor.digest, size=descriptor.size)

    def add_layer(self, layer: PulledLayer, progress: Callable[[int], None]) -> None:
        chains = chain_ids(layer.diff_ids)
        with self._blobs.open(layer.descriptor.digest) as blob:
            self._layers.add(
                _Counted(blob, progress),
                chains[-2] if len(chains) > 1 else "",
                expected_diff_id=layer.diff_id,
                blob=layer.descriptor.digest,
                media_type=layer.descriptor.media_type,
            )


class _Counted:
    """A reader that tells how far it is."""

    def __init__(self, blob: BlobReader, progress: Callable[[int], None]) -> None:
        self._blob = blob
        self._progress = progress
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._blob.read(size)
        self._position += len(data)
        self._progress(self._position)
        return data
