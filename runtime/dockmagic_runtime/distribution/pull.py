"""`pull`: from a registry into the image store, or from the catalogue where no registry answers."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec.structs import replace

from dockmagic_runtime.errors import InvalidInput, NotFound, RemoteFailed
from dockmagic_runtime.images.blobs import BlobStore
from dockmagic_runtime.images.layers import LayerStore
from dockmagic_runtime.images.limits import Limits
from dockmagic_runtime.images.oci_documents import chain_ids, image_id
from dockmagic_runtime.images.store import ImageStore
from dockmagic_runtime.linux.closeable import Closing
from dockmagic_runtime.model.progress import PullDone, PullEvent, PullStatus
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.registry.blob import BlobStream
from dockmagic_runtime.registry.client import RegistryClient, clients_for
from dockmagic_runtime.registry.errors import ConnectionLost, RegistryUnreachable
from dockmagic_runtime.registry.manifest import Manifest, Platform
from dockmagic_runtime.registry.pull import Pulled, PulledLayer
from dockmagic_runtime.registry.pull import pull as pull_from
from dockmagic_runtime.registry.retry import Pause

_REMEMBERED: Final = 60.0
_LONG: Final = 0.5  # seconds; a refusal comes sooner, and may be over a moment later


class Puller:
    """Brings images of registries into one area."""

    def __init__(self, images: ImageStore, layers: LayerStore, blobs: BlobStore) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._unreachable: dict[str, tuple[float, RegistryUnreachable]] = {}  # by registry

    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        """Docker's status lines, and a PullDone for each image. Raises RegistryUnreachable,
        NotFound, …

        `platform` is written linux/arm64; without it, what this machine runs best. With
        `all_tags`, every tag of the repository.

        A registry that took long to be found unreachable is not tried again for a minute.
        """
        name = ImageReference.parse(reference)
        until, known = self._unreachable.get(name.registry, (0.0, None))
        began = time.monotonic()
        if known is not None and began < until:
            raise RegistryUnreachable(known.message, hint=known.hint)
        try:
            yield from self._pull(name, all_tags, Platform.parse(platform) if platform else None)
        except RegistryUnreachable as error:
            now = time.monotonic()
            if now - began > _LONG:
                self._unreachable[name.registry] = (now + _REMEMBERED, error)
            raise

    def _pull(
        self, name: ImageReference, all_tags: bool, platform: Platform | None
    ) -> Iterator[PullEvent]:
        clients = clients_for(name.registry)
        try:
            if all_tags:
                own = clients[-1]  # a mirror need not have every tag
                tags = tuple(own.tags(name.repository))
                names = [replace(name, tag=tag) for tag in tags]
                yield from self._pull_each(clients, names, name.familiar_name, platform)
            else:
                yield from self._pull_each(clients, [name], name.familiar, platform)
        finally:
            for client in clients:
                client.close()

    def _pull_each(
        self,
        clients: Sequence[RegistryClient],
        names: Sequence[ImageReference],
        familiar: str,
        platform: Platform | None,
    ) -> Iterator[PullEvent]:
        """Docker's one status at the end is about all `names` together."""
        done: list[PullDone] = []
        for name in names:
            with PullDestination(self._images, self._layers, self._blobs, name) as store:
                for event in pull_from(clients, name, store, platform=platform):
                    if isinstance(event, Pulled):
                        done.append(self._keep(name, event))
                    else:
                        yield event
        if done:
            self._images.emit_pull(done[-1].image, names[0].canonical, about=familiar)
        is_newer = not all(each.was_present for each in done)
        newer = "Downloaded newer image for" if is_newer else "Image is up to date for"
        yield PullStatus(status=f"Status: {newer} {familiar}")
        yield from done

    def _keep(self, name: ImageReference, pulled: Pulled) -> PullDone:
        manifest = pulled.manifest
        if manifest is not None:
            self._blobs.put(io.BytesIO(manifest.data), digest=manifest.digest)
        digest = f"{name.name}@{pulled.digest}"
        asked = f"{name.name}:{name.tag}" if name.tag and not name.digest else digest
        before = self._images.id_of_name(asked)
        image = self._images.put(
            pulled.config,
            chain_ids(pulled.diff_ids),
            manifest=manifest.digest if manifest is not None else "",
            names=(*((f"{name.name}:{name.tag}",) if name.tag else ()), digest),
        )
        return PullDone(image=image, reference=name.canonical, was_present=before == image.id)


