"""`push`: an image of ours to a registry, reported in Docker's words as it goes.

What was pulled is pushed by the manifest and in the blobs it came as, so its digest stays. A layer
that was made here is compressed once, and its blob is kept for the next push. Three layers are on
their way at once; one that the registry has, or can take over from a repository of its own, is
not sent. The manifest comes last: where the tag is seen, all of it can be pulled.
"""

from __future__ import annotations

import io
import queue
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from dockmagic_runtime.distribution import layout
from dockmagic_runtime.distribution.compressed import compressed_blob, kept_blob
from dockmagic_runtime.errors import InvalidInput, NotFound
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.model.image import Image
from dockmagic_runtime.model.progress import PullStatus, PushDone, PushEvent
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.client import RegistryClient, clients_for
from dockmagic_runtime.registry.manifest import Descriptor, Manifest
from dockmagic_runtime.registry.retry import retrying_in
from dockmagic_runtime.registry.upload import RegistryWriter

CONCURRENCY: Final = 3
_ANNOUNCED: Final = 5  # Docker's: those beyond it wait
_STEPS: Final = 100
_SMALLEST_STEP: Final = 512 << 10


class _Layer(Struct, frozen=True, kw_only=True):
    """A layer to push; `known` is the blob it came as, if it is kept."""

    diff_id: str
    chain_id: str
    known: Descriptor | None

    @property
    def short_id(self) -> str:
        return self.diff_id.removeprefix("sha256:")[:12]


class Pusher:
    """Gives images of one area to registries."""

    def __init__(self, images: ImageStore, layers: LayerStore, blobs: BlobStore) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs

    def push(self, reference: str, *, all_tags: bool = False) -> Iterator[PushEvent]:
        """Docker's status lines, and a PushDone for each tag. Raises NotFound, AccessDenied, …"""
        name = ImageReference.parse(reference)
        if name.digest:
            raise InvalidInput("cannot push a digest reference")
        yield PullStatus(status=f"The push refers to repository [{name.name}]")
        names = self._names(name, all_tags=all_tags)
        *mirrors, client = clients_for(name.registry)
        for mirror in mirrors:
            mirror.close()
        with client:
            for name in names:
                yield from self._push(client, name)

    def _names(self, name: ImageReference, *, all_tags: bool) -> tuple[ImageReference, ...]:
        if all_tags:
            if names := self._images.tags_of(name.name):
                return names
            raise NotFound(f"An image does not exist locally with the tag: {name.familiar_name}")
        try:
            self._images.resolve(name.canonical)
        except NotFound:
            raise NotFound(
                f"An image does not exist locally with the tag: {name.familiar_name}",
                hint=f"docker tag IMAGE {name.familiar}",
            ) from None
        return (name,)

    def _push(self, client: RegistryClient, name: ImageReference) -> Iterator[PushEvent]:
        image = self._images.resolve(name.canonical)
        transfer = _Transfer(client, name, self._images, self._layers, self._blobs)
        manifest = yield from transfer.run(image)
        self._images.note_digest(image.id, f"{name.name}@{manifest.digest}")
        self._images.emit("push", image)
        size = len(manifest.data)
        yield PullStatus(status=f"{name.tag}: digest: {manifest.digest} size: {size}")
        yield PushDone(reference=name.familiar, digest=manifest.digest, size=size)