class PullDestination(Closing):
    """`registry.pull.Destination` on our blobs and layers, for one pull. A context manager.

    A blob is pinned until its layer's row names it: another process may remove an image that has
    the same layer in between.
    """

    def __init__(
        self, images: ImageStore, layers: LayerStore, blobs: BlobStore, name: ImageReference
    ) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._name = name
        self._pins: dict[str, str] = {}  # by digest
        self._lease = layers.lease()

    def close(self) -> None:
        self._lease.close()
        for pin in self._pins.values():
            self._blobs.unpin(pin)

    def digests(self) -> Collection[str]:
        return self._images.digests_of(self._name.name)

    def kept(self, digest: str, platform: Platform | None) -> Pulled | None:
        """None also for the image of another platform, which the same index may have."""
        image = self._images.resolve(f"{self._name.name}@{digest}")
        config, diff_ids = self.document(image.id), image.diff_ids
        if config is None or not _is_best(config, platform or Platform.host()):
            return None
        if not all(self.has_layer(diff_ids[: count + 1]) for count in range(len(diff_ids))):
            return None
        by = self._images.manifest_digest(image.id)
        data = self.document(by) if by else None
        if by and data is None:
            return None
        manifest = None if data is None else Manifest(media_type="", digest=by, data=data)
        return Pulled(digest=digest, manifest=manifest, config=config, diff_ids=diff_ids, fetched=0)

    def document(self, digest: str) -> bytes | None:
        """An image's id is the digest of its config; manifests are blobs. Damaged ones are fetched
        again."""
        try:
            data = self._images.config_bytes(digest)
        except NotFound:
            try:
                with self._blobs.open_raw(digest) as file:
                    data = file.read()
            except NotFound:
                return None
        return data if image_id(data) == digest else None

    def has_layer(self, diff_ids: tuple[str, ...]) -> bool:
        chain_id = chain_ids(diff_ids)[-1]
        self._lease.add(chain_id)
        return self._layers.has(chain_id)

    def has_blob(self, digest: str) -> bool:
        pin = self._blobs.pin(digest)
        if pin:
            self._pins[digest] = pin
        return bool(pin)

    def partial(self, digest: str, pause: Pause) -> AbstractContextManager[BinaryIO]:
        return self._blobs.partial(digest, pause)

    def put_blob(self, stream: BlobStream, file: BinaryIO) -> None:
        """What was received stays for the next attempt, unless it is known to be wrong."""
        digest = stream.descriptor.digest
        try:
            self._pins[digest] = self._blobs.complete(stream, digest, file)
        except ConnectionLost:
            raise
        except RemoteFailed:
            self._blobs.discard_partial(digest)
            raise

    def add_layer(self, layer: PulledLayer, progress: Callable[[int], None]) -> None:
        def pause(seconds: float) -> None:
            progress(0)  # raises once the pull was given up
            time.sleep(seconds)

        chain_id = chain_ids(layer.diff_ids)[-1]
        self._lease.add(chain_id)
        with self._layers.unpack_lock(chain_id, pause):
            self._unpack(layer, progress)

    def _unpack(self, layer: PulledLayer, progress: Callable[[int], None]) -> None:
        """The diff id verifies what is unpacked, so the blob is not hashed again."""
        digest, chains = layer.descriptor.digest, chain_ids(layer.diff_ids)
        try:
            with Path(self._pins[digest]).open("rb") as blob:
                self._layers.add(
                    _Counted(blob, progress),
                    chains[-2] if len(chains) > 1 else "",
                    expected_diff_id=layer.diff_id,
                    limits=Limits.for_blob(layer.descriptor.size, self._blobs.free()),
                    blob=digest,
                    media_type=layer.descriptor.media_type,
                )
        except (InvalidInput, RemoteFailed) as error:
            if not isinstance(error, ConnectionLost):
                self._blobs.delete(digest)  # the next pull is to fetch it anew
            raise
        self._blobs.restore(digest, self._pins[digest])


def _is_best(config: bytes, platform: Platform) -> bool:
    return platform.rank(msgspec.json.decode(config, type=Platform)) == 0


class _Counted:
    """A reader that reports its position."""

    def __init__(self, blob: BinaryIO, progress: Callable[[int], None]) -> None:
        self._blob = blob
        self._progress = progress
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._blob.read(size)
        self._position += len(data)
        self._progress(self._position)
        return data