class _Transfer:
    """One image on its way to one repository."""

    def __init__(
        self,
        client: RegistryClient,
        name: ImageReference,
        images: ImageStore,
        layers: LayerStore,
        blobs: BlobStore,
    ) -> None:
        self._client = client
        self._registry = RegistryWriter(client)
        self._name = name
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._events: queue.SimpleQueue[PullStatus | None] = queue.SimpleQueue()

    def run(self, image: Image) -> Generator[PullStatus, None, Manifest]:
        """Yields until the registry has everything. The manifest it was given."""
        original = self._original(image)
        layers = self._described(image, original)
        for number, layer in enumerate(reversed(layers)):
            yield PullStatus(status="Preparing", id=layer.short_id)
            if number >= _ANNOUNCED:
                yield PullStatus(status="Waiting", id=layer.short_id)
        descriptors = yield from self._send(layers)
        config = self._images.config_bytes(image.id)
        about = layout.Content.of(config, layout.CONFIG_TYPE)
        self._send_config(about, config)
        manifest = original or Manifest.parse(
            layout.MANIFEST_TYPE, layout.manifest(about, list(map(_content, descriptors)))
        )
        self._registry.put_manifest(self._name.repository, self._name.tag, manifest)
        return manifest

    # ------------------------------------------------------------------ what is to be sent

    def _original(self, image: Image) -> Manifest | None:
        """The manifest that the image came by, if everything it names is kept."""
        digest = self._images.manifest_digest(image.id)
        if not digest or not self._blobs.has(digest):
            return None
        with self._blobs.open(digest) as blob:
            data = blob.read()
        manifest = Manifest.parse(_media_type(data), data)
        is_whole = manifest.config is not None and manifest.config.digest == image.id
        is_whole = is_whole and all(self._blobs.has(layer.digest) for layer in manifest.layers)
        return manifest if is_whole else None

    def _described(self, image: Image, original: Manifest | None) -> list[_Layer]:
        known = (
            original.layers
            if original
            else [kept_blob(self._layers, self._blobs, chain_id) for chain_id in image.chain_ids]
        )
        return [
            _Layer(diff_id=diff_id, chain_id=chain_id, known=descriptor)
            for diff_id, chain_id, descriptor in zip(
                image.diff_ids, image.chain_ids, known, strict=True
            )
        ]

    # ------------------------------------------------------------------ sending

    def _send(self, layers: Sequence[_Layer]) -> Generator[PullStatus, None, list[Descriptor]]:
        pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="push")
        try:
            unique = {layer.diff_id: layer for layer in layers}
            futures = {key: pool.submit(self._send_layer, layer) for key, layer in unique.items()}
            closing = ThreadPoolExecutor(1, thread_name_prefix="push-end")
            closing.submit(self._end, list(futures.values()))
            closing.shutdown(wait=False)
            yield from iter(self._events.get, None)
            for failed in filter(_has_failed, futures.values()):
                failed.result()  # now, while others may still be on their way
            return [futures[layer.diff_id].result() for layer in layers]
        except BaseException:
            self._client.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _end(self, futures: list[Future[Descriptor]]) -> None:
        """Ends the iterator's events when all are done, or the first has failed."""
        try:
            for future in as_completed(futures):
                if _has_failed(future):
                    break
        finally:
            self._events.put(None)

    def _send_layer(self, layer: _Layer) -> Descriptor:
        descriptor = layer.known or compressed_blob(
            self._layers, self._blobs, layer.chain_id, self._client.check_open
        )
        repository = self._name.repository
        if self._registry.has_blob(repository, descriptor.digest):
            self._report("Layer already exists", layer)
        elif source := self._mounted(descriptor.digest):
            self._report(f"Mounted from {source}", layer)
        else:
            with Path(self._blobs.path(descriptor.digest)).open("rb") as blob:
                progress = self._progress(layer, descriptor.size)
                self._registry.upload_blob(
                    repository,
                    descriptor,
                    blob,
                    progress=progress,
                    on_retry=lambda seconds: self._report(retrying_in(seconds), layer),
                )
            self._report("Pushed", layer)
        return descriptor

    def _mounted(self, digest: str) -> str:
        """The repository of this registry that the blob could be taken over from, or ""."""
        for source in self._images.known_repositories(digest, self._name.registry):
            if source != self._name.repository and self._registry.mount_blob(
                self._name.repository, digest, source
            ):
                return source
        return ""

    def _send_config(self, about: layout.Content, data: bytes) -> None:
        repository = self._name.repository
        if not self._registry.has_blob(repository, about.digest):
            descriptor = Descriptor(
                media_type=about.media_type, digest=about.digest, size=about.size
            )
            self._registry.upload_blob(repository, descriptor, io.BytesIO(data))

    # ------------------------------------------------------------------ reporting

    def _report(self, status: str, layer: _Layer) -> None:
        self._events.put(PullStatus(status=status, id=layer.short_id))

    def _progress(self, layer: _Layer, total: int) -> Callable[[int], None]:
        step = max(total // _STEPS, _SMALLEST_STEP)
        due = 0

        def report(current: int) -> None:
            nonlocal due
            self._client.check_open()
            if current >= due:
                due = current + step
                self._events.put(
                    PullStatus(status="Pushing", id=layer.short_id, current=current, total=total)
                )

        return report


class _Kind(msgspec.Struct, rename="camel"):
    media_type: str = ""


def _has_failed(future: Future[Descriptor]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def _content(descriptor: Descriptor) -> layout.Content:
    return layout.Content(
        digest=descriptor.digest, size=descriptor.size, media_type=descriptor.media_type
    )


def _media_type(manifest: bytes) -> str:
    """What a manifest of ours says it is; OCI's may leave it out."""
    kind = msgspec.json.decode(manifest, type=_Kind)
    return kind.media_type or layout.MANIFEST_TYPE
